"""What Prometheus reads is true: its figures are those of the answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from raw_http import Answer, Connection, ask, chat, until
from serving import running, served

from inllama import Engine
from inllama.errors import DeadlineError
from inllama.testing import FakeEngine, Reply

CHAT = "/v1/chat/completions"
GAUGES = {"num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"}
COUNTERS = {"prefix_cache_queries", "prefix_cache_hits", "prompt_tokens", "generation_tokens", "request_success",
            "request_rejected"}  # fmt: skip
HISTOGRAMS = {"time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds",
              "request_queue_time_seconds"}  # fmt: skip


class Figures:
    """The samples of ``/metrics``."""

    def __init__(self, url: str) -> None:
        answer = ask(url, "GET", "/metrics")
        assert answer.status == 200
        self.content_type = answer.header("content-type")
        self.families = {
            one.name.removeprefix("inllama:"): one for one in text_string_to_metric_families(answer.body.decode())
        }
        self.samples: list[Sample] = [sample for one in self.families.values() for sample in one.samples]

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of all samples that fit."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == f"inllama:{name}" and labels.items() <= sample.labels.items()
        )

    def labels(self, name: str, label: str) -> dict[str, float]:
        return {one.labels[label]: one.value for one in self.samples if one.name == f"inllama:{name}" and one.value}


def usage_of(answer: Answer) -> tuple[int, int, int]:
    """Return the tokens of prompt, of those found in memory, and of the output."""
    assert answer.status == 200, answer
    usage: dict[str, Any] = answer.json["usage"]
    if "completion_tokens" in usage:
        return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens"]
    if "cache_read_input_tokens" in usage:
        cached = usage["cache_read_input_tokens"]
        return usage["input_tokens"] + cached, cached, usage["output_tokens"]
    return usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"], usage["output_tokens"]


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    (CHAT, chat("Hello!", max_tokens=4)),
    (CHAT, chat("Hello!")),
    (CHAT, chat("Hello!", n=3, max_tokens=5)),
    ("/v1/completions", {"prompt": "Once upon a time", "max_tokens": 7}),
    ("/v1/completions", {"prompt": "Once upon a time", "n": 2}),
    ("/v1/completions", {"prompt": ["Once", "upon"], "max_tokens": 3}),
    ("/v1/responses", {"input": "Hello!", "max_output_tokens": 6}),
    ("/v1/messages", chat("Hello!", max_tokens=6)),
    ("/v1/messages", chat("Hello!", max_tokens=600, stop_sequences=["r"])),
]


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with FakeEngine("A reply of the model.") as made:
        yield made


def test_names_and_kinds_are_those_that_dashboards_know(engine: FakeEngine) -> None:
    with served(engine) as url:
        ask(url, "POST", CHAT, chat())
        ask(url, "POST", CHAT, {})
        figures = Figures(url)
    assert figures.content_type == "text/plain; version=0.0.4; charset=utf-8"
    for names, kind in ((GAUGES, "gauge"), (COUNTERS, "counter"), (HISTOGRAMS, "histogram")):
        for name in names:
            assert figures.families[name].type == kind
            assert figures.families[name].documentation
    assert all(sample.name.startswith("inllama:") for sample in figures.samples)
    assert {sample.labels["model_name"] for sample in figures.samples if "model_name" in sample.labels} == {"fake"}
    for name in HISTOGRAMS:
        for labels in ({"model_name": "fake"}, {}):
            buckets = [
                (float(one.labels["le"]), one.value)
                for one in figures.families[name].samples
                if one.name.endswith("_bucket") and labels.items() <= one.labels.items()
            ]
            assert buckets == sorted(buckets)
            assert [count for _, count in buckets] == sorted(count for _, count in buckets)


def test_counters_are_the_sums_of_the_usages(engine: FakeEngine) -> None:
    with served(engine) as url:
        usages = [usage_of(ask(url, "POST", path, body)) for path, body in REQUESTS * 2]
        figures = Figures(url)
    prompts, cached, generated = (sum(column) for column in zip(*usages, strict=True))
    assert figures.value("prompt_tokens_total") == prompts
    assert figures.value("prefix_cache_queries_total") == prompts
    assert figures.value("prefix_cache_hits_total") == cached > 0
    assert figures.value("generation_tokens_total") == generated


def test_they_are_that_for_a_real_model_too() -> None:
    with Engine("demo") as engine, served(engine) as url:
        usages = [usage_of(ask(url, "POST", path, {**body, "seed": 1})) for path, body in REQUESTS]
        figures = Figures(url)
    prompts, cached, generated = (sum(column) for column in zip(*usages, strict=True))
    assert figures.value("prompt_tokens_total", model_name="demo.gguf") == prompts
    assert figures.value("prefix_cache_hits_total") == cached
    assert figures.value("generation_tokens_total") == generated


def test_streams_count_like_whole_answers(engine: FakeEngine) -> None:
    with served(engine) as url:
        for path, body in REQUESTS:
            assert ask(url, "POST", path, {**body, "stream": True}).status == 200
        streamed = Figures(url)
    with FakeEngine("A reply of the model.") as other, served(other) as url:
        for path, body in REQUESTS:
            assert ask(url, "POST", path, body).status == 200
        whole = Figures(url)
    for name in ("prompt_tokens_total", "generation_tokens_total", "prefix_cache_hits_total"):
        assert streamed.value(name) == whole.value(name) > 0
    assert streamed.labels("request_success_total", "finished_reason") == whole.labels(
        "request_success_total", "finished_reason"
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_histograms_have_each_request_once(engine: FakeEngine, stream: bool) -> None:
    requests = [one for one in REQUESTS if not isinstance(one[1].get("prompt"), list)]
    with served(engine) as url:
        for path, body in requests:
            assert ask(url, "POST", path, {**body, "stream": stream}).status == 200
        figures = Figures(url)
    for name in ("e2e_request_latency_seconds", "request_queue_time_seconds", "request_prefill_time_seconds"):
        assert figures.value(f"{name}_count") == len(requests)
        assert figures.value(f"{name}_bucket", le="+Inf") == len(requests)
    assert figures.value("e2e_request_latency_seconds_sum") > figures.value("request_queue_time_seconds_sum")
    n_outputs = sum(body.get("n", 1) for _, body in requests)
    assert len(requests) <= figures.value("time_to_first_token_seconds_count") <= n_outputs
    gaps = figures.value("generation_tokens_total") - n_outputs
    assert gaps <= figures.value("inter_token_latency_seconds_count") <= gaps + n_outputs


def test_outputs_are_counted_by_why_they_ended(engine: FakeEngine) -> None:
    with served(engine) as url:
        ask(url, "POST", CHAT, chat(max_tokens=3, n=2))
        ask(url, "POST", CHAT, chat())
        ask(url, "POST", "/v1/completions", {"prompt": ["a", "b"], "stop": "reply"})
        ask(url, "POST", "/v1/completions", {"prompt": "a", "max_tokens": 1, "stream": True})
        assert Figures(url).labels("request_success_total", "finished_reason") == {"length": 3, "stop": 3}
    call = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    with FakeEngine(call) as calling, served(calling) as url:
        ask(url, "POST", CHAT, chat(tools=[{"type": "function", "function": {"name": "f"}}]))
        assert Figures(url).labels("request_success_total", "finished_reason") == {"tool_calls": 1}


def test_errors_are_counted_by_what_was_wrong() -> None:
    key = {"x-api-key": "key-of-the-test"}
    replies = iter(
        [DeadlineError("too late"), ValueError("a bug"), Reply("text", error=ValueError("bug"), error_after=2)]
    )
    with FakeEngine(lambda prompt: next(replies)) as engine, served(engine, api_keys=["key-of-the-test"]) as url:
        asked = [
            ("GET", "/nowhere", None, {}),
            ("GET", "/nowhere", None, key),
            ("POST", "/health", None, key),
            ("POST", CHAT, b"{", key),
            ("POST", CHAT, {}, key),
            ("POST", CHAT, chat(temperature=-1), key),
            ("POST", CHAT, chat(model="none"), key),
            ("POST", CHAT, chat(), key),
            ("POST", CHAT, chat(), key),
            ("POST", CHAT, chat(stream=True), key),
            ("POST", CHAT, chat(), {**key, "content-type": "text/plain"}),
            ("GET", "/health", None, {"origin": "https://evil.example"}),
        ]
        for method, path, body, headers in asked:
            ask(url, method, path, body, headers)
        with Connection(url) as connection:
            connection.request("GET", "/metrics", None, key)
            body = connection.read().body.decode()
    found = {
        sample.labels["reason"]: sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
        if sample.name == "inllama:request_rejected_total"
    }
    assert found == {
        "invalid_api_key": 1,
        "not_found": 1,
        "method_not_allowed": 1,
        "invalid_json": 1,
        "invalid_value": 2,
        "model_not_found": 1,
        "deadline_exceeded": 1,
        "internal_error": 2,
        "invalid_content_type": 1,
        "origin": 1,
    }


def test_what_is_refused_before_it_is_a_request_is_counted_too(engine: FakeEngine) -> None:
    with running(engine) as server:
        with Connection(server.url) as connection:
            connection.send(b"this is no HTTP\r\n\r\n").read().refused(400, "invalid_http")
        for _ in range(2):
            with Connection(server.url) as connection:
                connection.try_send(connection.head("GET", "/" + "a" * 40_000)).read().refused(431, "invalid_headers")
        figures = Figures(server.url)
    assert figures.labels("request_rejected_total", "reason") == {"invalid_http": 1, "invalid_headers": 2}


def test_no_request_can_add_a_name_or_a_label(engine: FakeEngine) -> None:
    with served(engine) as url:
        ask(url, "POST", CHAT, chat())
        ask(url, "GET", "/nowhere")
        before = {(sample.name, *sample.labels.values()) for sample in Figures(url).samples}
        for index in range(20):
            ask(url, "GET", f"/nowhere-{index}")
            ask(
                url, "POST", CHAT, chat(user=f"user-{index}", metadata={"a": str(index)}), {"x-request-id": f"r{index}"}
            )
        after = {(sample.name, *sample.labels.values()) for sample in Figures(url).samples}
    assert after == before


def test_gauges_show_what_is_there_now() -> None:
    with FakeEngine("word " * 100, step_s=0.01, max_running=2, n_ctx=4096) as engine, running(engine) as server:
        assert Figures(server.url).value("num_requests_running") == 0
        connections = [Connection(server.url).request("POST", CHAT, chat(f"number {i}")) for i in range(5)]
        until(lambda: engine.stats().running == 2 and engine.stats().waiting == 3)
        figures = Figures(server.url)
        assert (figures.value("num_requests_running"), figures.value("num_requests_waiting")) == (2, 3)
        assert 0 < figures.value("kv_cache_usage_perc") < 1
        for connection in connections:
            connection.close()
        until(lambda: engine.stats().running == engine.stats().waiting == 0)
        figures = Figures(server.url)
        assert (figures.value("num_requests_running"), figures.value("num_requests_waiting")) == (0, 0)
        assert figures.value("request_cancelled_total") == engine.stats().cancelled == 5


def test_two_servers_of_one_engine_count_their_own_requests(engine: FakeEngine) -> None:
    with served(engine) as first, served(engine) as second:
        ask(first, "POST", CHAT, chat())
        assert Figures(first).value("request_success_total") == 1
        assert Figures(second).value("request_success_total") == 0
        assert Figures(first).value("prompt_tokens_total") == Figures(second).value("prompt_tokens_total") > 0
