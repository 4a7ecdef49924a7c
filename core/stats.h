// What an engine has done and is doing.
#pragma once

#include "core/histogram.h"

#include <cstdint>

namespace inllama {

using TimeHistogram = Histogram<24>; // of seconds, from 100 us on

struct Stats {
    int n_running = 0; // outputs
    int n_waiting = 0;
    int n_cells = 0; // positions that memory holds at most
    int n_cells_used = 0;
    int n_cached_sequences = 0; // that ended and are kept
    uint64_t n_steps = 0;
    uint64_t n_failed_steps = 0;
    uint64_t n_rows = 0;          // computed, of prompts and outputs
    uint64_t n_prompt_tokens = 0; // of admitted requests
    uint64_t n_cached_tokens = 0; // of those, shared instead of computed
    uint64_t n_prefix_hits = 0;   // admitted requests that shared some
    uint64_t n_prefill_rows = 0;  // prompt tokens computed
    uint64_t n_completion_tokens = 0;
    uint64_t n_evicted_cells = 0;
    uint64_t n_recalled_tokens = 0;   // of evicted prefixes that came back
    uint64_t n_stored_bytes = 0;      // that evicted prefixes have in main memory
    uint64_t n_stored_file_bytes = 0; // and in files
    uint64_t n_preemptions = 0;
    uint64_t n_submitted = 0;
    uint64_t n_structured = 0;       // of those, with a structure that masks compute beside the model
    uint64_t n_sampler_grammars = 0; // of those, with a grammar that runs in the sampler, after the model
    uint64_t n_finished = 0;
    uint64_t n_cancelled = 0;
    uint64_t n_failed = 0;
    int n_texts_waiting = 0; // that shall become vectors
    uint64_t n_embed_steps = 0;
    uint64_t n_embedded_texts = 0;
    uint64_t n_embedded_tokens = 0;
    uint64_t n_rejected_full = 0;     // the queue had no room
    uint64_t n_rejected_context = 0;  // the prompt could never fit
    uint64_t n_rejected_deadline = 0; // the time was over
    TimeHistogram step_s{1e-4};
    TimeHistogram first_token_s{1e-4};
    TimeHistogram between_tokens_s{1e-4};
    Histogram<12> step_rows{1};
};

} // namespace inllama
