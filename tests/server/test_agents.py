"""What coding agents send: connect, stream, call tools, go on.

``agents/*.jsonl`` were written by hand after public descriptions of what Codex and Claude Code send; their prompts and
the descriptions of their tools are our own.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from anthropic.types import Message as AnthropicMessage
from anthropic.types import RawMessageStreamEvent
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from serving import served

from inllama import Engine
from inllama.testing import FakeEngine, Reply

KEY = "sk-a-key-of-the-test"
FOLDER = Path(__file__).parent / "agents"
OPENAI_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ANTHROPIC_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
# Without chance the demo model says little.
GREEDY = {"temperature": 0}
CALL = '<tool_call>{"name": "%s", "arguments": %s}</tool_call>'
# A model that thinks, says what it will do, calls two tools, and is content with their results.
AGENT_TOOLS = {
    "codex": [("exec_command", {"cmd": "ls"}), ("update_plan", {"plan": [{"step": "Look", "status": "in_progress"}]})],
    "claude_code": [
        ("Bash", {"command": "ls"}),
        ("TodoWrite", {"todos": [{"content": "Look", "status": "pending", "activeForm": "Looking"}]}),
    ],
}
CODEX_IGNORED = [
    "tools[custom]",
    "tools[namespace]",
    "tools[tool_search]",
    "tools[web_search]",
    "tools[image_generation]",
    "tools[local_shell]",
]


@dataclass
class Answer:
    """What an agent was answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def ignored(self) -> list[str]:
        given = self.headers.get("x-inllama-ignored")
        return given.split(", ") if given else []

    @property
    def events(self) -> list[dict[str, Any]]:
        """The data of all events; each has the name of its type."""
        assert self.headers["content-type"].startswith("text/event-stream"), self
        found = []
        for piece in self.body.decode().removesuffix("\n\n").split("\n\n"):
            match = re.fullmatch(r"event: (\S+)\ndata: (.*)", piece)
            assert match is not None, piece
            found.append(json.loads(match[2]))
            assert found[-1]["type"] == match[1]
        return found


