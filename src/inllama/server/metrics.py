"""What Prometheus reads: vLLM's names, so that dashboards carry over, with ``inllama:`` before them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from inllama.outputs import Timings
from inllama.stats import Histogram as Counts
from inllama.stats import Stats

if TYPE_CHECKING:
    from inllama.server.service import Service

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)

# Name, field of ``Stats``, text.
_GAUGES = (
    ("num_requests_running", "running", "Outputs that are computed now."),
    ("num_requests_waiting", "waiting", "Outputs that wait for a place."),
    ("num_texts_waiting", "texts_waiting", "Texts that shall become vectors or scores."),
    ("cached_sequences", "cached_sequences", "Ended outputs that are kept for their prefixes."),
    ("prefix_memory_bytes", "prefix_memory_bytes", "Main memory that evicted prefixes take."),
)
_COUNTERS = (
    ("prompt_tokens", "prompt_tokens", "Prompt tokens of all requests that started."),
    ("generation_tokens", "completion_tokens", "Tokens that were generated."),
    ("prefix_cache_queries", "prompt_tokens", "Prompt tokens that were looked for in memory."),
    ("prefix_cache_hits", "cached_tokens", "Of those, the ones that were there."),
    ("num_preemptions", "preemptions", "Outputs that had to give way to others."),
    ("evicted_cells", "evicted_cells", "KV cells of kept prefixes that were given to others."),
    ("decode_steps", "steps", "Computed batches."),
    ("failed_steps", "failed_steps", "Batches that could not be computed."),
    ("request_cancelled", "cancelled", "Requests that the caller ended."),
    ("request_failed", "failed", "Requests that an error ended."),
    ("embedded_texts", "embedded_texts", "Texts that became vectors or scores."),
    ("embedded_tokens", "embedded_tokens", "Tokens of those."),
)
_HISTOGRAMS = (
    ("time_to_first_token_seconds", "first_token_seconds", "From submission to the first token."),
    ("inter_token_latency_seconds", "inter_token_seconds", "From token to token of an output."),
    ("step_seconds", "step_seconds", "How long a batch took."),
    ("step_tokens", "step_tokens", "Rows of a batch."),
)


class Metrics:
    """The figures of one server, in a registry of their own."""

    def __init__(self, service: Service) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_EngineCollector(service))
        self._finished = Counter(
            "inllama:request_success",
            "Outputs that ended, by reason.",
            ["finished_reason"],
            registry=self._registry,
        )
        self._rejected = Counter(
            "inllama:request_rejected",
            "Requests that were answered with an error.",
            ["reason"],
            registry=self._registry,
        )
        self._whole = self._histogram("e2e_request_latency_seconds", "From the start of a request to its end.")
        self._queued = self._histogram("request_queue_time_seconds", "Waiting before the prompt was computed.")
        self._prefill = self._histogram("request_prefill_time_seconds", "Computing the prompt.")

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"inllama:{name}", text, registry=self._registry, buckets=_SECONDS)

    def finished(self, reasons: Iterable[str], timings: Timings) -> None:
        """Count a request whose outputs ended."""
        for reason in reasons:
            self._finished.labels(reason).inc()
        self._whole.observe(timings.total_s)
        self._queued.observe(timings.queued_s)
        self._prefill.observe(timings.prefill_s)

    def rejected(self, reason: str) -> None:
        """Count a request that was answered with an error."""
        self._rejected.labels(reason).inc()

    def text(self) -> bytes:
        """Return what Prometheus reads."""
        return generate_latest(self._registry)


class _EngineCollector(Collector):
    """Asks the engine when somebody wants to know."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing: names are known once the engine is there."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily]:
        """Yield what the engine counts."""
        # A model may have several names.
        engines = {one.engine: one.name for one in reversed(self._service.models.facts()) if one.engine is not None}
        found = {name: engine.stats() for engine, name in engines.items()}
        if not found:
            return
        for metric, field, text in _GAUGES:
            yield _gauge(metric, text, {name: getattr(stats, field) for name, stats in found.items()})
        usages = {name: _usage(stats) for name, stats in found.items()}
        yield _gauge("kv_cache_usage_perc", "Part of the KV cache that is used; 1 is all.", usages)
        for metric, field, text in _COUNTERS:
            counter = CounterMetricFamily(f"inllama:{metric}", text, labels=["model_name"])
            for name, stats in found.items():
                counter.add_metric([name], getattr(stats, field))
            yield counter
        for metric, field, text in _HISTOGRAMS:
            histogram = HistogramMetricFamily(f"inllama:{metric}", text, labels=["model_name"])
            for name, stats in found.items():
                counts: Counts = getattr(stats, field)
                histogram.add_metric([name], _buckets(counts), counts.sum)
            yield histogram


def _gauge(metric: str, text: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(f"inllama:{metric}", text, labels=["model_name"])
    for name, value in values.items():
        gauge.add_metric([name], value)
    return gauge


def _usage(stats: Stats) -> float:
    return stats.kv_cells_used / stats.kv_cells if stats.kv_cells else 0.0


def _buckets(counts: Counts) -> list[tuple[str, float]]:
    found, total = [], 0
    for bound, count in zip([*map(str, counts.bounds), "+Inf"], counts.counts, strict=True):
        total += count
        found.append((bound, float(total)))
    return found
