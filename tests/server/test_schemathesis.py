"""Requests made from ``/openapi.json``, good ones and bad ones: no error of ours, and every other one in its shape.

``INLLAMA_EXAMPLES=200`` makes more of each.
"""

from __future__ import annotations

import json
import logging
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from raw_http import ask, chat
from schemathesis import GenerationMode
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from serving import served

from inllama.server.openapi import description
from inllama.server.routes import ROUTES
from inllama.testing import FakeEngine

N_EXAMPLES = int(os.environ.get("INLLAMA_EXAMPLES", "30"))

NEEDED = {"messages", "max_tokens", "prompt", "input", "query", "documents", "content", "tokens"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CONVERSATIONS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "Hello!"}],
    [{"role": "user", "content": [{"type": "text", "text": "Hello,"}, {"type": "text", "text": " you!"}]}],
    [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "\u202eHello! \U0001f600"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": ""}],
    [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "{}"},
    ],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
]
POSSIBLE: dict[str, list[Any]] = {
    "messages": CONVERSATIONS,
    "prompt": ["Once", ["Once", "upon"], [79, 110], [[79], [110, 99]], "a\n" * 50],
    "input": ["Hello!", ["a", "b"], [72, 101], [[72], [101]], [{"role": "user", "content": "Hello!"}]],
    "documents": [["a", "b", "c"], [{"text": "a"}, "b"]],
    "tokens": [[72, 101], [240, 159], []],
}
REPLY = '<think>Well.</think>A reply. <tool_call>{"name": "f", "arguments": {}}</tool_call>'


def schema_for(mode: GenerationMode) -> schemathesis.BaseSchema:
    generation = GenerationConfig(modes=[mode], max_examples=N_EXAMPLES, deterministic=True, allow_x00=True)
    config = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=generation)))
    return schemathesis.openapi.from_dict(json.loads(json.dumps(description())), config=config)


good = schema_for(GenerationMode.POSITIVE)
few = schema_for(GenerationMode.POSITIVE).include(method="POST")
# Of others, everything fits.
bad = schema_for(GenerationMode.NEGATIVE).include(path_regex="^/(?!health|ready)")
examples = settings(
    max_examples=N_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    # A request may ask for as many tokens as fit.
    with FakeEngine(REPLY, n_ctx=1024) as engine, served(engine, max_outputs=8, max_body_bytes=1 << 22) as found:
        yield found


def check(url: str, case: schemathesis.Case, caplog: pytest.LogCaptureFixture) -> None:
    """Send a request and look at its answer."""
    response = case.call(base_url=url, timeout=30)
    text = response.content.decode()
    asks_for_time = isinstance(case.body, dict) and "timeout_s" in case.body
    shown = f"{case.as_curl_command()}\n{response.status_code} {text[:1000]}\n{caplog.text[-3000:]}"
    assert response.status_code < 500 or (response.status_code == 504 and asks_for_time), shown
    assert '"internal_error"' not in text, shown
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR], shown
    caplog.clear()
    if response.status_code >= 400 and case.method != "HEAD":
        body = json.loads(text)
        assert response.headers["content-type"] == ["application/json"], shown
        if case.path.startswith("/v1/messages"):
            assert body.keys() == {"type", "error", "request_id"}, shown
            assert body["error"].keys() == {"type", "message"}, shown
        else:
            assert body.keys() == {"error"}, shown
            assert body["error"].keys() == {"message", "type", "param", "code"}, shown
            assert isinstance(body["error"]["param"], str | None), shown
            assert body["error"]["code"], shown
        assert body["error"]["message"], shown
        assert len(text) < 10_000, shown
    elif response.headers["content-type"][0] == "application/json":
        json.loads(text)


def test_no_route_is_left_out() -> None:
    operations = {(operation.ok().method.upper(), operation.ok().path) for operation in good.get_all_operations()}
    assert operations == {(route.method, route.path.replace(":path", "")) for route in ROUTES}


@pytest.mark.slow
@good.parametrize()
@examples
def test_what_fits_the_description_is_no_error_of_ours(
    url: str, case: schemathesis.Case, caplog: pytest.LogCaptureFixture
) -> None:
    check(url, case, caplog)


def thinned(body: dict[str, Any]) -> dict[str, Any]:
    """Return a body with what is needed, in a possible form, and few other fields: with many, some do not agree."""
    chance = random.Random(json.dumps(body, sort_keys=True))
    kept = {name: value for name, value in body.items() if name in NEEDED}
    others = sorted(body.keys() - kept.keys() - {"model"})
    kept |= {name: body[name] for name in chance.sample(others, min(len(others), chance.randrange(4)))}
    if chance.random() < 0.7:
        kept |= {name: chance.choice(POSSIBLE[name]) for name in kept if name in POSSIBLE}
    return kept


@pytest.mark.slow
@few.parametrize()
@examples
def test_few_fields_at_a_time_are_none_either(
    url: str, case: schemathesis.Case, caplog: pytest.LogCaptureFixture
) -> None:
    if isinstance(case.body, dict):
        case.body = thinned(case.body)
    check(url, case, caplog)


@pytest.mark.slow
@bad.parametrize()
@examples
def test_what_does_not_fit_it_is_none_either(
    url: str, case: schemathesis.Case, caplog: pytest.LogCaptureFixture
) -> None:
    check(url, case, caplog)


def test_the_server_still_answers(url: str) -> None:
    assert ask(url, "POST", "/v1/chat/completions", chat(max_tokens=3)).status == 200