def recorded(agent: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{agent}.jsonl").read_text(encoding="utf-8").splitlines()]


def ask(url: str, request: dict[str, Any], **changed: Any) -> Answer:
    """Send a recorded request, with some fields of its body changed."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        body = None
        if request["body"] is not None:
            body = json.dumps({**request["body"], **changed}, ensure_ascii=False).encode()
        connection.request(request["method"], request["path"], body, request["headers"])
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, headers, answer.read())
    finally:
        connection.close()


def model_of(agent: str) -> Callable[[str], str]:
    calls = "".join(CALL % (name, json.dumps(arguments)) for name, arguments in AGENT_TOOLS[agent])

    def reply(prompt: str) -> str:
        if not prompt.startswith("<|tools"):
            return '<think>short</think>{"title": "An empty basket"}'
        is_result = prompt.rfind("<|tool\n") > prompt.rfind("<|user\n")
        return "<think>good</think>All done." if is_result else f"<think>look first</think>I look.{calls}"

    return reply


@pytest.fixture(scope="module")
def demo_server() -> Iterator[str]:
    """The demo model, with room for what agents say first."""
    with Engine("demo", n_ctx=5120) as engine, served(engine, model_names=("*",), api_keys=(KEY,)) as url:
        yield url


@pytest.fixture
def codex_url() -> Iterator[str]:
    with FakeEngine(model_of("codex")) as engine, served(engine, model_names=("*",), api_keys=(KEY,)) as url:
        yield url


@pytest.fixture
def claude_url() -> Iterator[str]:
    with FakeEngine(model_of("claude_code")) as engine, served(engine, model_names=("*",), api_keys=(KEY,)) as url:
        yield url


# ----------------------------------------------------------------------------------- the order of events, as documented


def checked_response(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the response at the end of a stream, after looking at each event before it."""
    for number, event in enumerate(events):
        OPENAI_EVENT.validate_python(event)
        assert event["sequence_number"] == number
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds[:2] == ["created", "in_progress"]
    assert kinds[-1] in ("completed", "incomplete")
    response: dict[str, Any] = events[-1]["response"]
    Response.model_validate(response)
    assert {event["response"]["id"] for event in (events[0], events[1], events[-1])} == {response["id"]}
    assert [event["response"]["status"] for event in events[:2]] == ["in_progress", "in_progress"]
    rest = events[2:-1]
    items = []
    while rest:
        item, rest = checked_item(rest, len(items))
        items.append(item)
    if response["status"] == "completed":
        assert response["output"] == items
    return response


def checked_item(events: list[dict[str, Any]], index: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the item that some events make, and the events after it."""
    assert events[0]["type"] == "response.output_item.added"
    end = next(n for n, event in enumerate(events) if event["type"] == "response.output_item.done")
    own, added, done = events[1:end], events[0]["item"], events[end]["item"]
    assert (added["id"], added["type"]) == (done["id"], done["type"])
    assert {event["output_index"] for event in events[: end + 1]} == {index}
    assert {event["item_id"] for event in own} <= {done["id"]}
    has_parts = done["type"] != "function_call"
    if has_parts:
        assert own[0]["type"] == "response.content_part.added"
        assert own[-1]["type"] == "response.content_part.done"
        assert own[-1]["part"] == done["content"][0]
        own = own[1:-1]
    name = {"reasoning": "reasoning_text", "message": "output_text", "function_call": "function_call_arguments"}
    kinds = [event["type"] for event in own]
    stem = f"response.{name[done['type']]}"
    assert set(kinds[:-1]) <= {f"{stem}.delta"}
    assert kinds[-1] == f"{stem}.done"
    whole = "".join(event["delta"] for event in own[:-1])
    assert own[-1].get("text", own[-1].get("arguments")) == whole
    assert (done["content"][0]["text"] if has_parts else done["arguments"]) == whole
    return done, events[end + 1 :]


def checked_message(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the message that a stream makes, after looking at each event."""
    for event in events:
        if event["type"] != "ping":  # which the client takes out of the stream
            ANTHROPIC_EVENT.validate_python(event)
    events = [event for event in events if event["type"] != "ping"]
    assert events[0]["type"] == "message_start"
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    message: dict[str, Any] = events[0]["message"]
    assert (message["content"], message["stop_reason"]) == ([], None)
    rest = events[1:-2]
    while rest:
        block, rest = checked_block(rest, len(message["content"]))
        message["content"].append(block)
    message |= events[-2]["delta"]
    message["usage"] = events[-2]["usage"]
    AnthropicMessage.model_validate(message)
    return message


def checked_block(events: list[dict[str, Any]], index: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the block that some events make, and the events after it."""
    assert events[0]["type"] == "content_block_start"
    end = next(n for n, event in enumerate(events) if event["type"] == "content_block_stop")
    assert {event["index"] for event in events[: end + 1]} == {index}
    assert {event["type"] for event in events[1:end]} <= {"content_block_delta"}
    block: dict[str, Any] = events[0]["content_block"]
    field, kind = {
        "text": ("text", "text_delta"),
        "thinking": ("thinking", "thinking_delta"),
        "tool_use": ("partial_json", "input_json_delta"),
    }[block["type"]]
    deltas = [event["delta"] for event in events[1:end]]
    assert {delta["type"] for delta in deltas} <= {kind}
    whole = "".join(delta[field] for delta in deltas)
    if block["type"] == "tool_use":
        assert block["input"] == {}
        block["input"] = json.loads(whole)
    else:
        assert block[field] == ""
        block[field] = whole
    return block, events[end + 1 :]


def check(request: dict[str, Any], answer: Answer) -> None:
    """Fail unless an answer is one that its agent can read."""
    assert answer.status == 200, answer
    asked = request["body"] or {}
    path = request["path"].partition("?")[0]
    if path == "/v1/responses":
        checked_response(answer.events)
    elif path == "/v1/messages":
        if asked.get("stream"):
            checked_message(answer.events)
        else:
            AnthropicMessage.model_validate(answer.json)
    elif path == "/v1/messages/count_tokens":
        assert list(answer.json) == ["input_tokens"]


# -------------------------------------------------------------------------------------------------------- all of it


@pytest.mark.parametrize("number", range(len(recorded("codex"))))
def test_codex_over_the_demo_model(demo_server: str, number: int) -> None:
    request = recorded("codex")[number]
    check(request, ask(demo_server, request, **GREEDY))


@pytest.mark.parametrize("number", range(len(recorded("codex"))))
def test_codex_over_a_model_that_calls_tools(codex_url: str, number: int) -> None:
    request = recorded("codex")[number]
    check(request, ask(codex_url, request))


@pytest.mark.parametrize("number", range(len(recorded("claude_code"))))
def test_claude_code_over_the_demo_model(demo_server: str, number: int) -> None:
    request = recorded("claude_code")[number]
    check(request, ask(demo_server, request, **GREEDY))


@pytest.mark.parametrize("number", range(len(recorded("claude_code"))))
def test_claude_code_over_a_model_that_calls_tools(claude_url: str, number: int) -> None:
    request = recorded("claude_code")[number]
    check(request, ask(claude_url, request))


def test_agents_need_their_key(codex_url: str) -> None:
    for agent in ("codex", "claude_code"):
        for request in recorded(agent):
            if request["method"] != "HEAD":  # of the page, which is public
                bare = {name: value for name, value in request["headers"].items() if KEY not in value}
                assert ask(codex_url, {**request, "headers": bare}).status == 401


# ------------------------------------------------------------------------------------------------------------ Codex


def test_codex_finds_its_own_list_of_models(codex_url: str) -> None:
    body = ask(codex_url, recorded("codex")[0]).json
    assert body["models"] == []
    assert [model["id"] for model in body["data"]] == ["fake"]


@pytest.mark.parametrize("number", [1, 2])
def test_a_probe_of_codex_computes_nothing(number: int) -> None:
    with FakeEngine() as engine, served(engine, model_names=("*",), api_keys=(KEY,)) as url:
        response = checked_response(ask(url, recorded("codex")[number]).events)
        assert engine.stats().submitted == 0
    assert (response["status"], response["output"], response["usage"]["total_tokens"]) == ("completed", [], 0)


def test_tools_that_codex_has_elsewhere_are_named_as_ignored(codex_url: str) -> None:
    answer = ask(codex_url, recorded("codex")[3])
    assert answer.ignored == [*CODEX_IGNORED, "text.verbosity"]


def test_codex_is_given_thoughts_text_and_calls(codex_url: str) -> None:
    request = recorded("codex")[3]
    response = checked_response(ask(codex_url, request, parallel_tool_calls=True).events)
    kinds = [item["type"] for item in response["output"]]
    assert kinds == ["reasoning", "message", "function_call", "function_call"]
    thought, said, *calls = response["output"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "look first"}]
    assert said["content"][0]["text"] == "I look."
    assert [(call["name"], json.loads(call["arguments"])) for call in calls] == AGENT_TOOLS["codex"]
    assert len({call["call_id"] for call in calls}) == 2
    # Its name for the model, and only the tools that were taken.
    assert response["model"] == request["body"]["model"]
    assert {tool["type"] for tool in response["tools"]} == {"function"}
    assert response["store"] is False


def test_a_session_of_codex_goes_on(codex_url: str) -> None:
    request = recorded("codex")[3]
    first = checked_response(ask(codex_url, request).events)
    results = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "src\ntests"}
        for item in first["output"]
        if item["type"] == "function_call"
    ]
    said = [*request["body"]["input"], *first["output"], *results]
    second = checked_response(ask(codex_url, request, input=said).events)
    assert [item["type"] for item in second["output"]] == ["reasoning", "message"]
    cached = second["usage"]["input_tokens_details"]["cached_tokens"]
    assert first["usage"]["input_tokens"] <= cached < second["usage"]["input_tokens"]
    more = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And now?"}]}
    third = checked_response(ask(codex_url, request, input=[*said, *second["output"], more]).events)
    assert third["usage"]["input_tokens_details"]["cached_tokens"] > cached


def test_a_session_of_codex_over_the_demo_model_finds_its_prefix(demo_server: str) -> None:
    first, second = (checked_response(ask(demo_server, one, **GREEDY).events) for one in recorded("codex")[3:5])
    cached = second["usage"]["input_tokens_details"]["cached_tokens"]
    assert first["usage"]["input_tokens"] - 5 <= cached < second["usage"]["input_tokens"]


def test_codex_is_given_the_structure_that_it_asked_for(codex_url: str, demo_server: str) -> None:
    for url in (codex_url, demo_server):
        response = checked_response(ask(url, recorded("codex")[7], **GREEDY).events)
        (said,) = [item for item in response["output"] if item["type"] == "message"]
        assert list(json.loads(said["content"][0]["text"])) == ["is_empty"]


# ------------------------------------------------------------------------------------------------------ Claude Code


def test_claude_code_is_given_thoughts_text_and_calls(claude_url: str) -> None:
    request = recorded("claude_code")[5]
    answer = ask(claude_url, request)
    assert answer.ignored == ["context_management"]
    message = checked_message(answer.events)
    assert [block["type"] for block in message["content"]] == ["thinking", "text", "tool_use", "tool_use"]
    thought, said, *calls = message["content"]
    assert (thought["thinking"], said["text"]) == ("look first", "I look.")
    assert [(call["name"], call["input"]) for call in calls] == AGENT_TOOLS["claude_code"]
    assert (message["stop_reason"], message["model"]) == ("tool_use", request["body"]["model"])


def test_a_tool_that_only_anthropic_has_is_named_as_ignored(claude_url: str) -> None:
    assert ask(claude_url, recorded("claude_code")[7]).ignored == ["context_management", "tools[web_search_20250305]"]


def test_a_session_of_claude_code_goes_on(claude_url: str) -> None:
    request = recorded("claude_code")[5]
    asked = request["body"]["messages"]
    first = checked_message(ask(claude_url, request).events)
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "src\ntests", "is_error": False}
        for block in first["content"]
        if block["type"] == "tool_use"
    ]
    said = [*asked, {"role": "assistant", "content": first["content"]}, {"role": "user", "content": results}]
    changed_header = [dict(block) for block in request["body"]["system"]]
    changed_header[0]["text"] = changed_header[0]["text"].replace("fa690", "00000")
    second = checked_message(ask(claude_url, request, messages=said, system=changed_header).events)
    assert [block["type"] for block in second["content"]] == ["thinking", "text"]
    assert second["stop_reason"] == "end_turn"
    n_first = first["usage"]["input_tokens"] + first["usage"]["cache_read_input_tokens"]
    # The header that changes with each request is not part of the prompt: all of the first one was found again.
    assert second["usage"]["cache_read_input_tokens"] >= n_first
    assert second["usage"]["input_tokens"] > 0


def test_a_session_of_claude_code_over_the_demo_model_finds_its_prefix(demo_server: str) -> None:
    first, second = (checked_message(ask(demo_server, one, **GREEDY).events) for one in recorded("claude_code")[5:7])
    n_first = first["usage"]["input_tokens"] + first["usage"]["cache_read_input_tokens"]
    assert second["usage"]["cache_read_input_tokens"] >= n_first - 5
    assert second["usage"]["input_tokens"] > 0


def test_claude_code_is_given_a_title(claude_url: str) -> None:
    message = checked_message(ask(claude_url, recorded("claude_code")[4]).events)
    thought, said = message["content"]
    assert thought["type"] == "thinking"
    assert json.loads(said["text"]) == {"title": "An empty basket"}


def test_what_is_counted_is_what_is_computed(claude_url: str, demo_server: str) -> None:
    for url in (claude_url, demo_server):
        counting, request = recorded("claude_code")[3], recorded("claude_code")[5]
        counted = ask(url, counting).json["input_tokens"]
        usage = checked_message(ask(url, request, **GREEDY).events)["usage"]
        assert counted == usage["input_tokens"] + usage["cache_read_input_tokens"]
        without_system = ask(url, counting, system=[]).json["input_tokens"]
        without_tools = ask(url, counting, tools=[]).json["input_tokens"]
        assert counted > without_system > 0.5 * counted  # most of it are tools
        assert 0.5 * counted > without_tools > 0


def test_more_tokens_than_the_context_has_may_be_asked_for(demo: Engine) -> None:
    with served(demo, model_names=("*",)) as url:
        short = [{"role": "user", "content": "Hello!"}]
        claude = ask(url, recorded("claude_code")[5], messages=short, tools=[], system=[], **GREEDY)
        assert checked_message(claude.events)["stop_reason"] in ("end_turn", "max_tokens")
        codex = ask(
            url, recorded("codex")[3], input=short, tools=[], instructions=None, max_output_tokens=128_000, **GREEDY
        )
        assert checked_response(codex.events)["status"] in ("completed", "incomplete")


def test_a_prompt_that_is_too_long_is_said_in_the_agents_words(demo: Engine) -> None:
    with served(demo, model_names=("*",)) as url:
        codex, claude = ask(url, recorded("codex")[3]), ask(url, recorded("claude_code")[5])
    assert (codex.status, codex.json["error"]["code"]) == (400, "context_length_exceeded")
    assert (claude.status, claude.json["error"]["type"]) == (400, "invalid_request_error")
    assert "2048" in claude.json["error"]["message"]


def test_a_failure_in_the_middle_is_an_event_that_agents_know(caplog: pytest.LogCaptureFixture) -> None:
    reply = Reply("Let me", error=ConnectionError("gone"), error_after=4)
    with FakeEngine(reply) as engine, served(engine, model_names=("*",)) as url:
        codex, claude = ask(url, recorded("codex")[3]).events, ask(url, recorded("claude_code")[5]).events
    OPENAI_EVENT.validate_python(codex[-1])
    assert codex[-1]["type"] == "response.failed"
    assert codex[-1]["response"]["error"]["code"] == "server_error"
    assert claude[-1]["type"] == "error"
    assert claude[-1]["error"]["type"] == "api_error"
    assert caplog.text.count("gone") >= 2
