"""Each class of errors has one answer, and what is not foreseen says nothing of itself."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from raw_http import Connection, ask, chat, until
from serving import served

from inllama import Engine, errors
from inllama.errors import InllamaError
from inllama.server.failures import STATUSES, Failure, anthropic_dict, failure_of, internal_failure
from inllama.testing import FakeEngine, Reply

CHAT = "/v1/chat/completions"
BAD = "invalid_request_error"
EXPECTED: dict[type[InllamaError], tuple[int, str, str]] = {
    errors.InvalidRequestError: (400, BAD, "invalid_value"),
    errors.ContextFullError: (400, BAD, "context_length_exceeded"),
    errors.GrammarError: (400, BAD, "invalid_structure"),
    errors.TemplateError: (400, BAD, "invalid_template"),
    errors.UnsupportedError: (400, BAD, "unsupported"),
    errors.IncompleteOutputError: (400, BAD, "incomplete_output"),
    errors.StateError: (400, BAD, "invalid_state"),
    errors.QueueFullError: (429, "rate_limit_error", "queue_full"),
    errors.EngineClosedError: (503, "server_error", "engine_closed"),
    errors.ForkedEngineError: (503, "server_error", "engine_closed"),
    errors.InsufficientMemoryError: (503, "server_error", "insufficient_memory"),
    errors.DeadlineError: (504, "timeout_error", "deadline_exceeded"),
    errors.EngineError: (500, "server_error", "engine_error"),
    errors.DecodeError: (500, "server_error", "engine_error"),
    errors.ConcurrentUseError: (500, "server_error", "engine_error"),
}
# No request can cause these.
INTERNAL = {errors.InllamaError, errors.ModelLoadError}
ANTHROPIC = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def tree(cls: type[InllamaError]) -> set[type[InllamaError]]:
    return {cls}.union(*map(tree, cls.__subclasses__()))


def test_every_class_of_errors_has_an_answer() -> None:
    ours = {cls for cls in tree(InllamaError) if cls.__module__.startswith("inllama")}
    assert ours == set(EXPECTED) | INTERNAL
    assert set(STATUSES) <= set(EXPECTED)


@pytest.mark.parametrize("cls", EXPECTED, ids=lambda cls: cls.__name__)
def test_an_error_becomes_its_answer(cls: type[InllamaError]) -> None:
    failure = failure_of(cls("what is wrong", option="temperature", value=3))
    assert failure is not None
    assert (failure.status, failure.kind, failure.code) == EXPECTED[cls]
    assert failure.to_dict() == {
        "error": {
            "message": "what is wrong",
            "type": EXPECTED[cls][1],
            "param": "temperature",
            "code": EXPECTED[cls][2],
        }
    }


@pytest.mark.parametrize(
    "error", [InllamaError("x"), errors.ModelLoadError("x"), ValueError("x"), MemoryError(), OSError()]
)
def test_what_no_request_can_cause_has_none(error: Exception) -> None:
    assert failure_of(error) is None


@pytest.mark.parametrize("status", ANTHROPIC)
def test_anthropics_shape_has_its_own_words(status: int) -> None:
    failure = Failure(status, "what is wrong", code="some_code")
    assert anthropic_dict(failure, "req_1") == {
        "type": "error",
        "error": {"type": ANTHROPIC[status], "message": "what is wrong"},
        "request_id": "req_1",
    }


def test_an_internal_failure_says_nothing_but_where_to_look() -> None:
    failure = internal_failure("req_1")
    assert (failure.status, failure.kind, failure.code) == (500, "server_error", "internal_error")
    assert failure.message == "an internal error; the server's log has it under req_1"


# Over HTTP.


class Failing:
    """A server whose requests fail with whatever it is told."""

    def __init__(self) -> None:
        self.url = ""
        self.error: Exception = ValueError()

    def reply(self, prompt: str) -> str:
        raise self.error


@pytest.fixture(scope="module")
def failing() -> Iterator[Failing]:
    made = Failing()
    with FakeEngine(made.reply) as engine, served(engine) as made.url:
        yield made
    for error in UNFORESEEN:
        error.__traceback__ = error.__context__ = None  # which hold the engine


@pytest.mark.parametrize("cls", EXPECTED, ids=lambda cls: cls.__name__)
def test_a_request_that_fails_is_answered_so(failing: Failing, cls: type[InllamaError]) -> None:
    status, kind, code = EXPECTED[cls]
    failing.error = cls("what is wrong")
    for path, body in [(CHAT, chat()), ("/v1/completions", {"prompt": "a"}), ("/v1/responses", {"input": "a"})]:
        answer = ask(failing.url, "POST", path, body)
        error = answer.refused(status, code)
        assert (error["type"], error["message"]) == (kind, "what is wrong")
        assert answer.header("retry-after") == ("1" if code in ("queue_full", "insufficient_memory") else None)
        assert answer.header("x-should-retry") == ("false" if status == 504 else None)
    answer = ask(failing.url, "POST", "/v1/messages", chat(max_tokens=5))
    assert (answer.status, answer.anthropic_error["type"]) == (status, ANTHROPIC[status])


class Odd(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


SECRET = "/home/somebody/secret.gguf"
UNFORESEEN = [
    ValueError(SECRET),
    KeyError(SECRET),
    RuntimeError(SECRET),
    RecursionError(SECRET),
    MemoryError(SECRET),
    OSError(2, "No such file", SECRET),
    ConnectionResetError(SECRET),
    TimeoutError(SECRET),
    AssertionError(SECRET),
    NotImplementedError(SECRET),
    asyncio.QueueEmpty(SECRET),
    UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET),
    errors.ModelLoadError(SECRET),
    ExceptionGroup(SECRET, [ValueError(SECRET)]),
    Odd(),
]


@pytest.mark.parametrize("error", UNFORESEEN, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/responses", "/v1/messages"])
def test_what_is_not_foreseen_is_in_the_log_and_not_in_the_answer(
    failing: Failing, error: Exception, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    failing.error = error
    body = {CHAT: chat(), "/v1/completions": {"prompt": "a"}, "/v1/responses": {"input": "a"}}
    answer = ask(failing.url, "POST", path, body.get(path, chat(max_tokens=5)), {"x-request-id": "the-request"})
    assert ask(failing.url).status == 200
    assert answer.status == 500
    text = "an internal error; the server's log has it under the-request"
    if path == "/v1/messages":
        assert answer.anthropic_error == {"type": "api_error", "message": text}
    else:
        assert answer.refused(500, "internal_error")["message"] == text
    assert SECRET.encode() not in answer.body
    records = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in records] == ["request the-request failed"]
    assert records[0].exc_info is not None
    assert records[0].exc_info[1] is error


def test_a_stream_that_fails_says_so_and_has_no_end() -> None:
    error = errors.DecodeError("the computation failed")
    with FakeEngine(Reply("some text", error=error, error_after=5)) as engine, served(engine) as url:
        for path, body in [(CHAT, chat(stream=True)), ("/v1/completions", {"prompt": "a", "stream": True})]:
            answer = ask(url, "POST", path, body)
            assert answer.status == 200
            last = answer.body.decode().strip().split("\n\n")[-1]
            assert json.loads(last.removeprefix("data: ")) == {
                "error": {
                    "message": "the computation failed",
                    "type": "server_error",
                    "param": None,
                    "code": "engine_error",
                }
            }
        answer = ask(url, "POST", "/v1/messages", chat(max_tokens=9, stream=True))
        name, data = answer.body.decode().strip().split("\n\n")[-1].split("\n")
        assert name == "event: error"
        assert json.loads(data.removeprefix("data: "))["error"] == {
            "type": "api_error",
            "message": "the computation failed",
        }
        answer = ask(url, "POST", "/v1/responses", {"input": "a", "stream": True})
        name, data = answer.body.decode().strip().split("\n\n")[-1].split("\n")
        assert name == "event: response.failed"
        response = json.loads(data.removeprefix("data: "))["response"]
        assert (response["status"], response["error"]) == (
            "failed",
            {"code": "server_error", "message": "the computation failed"},
        )


def test_a_bug_in_the_middle_of_a_stream_says_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    with FakeEngine(Reply("some text", error=ValueError(SECRET), error_after=5)) as engine, served(engine) as url:
        for path, body in [
            (CHAT, chat(stream=True)),
            ("/v1/completions", {"prompt": "a", "stream": True}),
            ("/v1/messages", chat(max_tokens=9, stream=True)),
            ("/v1/responses", {"input": "a", "stream": True}),
        ]:
            answer = ask(url, "POST", path, body, {"x-request-id": "the-request"})
            assert answer.status == 200
            assert SECRET.encode() not in answer.body
            assert b"the server's log has it under the-request" in answer.body
            assert b"[DONE]" not in answer.body
    records = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in records] == ["request the-request failed"] * 4


def test_a_full_queue_is_told_to_come_again() -> None:
    with (
        FakeEngine("word " * 100, step_s=0.01, max_running=1, max_queue=1) as engine,
        served(engine) as url,
        Connection(url) as first,
        Connection(url) as second,
    ):
        first.request("POST", CHAT, chat())
        until(lambda: engine.stats().running == 1)
        second.request("POST", CHAT, chat())
        until(lambda: engine.stats().waiting == 1)
        for body in (chat(), chat(stream=True)):
            answer = ask(url, "POST", CHAT, body)
            assert answer.refused(429, "queue_full")["type"] == "rate_limit_error"
            assert answer.header("retry-after") == "1"


def test_a_request_has_a_longest_time() -> None:
    with FakeEngine("word " * 1000, step_s=0.01) as engine, served(engine, request_timeout_s=0.2) as url:
        for fields in ({}, {"timeout_s": 60.0}, {"timeout_s": 0.1}):
            answer = ask(url, "POST", CHAT, chat(**fields))
            answer.refused(504, "deadline_exceeded")
            assert answer.header("x-should-retry") == "false"
        stream = ask(url, "POST", CHAT, chat(stream=True))
        assert stream.status == 200
        assert b'"code":"deadline_exceeded"' in stream.body
        assert engine.stats().rejected_deadline == 4


def test_a_prompt_that_does_not_fit_is_told_the_limit() -> None:
    with FakeEngine("a", n_ctx=256) as engine, served(engine) as url:
        for path, body in [(CHAT, chat("a" * 300)), ("/v1/completions", {"prompt": "a" * 300})]:
            for stream in (False, True):
                error = ask(url, "POST", path, {**body, "stream": stream}).refused(400, "context_length_exceeded")
                assert "256" in error["message"]


# Mistakes anywhere.

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "f", "description": "About f.", "parameters": PARAMETERS, "strict": True}
TOOL = {"type": "function", "function": FUNCTION}
TEXT = {"type": "text", "text": "Hello!"}
RICH: dict[str, dict[str, Any]] = {
    CHAT: {
        "model": "fake",
        "messages": [
            {"role": "system", "content": "Be kind.", "name": "n"},
            {"role": "user", "content": [TEXT, TEXT]},
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "Well.",
                "refusal": None,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "{}"},
        ],
        "tools": [TOOL],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "strict": True, "schema": PARAMETERS}},
        "stream_options": {"include_usage": True},
        "chat_template_kwargs": {"a": 1},
        "documents": [{"title": "t", "text": "x"}],
        "logit_bias": {"5": 1.0},
        "stop": ["x"],
        "adapters": {},
        "metadata": {"a": "b"},
        "max_tokens": 3,
        "stream": True,
    },
    "/v1/responses": {
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}],
             "content": [{"type": "reasoning_text", "text": "r"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "Hello!"}]},
        ],
        "instructions": "Be kind.",
        "include": ["message.output_text.logprobs"],
        "tools": [{"type": "function", **FUNCTION}, {"type": "web_search"}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        "text": {"format": {"type": "json_schema", "name": "s", "schema": PARAMETERS}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "metadata": {"a": "b"},
        "previous_response_id": None,
        "max_output_tokens": 3,
    },
    "/v1/messages": {
        "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [TEXT]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Well.", "signature": ""},
                    TEXT,
                    {"type": "tool_use", "id": "c", "name": "f", "input": {"city": "Oslo"}},
                ],
            },
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c", "content": [TEXT], "is_error": True}, TEXT,
            ]},
        ],
        "tools": [{"name": "f", "description": "d", "input_schema": PARAMETERS}, {"type": "bash_1", "name": "b"}],
        "tool_choice": {"type": "auto", "name": "f", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 5},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": PARAMETERS}},
        "stop_sequences": ["x"],
        "max_tokens": 3,
    },
    "/v1/rerank": {"query": "a", "documents": [{"text": "a"}, "b"], "top_n": 1, "return_documents": True},
    "/v1/embeddings": {"input": ["a", "b"], "encoding_format": "base64", "dimensions": 4, "prefix": "p"},
    "/v1/completions": {"prompt": ["a", "b"], "logprobs": 2, "stop": "x", "max_tokens": 3, "echo": False, "n": 2},
    "/apply-template": {"messages": [{"role": "user", "content": [TEXT]}], "tools": [TOOL], "documents": [{"a": "b"}]},
}  # fmt: skip
RICH["/v1/messages/count_tokens"] = {
    name: value for name, value in RICH["/v1/messages"].items() if name not in ("max_tokens", "stop_sequences")
}
ODD: list[Any] = [None, True, 0, -1, 1.5, 2**40, "", "x", "\u0000", [], [0], [[]], {}, {"type": "x"}, {"a": {"b": []}}]


IMAGES: dict[str, dict[str, Any]] = {
    CHAT: {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
    "/v1/responses": {"type": "input_image", "image_url": "data:,", "detail": "low"},
    "/v1/messages": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}},
}


def mistakes(value: Any) -> Iterator[Any]:
    """Yield copies of a value in which one part is something else, or missing."""
    yield from ODD
    if isinstance(value, dict):
        for name, inner in value.items():
            yield {key: part for key, part in value.items() if key != name}
            for odd in mistakes(inner):
                yield {**value, name: odd}
    elif isinstance(value, list):
        yield value * 2
        for index, inner in enumerate(value):
            for odd in mistakes(inner):
                yield [*value[:index], odd, *value[index + 1 :]]


def bear_mistakes(engine: Engine, path: str, good: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    seen: set[int] = set()
    with served(engine) as url, Connection(url) as connection:
        assert connection.request("POST", path, good).read().status == 200
        for body in mistakes(good):
            answer = connection.request("POST", path, json.dumps(body).encode()).read()
            shown = (body, answer, caplog.text[-3000:])
            assert answer.status in (200, 400, 404), shown
            assert b'"internal_error"' not in answer.body, shown
            assert len(answer.body) < 1_000_000, shown
            if answer.status != 200:
                error = answer.anthropic_error if path.startswith("/v1/messages") else answer.error
                assert error["message"]
            seen.add(answer.status)
    assert {200, 400} <= seen
    assert not caplog.records


@pytest.mark.parametrize("path", RICH)
def test_no_mistake_anywhere_in_a_body_is_an_error_of_ours(path: str, caplog: pytest.LogCaptureFixture) -> None:
    with FakeEngine("A reply.", n_ctx=4096) as engine:
        bear_mistakes(engine, path, RICH[path], caplog)


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in RICH if path not in ("/v1/rerank", "/v1/embeddings")])
def test_a_real_model_bears_them_too(demo: Engine, path: str, caplog: pytest.LogCaptureFixture) -> None:
    beyond = {"model", "documents", "tools", "tool_choice", "chat_template_kwargs"}  # its template shows none
    bear_mistakes(demo, path, {name: value for name, value in RICH[path].items() if name not in beyond}, caplog)


@pytest.mark.parametrize("path", IMAGES)
def test_no_mistake_in_an_image_is_one_either(failing: Failing, path: str, caplog: pytest.LogCaptureFixture) -> None:
    for part in mistakes(IMAGES[path]):
        said = {"role": "user", "content": [part]}
        answer = ask(
            failing.url, "POST", path, {"input" if path == "/v1/responses" else "messages": [said], "max_tokens": 1}
        )
        assert answer.status == 400, answer
    assert not caplog.records
