#include "core/stop_matcher.h"

#include "core/error.h"
#include "core/utf8_stream.h"

#include <algorithm>

namespace inllama {

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)), nodes_(1) {
    for (size_t i = 0; i < stops_.size(); i++) {
        const std::string which = "stop string " + std::to_string(i);
        if (stops_[i].empty()) {
            const std::string text = which + " is empty and would match everywhere; remove it";
            throw Error(ErrorKind::InvalidRequestError, text).with("index", i);
        }
        const size_t n_valid = valid_utf8_prefix(stops_[i]);
        if (n_valid < stops_[i].size()) {
            const std::string text =
                which + " is not valid UTF-8 at byte " + std::to_string(n_valid) + "; encode it as UTF-8";
            throw Error(ErrorKind::InvalidRequestError, text).with("index", i);
        }
        add(static_cast<uint32_t>(i));
    }
    link();
}

void StopMatcher::add(uint32_t index) {
    uint32_t node = 0;
    for (const char c : stops_[index]) {
        const auto byte = static_cast<unsigned char>(c);
        uint32_t to = child(node, byte);
        if (to == kNone) {
            to = static_cast<uint32_t>(nodes_.size());
            auto& children = nodes_[node].children;
            children.insert(std::lower_bound(children.begin(), children.end(), std::pair(byte, uint32_t{0})),
                            {byte, to});
            Node created;
            created.depth = nodes_[node].depth + 1;
            created.prefix_of = index;
            nodes_.push_back(std::move(created));
        }
        node = to;
    }
    nodes_[node].stop = std::min(nodes_[node].stop, index);
}

void StopMatcher::link() {
    // Breadth first: the link of a node is shorter than the node.
    std::vector<uint32_t> order = {0};
    for (size_t i = 0; i < order.size(); i++) {
        const uint32_t node = order[i];
        for (const auto& [byte, to] : nodes_[node].children) {
            order.push_back(to);
            nodes_[to].shorter = node == 0 ? 0 : next(nodes_[node].shorter, byte);
            if (nodes_[to].stop == kNone)
                nodes_[to].stop = nodes_[nodes_[to].shorter].stop;
        }
    }
}

uint32_t StopMatcher::child(uint32_t node, unsigned char byte) const noexcept {
    const auto& children = nodes_[node].children;
    const auto found = std::lower_bound(children.begin(), children.end(), std::pair(byte, uint32_t{0}));
    return found != children.end() && found->first == byte ? found->second : kNone;
}

uint32_t StopMatcher::next(uint32_t node, unsigned char byte) const noexcept {
    for (;;) {
        const uint32_t to = child(node, byte);
        if (to != kNone)
            return to;
        if (node == 0)
            return 0;
        node = nodes_[node].shorter;
    }
}

StopMatcher::Step StopMatcher::push(std::string_view piece) {
    if (is_stopped_)
        return {};
    const Node& held = nodes_[state_];
    uint32_t state = state_;
    size_t n_read = 0;
    while (n_read < piece.size() && nodes_[state].stop == kNone) {
        state = next(state, static_cast<unsigned char>(piece[n_read++]));
    }
    Step step;
    size_t n_kept = nodes_[state].depth;
    if (nodes_[state].stop != kNone) {
        step.stop = nodes_[state].stop;
        n_kept = stops_[*step.stop].size();
        is_stopped_ = true;
    }
    const size_t n_held_before = held.depth;
    const size_t n_published = n_held_before + n_read - n_kept;
    // What was held back is spelled out by the stop string that it begins; no copy of it is kept.
    if (n_held_before > 0)
        step.text.assign(stops_[held.prefix_of], 0, std::min(n_held_before, n_published));
    if (n_published > n_held_before)
        step.text += piece.substr(0, n_published - n_held_before);
    state_ = state;
    return step;
}

std::string StopMatcher::flush() {
    const size_t n_bytes = n_held();
    const uint32_t node = std::exchange(state_, 0);
    return n_bytes == 0 ? std::string() : stops_[nodes_[node].prefix_of].substr(0, n_bytes);
}

} // namespace inllama
