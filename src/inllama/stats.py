"""What an engine has done and is doing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of measured values.

    Attributes:
        bounds: Largest value of each bucket, rising; the last bucket has none.
        counts: Values in each bucket; one more than bounds.
        sum: Of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        """Values in all buckets."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the engine was made, and what is there now.

    Attributes:
        running: Outputs that are computed now.
        waiting: Outputs that wait for a place.
        kv_cells: Positions that memory holds.
        kv_cells_used: Of those, by running outputs and by kept prefixes.
        cached_sequences: Ended outputs that are kept for their prefixes.
        steps: Computed batches.
        failed_steps: Batches that could not be computed.
        prompt_tokens: Of all requests that started.
        cached_tokens: Of those, the ones that were in memory already.
        prefix_hits: Requests that found some there.
        prefill_tokens: Prompt tokens that were computed; again, if a request had to give way.
        completion_tokens: Generated.
        evicted_cells: Cells of kept prefixes that were given to others.
        recalled_tokens: Of evicted prefixes, those that came back from main memory or files.
        prefix_memory_bytes: That evicted prefixes take in main memory.
        prefix_folder_bytes: And in files.
        preemptions: Outputs that had to give way to others, to be computed again later.
        texts_waiting: Texts that shall become vectors or scores, and are not yet.
        embed_steps: Batches of texts.
        embedded_texts: Texts that became vectors or scores.
        embedded_tokens: Of those texts.
        submitted: Requests taken, without those of texts.
        structured: Of those, with a structure that is enforced by masks, beside the computation.
        sampler_grammars: Of those, with a grammar that llama.cpp's own sampler follows, which is slower.
        finished: Requests that ended, whatever the reason.
        cancelled: Of those, by the caller.
        failed: Of those, by an error.
        rejected_queue_full: Requests that raised ``QueueFullError``.
        rejected_context_full: Requests whose prompt could never fit.
        rejected_deadline: Requests whose time was over before they ended.
        step_seconds: How long the batches took.
        step_tokens: Rows of the batches.
        first_token_seconds: From submission to the first token.
        inter_token_seconds: From token to token of an output.
    """

    running: int
    waiting: int
    kv_cells: int
    kv_cells_used: int
    cached_sequences: int
    steps: int
    failed_steps: int
    prompt_tokens: int
    cached_tokens: int
    prefix_hits: int
    prefill_tokens: int
    completion_tokens: int
    evicted_cells: int
    recalled_tokens: int
    prefix_memory_bytes: int
    prefix_folder_bytes: int
    preemptions: int
    texts_waiting: int
    embed_steps: int
    embedded_texts: int
    embedded_tokens: int
    submitted: int
    structured: int
    sampler_grammars: int
    finished: int
    cancelled: int
    failed: int
    rejected_queue_full: int
    rejected_context_full: int
    rejected_deadline: int
    step_seconds: Histogram
    step_tokens: Histogram
    first_token_seconds: Histogram
    inter_token_seconds: Histogram

    @classmethod
    def of(cls, *natives: dict[str, Any]) -> Stats:
        """Return what native engines report, together."""
        return cls(**{key: _sum([native[key] for native in natives]) for key in natives[0]})

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def _sum(values: list[Any]) -> Any:
    if not isinstance(values[0], tuple):
        return sum(values)
    bounds, counts, sums = zip(*values, strict=True)
    return Histogram(bounds[0], tuple(map(sum, zip(*counts, strict=True))), sum(sums))
