#include "core/embed_loop.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <numeric>

namespace inllama {

namespace {

constexpr std::chrono::milliseconds kAging{1000}; // waiting this long counts as one priority more
constexpr int kFirstBriefRows = 64;
constexpr int kFaultsAllowed = 2;

double seconds(Clock::duration time) {
    return std::chrono::duration<double>(time).count();
}

size_t begin_of(const EmbedRequest& request, int text) {
    return text == 0 ? 0 : request.ends[static_cast<size_t>(text) - 1];
}

int n_rows_of(const EmbedRequest& request, int text) {
    return static_cast<int>(request.ends[static_cast<size_t>(text)] - begin_of(request, text));
}

} // namespace

ActiveEmbedding::ActiveEmbedding(EmbedRequest asked, const EmbedderTraits& traits)
    : request(std::move(asked)), submitted(Clock::now()), left(request.ends.size()),
      n_unfinished(static_cast<int>(request.ends.size())), served(submitted) {
    const size_t n_vectors = traits.is_pooled ? request.ends.size() : request.tokens.size();
    request.n_dimensions = request.n_dimensions > 0 ? request.n_dimensions : traits.n_values;
    values = std::make_shared<std::vector<float>>(n_vectors * static_cast<size_t>(request.n_dimensions));
    std::iota(left.begin(), left.end(), 0);
    std::stable_sort(left.begin(), left.end(),
                     [&](int a, int b) { return n_rows_of(request, a) < n_rows_of(request, b); });
}

void EmbedLoop::add(const std::string& name, std::shared_ptr<Embedder> embedder) {
    embedders_[name] = std::move(embedder);
}

void EmbedLoop::submit(const Active& request) {
    request->turn = turn_;
    active_.push_back(request);
    if (request->n_unfinished == 0) {
        end(request, {});
    }
}

void EmbedLoop::cancel(uint64_t id) {
    const auto found =
        std::find_if(active_.begin(), active_.end(), [&](const Active& other) { return other->id == id; });
    if (found != active_.end()) {
        Event event;
        event.finish = FinishReason::cancelled;
        (*found)->values.reset();
        end(Active(*found), std::move(event));
    }
}

void EmbedLoop::fail_all(const Error& error) {
    while (!active_.empty()) {
        fail(Active(active_.front()), error);
    }
}

std::optional<Clock::time_point> EmbedLoop::next_deadline() const {
    std::optional<Clock::time_point> next;
    for (const Active& request : active_) {
        const auto& deadline = request->request.deadline;
        if (deadline && (!next || *deadline < *next)) {
            next = deadline;
        }
    }
    return next;
}

void EmbedLoop::expire() {
    const Clock::time_point now = Clock::now();
    const std::list<Active> all = active_;
    for (const Active& request : all) {
        if (request->request.deadline && *request->request.deadline <= now) {
            const double elapsed = seconds(now - request->submitted);
            fail(request,
                 Error(ErrorKind::DeadlineError, "the request's time was over after " +
                                                     std::to_string(elapsed) + " s; give a larger timeout_s")
                     .with("elapsed_s", elapsed));
        }
    }
}

std::vector<EmbedLoop::Active> EmbedLoop::by_rank(Clock::time_point now) const {
    std::vector<Active> ordered;
    std::copy_if(active_.begin(), active_.end(), std::back_inserter(ordered),
                 [](const Active& request) { return !request->left.empty(); });
    const auto rank = [&](const Active& request) {
        return request->request.priority + static_cast<int64_t>((now - request->served) / kAging);
    };
    std::stable_sort(ordered.begin(), ordered.end(), [&](const Active& a, const Active& b) {
        return rank(a) != rank(b) ? rank(a) > rank(b) : a->turn < b->turn;
    });
    return ordered;
}

// The longest text that still fits, again and again: small ones fill what is left.
void EmbedLoop::add_texts(const Active& request, size_t n_texts_max, int n_rows_max, Step& step) const {
    int n_rows = std::accumulate(step.begin(), step.end(), 0,
                                 [](int sum, const Part& part) { return sum + part.n_rows; });
    std::vector<int>& left = request->left;
    while (!left.empty() && step.size() < n_texts_max) {
        const int n_free = n_rows_max - n_rows;
        auto it = std::upper_bound(left.begin(), left.end(), n_free,
                                   [&](int n, int text) { return n < n_rows_of(request->request, text); });
        if (it == left.begin()) {
            if (!step.empty()) {
                return;
            }
            it++; // the shortest there is: a step has at least one text
        }
        --it;
        step.push_back({request, *it, n_rows_of(request->request, *it)});
        n_rows += step.back().n_rows;
        left.erase(it);
    }
}

EmbedLoop::Step EmbedLoop::choose(bool is_brief) {
    const Clock::time_point now = Clock::now();
    const std::vector<Active> ordered = by_rank(now);
    Step step;
    const std::string& name = ordered.front()->request.embedder;
    const EmbedderTraits& traits = embedders_.at(name)->traits();
    int n_rows = std::min(traits.n_rows_best, traits.n_rows_max);
    if (is_brief) {
        n_rows = std::min(n_rows, brief_rows_.emplace(name, kFirstBriefRows).first->second);
    }
    const size_t n_texts = n_alone_ > 0 ? 1 : static_cast<size_t>(traits.n_texts_max);
    for (const Active& request : ordered) {
        if (request->request.embedder == name) {
            add_texts(request, n_texts, n_rows, step);
        }
    }
    n_alone_ = std::max(0, n_alone_ - 1);
    for (const Part& part : step) {
        turn_ += part.n_rows / static_cast<double>(active_.size());
        part.request->turn += part.n_rows;
        part.request->served = now;
        part.request->started = part.request->started.value_or(now);
    }
    return step;
}

DecodeStatus EmbedLoop::compute(Embedder& embedder, const Step& step, std::string& reason) const {
    std::vector<TokenRun> texts;
    for (const Part& part : step) {
        const EmbedRequest& request = part.request->request;
        texts.push_back({request.tokens.data() + begin_of(request, part.text), part.n_rows});
    }
    try {
        const DecodeStatus status = embedder.embed(texts);
        if (status == DecodeStatus::ok) {
            embedder.vector(0); // of some models it throws
        }
        return status;
    } catch (const std::exception& error) {
        reason = error.what();
        return DecodeStatus::failed;
    }
}

void EmbedLoop::step(double limit_s) {
    const bool is_brief = std::isfinite(limit_s);
    const Step step = choose(is_brief);
    const std::string& name = step.front().request->request.embedder;
    Embedder& embedder = *embedders_.at(name);
    std::string reason;
    const Clock::time_point started = Clock::now();
    const DecodeStatus status = compute(embedder, step, reason);
    n_steps_++;
    if (status != DecodeStatus::ok) {
        n_failed_steps_++;
        recover(step, status, reason);
        return;
    }
    if (is_brief) {
        // Steps may have a cost of their own, so what a row takes says little.
        int& n_rows = brief_rows_[name];
        const bool is_short = seconds(Clock::now() - started) <= limit_s;
        n_rows = is_short ? std::min(2 * n_rows, embedder.traits().n_rows_max) : std::max(1, n_rows / 2);
    }
    commit(embedder, step);
}

void EmbedLoop::recover(const Step& step, DecodeStatus status, const std::string& reason) {
    const Part& first = step.front();
    if (step.size() == 1 && status != DecodeStatus::aborted) {
        first.request->n_faults++;
    }
    if (first.request->n_faults < kFaultsAllowed) {
        put_back(step);
        return;
    }
    fail(first.request, Error(ErrorKind::DecodeError, "a text of " + std::to_string(first.n_rows) +
                                                          " tokens could not be computed, twice" +
                                                          (reason.empty() ? "" : ": " + reason))
                            .with("n_tokens", first.n_rows)
                            .with("index", first.text));
}

void EmbedLoop::put_back(const Step& step) {
    for (const Part& part : step) {
        std::vector<int>& left = part.request->left;
        const auto place = std::lower_bound(left.begin(), left.end(), part.n_rows, [&](int text, int n) {
            return n_rows_of(part.request->request, text) < n;
        });
        left.insert(place, part.text);
    }
    n_alone_ = static_cast<int>(step.size());
}

void EmbedLoop::commit(Embedder& embedder, const Step& step) {
    const EmbedderTraits& traits = embedder.traits();
    int vector = 0;
    for (const Part& part : step) {
        ActiveEmbedding& active = *part.request;
        const EmbedRequest& request = active.request;
        const auto width = static_cast<size_t>(request.n_dimensions);
        const size_t first = traits.is_pooled ? static_cast<size_t>(part.text) : begin_of(request, part.text);
        const int n_vectors = traits.is_pooled ? 1 : part.n_rows;
        float* to = active.values->data() + first * width;
        for (int i = 0; i < n_vectors; i++, to += width) {
            const float* from = embedder.vector(vector++);
            std::copy(from, from + width, to);
            normalize(to, width, request.normalization);
        }
        n_texts_++;
        n_tokens_ += static_cast<uint64_t>(part.n_rows);
        active.n_faults = 0;
        active.n_unfinished--;
        if (active.n_unfinished == 0) {
            end(part.request, {});
        }
    }
}

void EmbedLoop::fail(const Active& request, const Error& error) {
    Event event;
    event.error = std::make_shared<const Error>(error);
    request->values.reset();
    end(request, std::move(event));
}

void EmbedLoop::end(const Active& request, Event event) {
    const Clock::time_point now = Clock::now();
    auto summary = std::make_shared<RequestSummary>();
    summary->n_prompt = static_cast<int>(request->request.tokens.size());
    summary->queued_s = seconds(request->started.value_or(now) - request->submitted);
    summary->total_s = seconds(now - request->submitted);
    event.summary = std::move(summary);
    event.request = request->id;
    event.control = request->control;
    event.values = std::move(request->values);
    request->control->n_unread.fetch_add(1);
    events_[request->request.events].push_back(std::move(event));
    active_.remove(request);
}

void EmbedLoop::flush() {
    for (auto& [queue, events] : events_) {
        queue->push(events);
    }
    events_.clear();
}

void EmbedLoop::count(Stats& stats) const {
    stats.n_embed_steps = n_steps_;
    stats.n_failed_steps += n_failed_steps_;
    stats.n_embedded_texts = n_texts_;
    stats.n_embedded_tokens = n_tokens_;
    for (const Active& request : active_) {
        stats.n_texts_waiting += request->n_unfinished;
    }
}

} // namespace inllama
