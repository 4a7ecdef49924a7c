// What the engine's memory holds, as bytes.
#include "core/engine_loop.h"

#include <algorithm>
#include <exception>

namespace inllama {

std::string name_space_of(const AdapterSet* adapters, const std::string& salt) {
    return (adapters == nullptr ? std::string() : adapters->key()) + '\n' + salt;
}

namespace {

// What differs between two identities, which are words.
std::string difference(const std::string& found, const std::string& ours) {
    size_t begin = 0;
    while (begin < ours.size()) {
        const size_t end = std::min(ours.find(' ', begin), ours.size());
        const std::string word = ours.substr(begin, end - begin);
        if ((' ' + found + ' ').find(' ' + word + ' ') == std::string::npos) {
            return word.substr(0, word.find('='));
        }
        begin = end + 1;
    }
    return "something else";
}

void check_fits(const SavedPrefix& prefix, const DecoderTraits& traits) {
    if (traits.identity.empty() || traits.memory == MemoryKind::whole) {
        throw Error(ErrorKind::UnsupportedError, "what this model remembers can be neither saved nor loaded");
    }
    if (prefix.identity != traits.identity) {
        throw Error(ErrorKind::StateError, "the state does not fit this engine: it was saved with another " +
                                               difference(prefix.identity, traits.identity));
    }
    if (std::any_of(prefix.tokens.begin(), prefix.tokens.end(),
                    [&](Token token) { return token >= traits.n_vocab; })) {
        throw Error(ErrorKind::StateError, "the state is damaged: it has a token outside the vocabulary");
    }
}

} // namespace

void EngineLoop::exchange(const std::shared_ptr<ActiveState>& active) {
    const StateRequest& request = active->request;
    Event event;
    event.request = active->id;
    event.control = active->control;
    auto summary = std::make_shared<RequestSummary>();
    try {
        if (request.prefix != nullptr) {
            check_fits(*request.prefix, decoder_.traits());
            const auto n = static_cast<int>(request.prefix->tokens.size());
            summary->n_prompt = cache_.load(*request.prefix, n) ? n : 0;
        } else {
            const std::string name_space = name_space_of(request.adapters.get(), request.salt);
            const SavedPrefix saved = cache_.save(name_space, request.tokens);
            check_fits(saved, decoder_.traits());
            summary->n_prompt = static_cast<int>(saved.tokens.size());
            event.state = std::make_shared<std::vector<uint8_t>>(encode_prefix(saved));
        }
    } catch (const Error& error) {
        event.error = std::make_shared<const Error>(error);
    } catch (const std::exception& error) {
        event.error = std::make_shared<const Error>(ErrorKind::EngineError, error.what());
    }
    event.summary = std::move(summary);
    active->control->n_unread.fetch_add(1);
    events_[request.events].push_back(std::move(event));
}

void EngineLoop::store_prefixes() {
    if (!params_.store.folder.empty() && !scheduler_.has_lost_memory()) {
        cache_.store_all();
    }
}

} // namespace inllama
