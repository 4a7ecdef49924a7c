#include "bind/stats.h"

#include <nanobind/nanobind.h>

namespace inllama {

namespace {

// (bounds, counts, sum)
template<size_t N> nb::tuple histogram_of(const Histogram<N>& histogram) {
    nb::list bounds;
    nb::list counts;
    for (size_t i = 0; i < N; i++) {
        if (i + 1 < N) {
            bounds.append(histogram.bound(i));
        }
        counts.append(histogram.counts()[i]);
    }
    return nb::make_tuple(nb::tuple(bounds), nb::tuple(counts), histogram.sum());
}

} // namespace

nb::dict stats_of(const Stats& stats) {
    nb::dict values;
    values["running"] = stats.n_running;
    values["waiting"] = stats.n_waiting;
    values["kv_cells"] = stats.n_cells;
    values["kv_cells_used"] = stats.n_cells_used;
    values["cached_sequences"] = stats.n_cached_sequences;
    values["steps"] = stats.n_steps;
    values["failed_steps"] = stats.n_failed_steps;
    values["prompt_tokens"] = stats.n_prompt_tokens;
    values["cached_tokens"] = stats.n_cached_tokens;
    values["prefix_hits"] = stats.n_prefix_hits;
    values["prefill_tokens"] = stats.n_prefill_rows;
    values["texts_waiting"] = stats.n_texts_waiting;
    values["embed_steps"] = stats.n_embed_steps;
    values["embedded_texts"] = stats.n_embedded_texts;
    values["embedded_tokens"] = stats.n_embedded_tokens;
    values["completion_tokens"] = stats.n_completion_tokens;
    values["evicted_cells"] = stats.n_evicted_cells;
    values["recalled_tokens"] = stats.n_recalled_tokens;
    values["prefix_memory_bytes"] = stats.n_stored_bytes;
    values["prefix_folder_bytes"] = stats.n_stored_file_bytes;
    values["preemptions"] = stats.n_preemptions;
    values["submitted"] = stats.n_submitted;
    values["structured"] = stats.n_structured;
    values["sampler_grammars"] = stats.n_sampler_grammars;
    values["finished"] = stats.n_finished;
    values["cancelled"] = stats.n_cancelled;
    values["failed"] = stats.n_failed;
    values["rejected_queue_full"] = stats.n_rejected_full;
    values["rejected_context_full"] = stats.n_rejected_context;
    values["rejected_deadline"] = stats.n_rejected_deadline;
    values["step_seconds"] = histogram_of(stats.step_s);
    values["step_tokens"] = histogram_of(stats.step_rows);
    values["first_token_seconds"] = histogram_of(stats.first_token_s);
    values["inter_token_seconds"] = histogram_of(stats.between_tokens_s);
    return values;
}

} // namespace inllama
