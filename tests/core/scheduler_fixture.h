// A scheduler over the fake decoder, whose steps and time tests take by hand.
#pragma once

#include "core/fake_decoder.h"
#include "core/scheduler.h"
#include "tests/core/check.h"
#include "tests/core/engine_fixture.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace inllama {

class Scheduled {
  public:
    explicit Scheduled(const SchedulerParams& params = small_params().scheduler,
                       DecoderTraits traits = small_traits(), bool is_cached = true)
        : decoder(traits), cache(decoder, is_cached), scheduler(cache, decoder.traits(), params) {}

    // Submits a request with one output.
    Sequence& add(std::vector<Token> prompt, int max_tokens = 100, int priority = 0, std::string salt = "") {
        auto active = std::make_shared<ActiveRequest>();
        active->request.prompt = std::move(prompt);
        active->request.samplers.resize(1);
        active->request.max_tokens = max_tokens;
        active->request.priority = priority;
        active->request.salt = std::move(salt);
        active->control = std::make_shared<RequestControl>(std::make_shared<Bell>());
        active->submitted = now;
        auto sequence = std::make_unique<Sequence>(active, 0, vocab);
        Sequence& added = *sequence;
        scheduler.add(std::move(sequence));
        return added;
    }

    std::vector<Sequence*> admit() { return scheduler.admit(now); }

    // Submits a request, which starts at once.
    Sequence& running_soon(const std::vector<Token>& prompt, int max_tokens = 100) {
        Sequence& added = add(prompt, max_tokens);
        admit();
        CHECK(added.phase == Phase::prefill);
        return added;
    }

    // Submits a request and computes until its first token is there.
    Sequence& running(const std::vector<Token>& prompt, int max_tokens = 100) {
        Sequence& added = running_soon(prompt, max_tokens);
        for (int i = 0; i < 100 && added.phase == Phase::prefill; i++) {
            step();
        }
        CHECK(added.phase == Phase::decode);
        return added;
    }

    // Computes one step as the engine does; every output goes on with the same token.
    StepPlan step() {
        StepPlan plan = scheduler.plan();
        if (plan.rows.empty()) {
            return plan;
        }
        CHECK(cache.make_room(static_cast<int>(plan.rows.size())));
        decoder.use(plan.adapters);
        CHECK(decoder.decode(plan.rows) == DecodeStatus::ok);
        for (const StepPart& part : plan.parts) {
            Sequence& sequence = *part.sequence;
            cache.append(sequence.id, sequence.tokens.data() + sequence.n_computed, part.n_rows);
            sequence.n_computed += part.n_rows;
            if (sequence.snapshot_at == sequence.n_computed && sequence.phase == Phase::prefill) {
                cache.snapshot(sequence.id);
            }
            if (part.output_row >= 0) {
                sequence.tokens.push_back(255);
                sequence.phase = Phase::decode;
            }
        }
        return plan;
    }

    void end(Sequence& sequence, bool keep = true) { scheduler.remove(sequence, keep); }

    // The reader has read nothing for long, or all.
    void pause(Sequence& sequence) { sequence.active->control->n_unread = sequence.request().n_unread_max; }
    void resume(Sequence& sequence) { sequence.active->control->n_unread = 0; }

    FakeVocab vocab;
    FakeDecoder decoder;
    PrefixCache cache;
    Scheduler scheduler;
    Clock::time_point now = Clock::time_point() + std::chrono::hours(1);
};

} // namespace inllama
