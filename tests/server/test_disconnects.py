"""Clients that go away: what was computed for them ends at once, and nothing of it stays."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from raw_http import Connection, ask, chat, until
from serving import running

from inllama import Engine
from inllama.server.listen import Server
from inllama.testing import FakeEngine

STEP_S = 0.02
LONG = "word " * 200
JSON = {"content-type": "application/json"}
CHAT = "/v1/chat/completions"
ROUTES: dict[str, dict[str, Any]] = {
    CHAT: chat(),
    "/v1/completions": {"prompt": "Once upon a time"},
    "/v1/responses": {"input": "Hello!"},
    "/v1/messages": chat(max_tokens=1000),
}


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with FakeEngine(LONG, step_s=STEP_S, max_running=2, step_tokens=64) as made:
        yield made


@pytest.fixture
def server(engine: FakeEngine) -> Iterator[Server]:
    with running(engine) as made:
        yield made


def is_idle(engine: Engine, server: Server) -> bool:
    stats = engine.stats()
    return (stats.running, stats.waiting, server.service.n_active) == (0, 0, 0)


def ends_at_once(engine: FakeEngine, server: Server, go_away: Callable[[], None], n_cancelled: int = 1) -> None:
    before = engine.stats()
    go_away()
    until(lambda: engine.stats().cancelled == before.cancelled + n_cancelled, within=2)
    until(lambda: is_idle(engine, server), within=2)
    after = engine.stats()
    assert after.steps - before.steps <= 8  # of 1000, which it would have taken
    assert after.failed == 0


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_request_ends_when_its_client_goes_away(engine: FakeEngine, server: Server, path: str, stream: bool) -> None:
    with Connection(server.url) as connection:
        connection.request("POST", path, {**ROUTES[path], "stream": stream})
        until(lambda: engine.stats().completion_tokens >= 3)
        ends_at_once(engine, server, connection.close)


@pytest.mark.parametrize("path", ROUTES)
def test_it_ends_after_the_first_piece(engine: FakeEngine, server: Server, path: str) -> None:
    with Connection(server.url) as connection:
        connection.request("POST", path, {**ROUTES[path], "stream": True})
        connection.read_until(b"\n\n")
        until(lambda: engine.stats().running == 1)
        ends_at_once(engine, server, connection.close)


def test_it_ends_when_the_client_only_stops_sending(engine: FakeEngine, server: Server) -> None:
    with Connection(server.url) as connection:
        connection.request("POST", CHAT, chat(stream=True)).read_until(b'"content":"w"')
        ends_at_once(engine, server, connection.shutdown)


def test_a_reset_connection_ends_it_too(engine: FakeEngine, server: Server) -> None:
    with Connection(server.url) as connection:
        connection.request("POST", CHAT, chat(stream=True)).read_until(b'"content":"w"')
        ends_at_once(engine, server, connection.reset)


def test_a_request_that_waits_for_a_place_leaves_the_queue(engine: FakeEngine, server: Server) -> None:
    running_ones = [Connection(server.url).request("POST", CHAT, chat()) for _ in range(2)]
    until(lambda: engine.stats().running == 2)
    for stream in (True, False):
        with Connection(server.url) as connection:
            connection.request("POST", CHAT, chat("queued", stream=stream))
            until(lambda: engine.stats().waiting == 1)
            connection.close()
            until(lambda: engine.stats().waiting == 0, within=2)
            assert engine.stats().running == 2
    for one in running_ones:
        one.close()
    until(lambda: is_idle(engine, server))


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_prompt_that_is_being_computed_is_left(engine: FakeEngine, server: Server, stream: bool) -> None:
    with Connection(server.url) as connection:
        connection.request("POST", CHAT, chat("prompt " * 2000, stream=stream))  # 219 steps
        until(lambda: engine.stats().prefill_tokens > 128)
        ends_at_once(engine, server, connection.close)
        assert engine.stats().prefill_tokens < 2000
        assert engine.stats().completion_tokens == 0


def test_all_outputs_of_a_request_end(server: Server, engine: FakeEngine) -> None:
    with Connection(server.url) as connection:
        connection.request("POST", "/v1/completions", {"prompt": ["a", "b", "c"], "n": 2, "stream": True})
        until(lambda: engine.stats().running == 2 and engine.stats().waiting == 4)
        connection.close()
        until(lambda: is_idle(engine, server), within=2)


@pytest.mark.parametrize("n_sent", [0, 1, 20])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_half_a_body_starts_nothing(engine: FakeEngine, server: Server, n_sent: int, framing: str) -> None:
    body = json.dumps(chat()).encode()
    with Connection(server.url) as connection:
        if framing == "length":
            connection.send(connection.head("POST", CHAT, {**JSON, "content-length": str(len(body))}))
            connection.send(body[:n_sent])
        else:
            connection.send(connection.head("POST", CHAT, {**JSON, "transfer-encoding": "chunked"}))
            connection.send(b"%x\r\n" % len(body) + body[:n_sent])
        until(lambda: len(server.server_state.tasks) == 1)
        connection.close()
        until(lambda: not server.server_state.tasks and not server.server_state.connections)
    assert engine.stats().submitted == 0


def test_a_request_that_was_answered_leaves_nothing(engine: FakeEngine, server: Server) -> None:
    for path, body in ROUTES.items():
        assert ask(server.url, "POST", path, {**body, "max_tokens": 3}).status == 200
    until(lambda: is_idle(engine, server))
    until(lambda: not server.server_state.tasks and not server.server_state.connections)
    assert engine.stats().cancelled == 0


def test_a_client_that_goes_away_disturbs_nobody_else(engine: FakeEngine, server: Server) -> None:
    with Connection(server.url) as staying, Connection(server.url) as leaving:
        staying.request("POST", CHAT, chat(max_tokens=60, stream=True))
        leaving.request("POST", CHAT, chat(stream=True)).read_until(b'"content":"w"')
        leaving.close()
        text = staying.read().body.decode()
    pieces = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in pieces) == LONG[:60]
    assert text.endswith("data: [DONE]\n\n")


# A thousand of them.

N = 1000
N_AT_ONCE = 32


def leave_at_random(url: str, number: int) -> int:
    """Ask something and go away some time; returns 1 if the answer came before."""
    chance = random.Random(number)
    path = chance.choice(list(ROUTES))
    body = {**ROUTES[path], "stream": chance.random() < 0.5, "max_tokens": chance.choice([1, 8, 64, 200])}
    if path == "/v1/completions" and chance.random() < 0.3:
        body |= {"n": 2, "prompt": ["Once", "A dog"]}
    if chance.random() < 0.2:
        body["seed"] = 1
    sent = json.dumps(body).encode()
    with Connection(url) as connection:
        connection.send(connection.head("POST", path, {**JSON, "content-length": str(len(sent))}))
        if chance.random() < 0.1:
            connection.send(sent[: chance.randrange(len(sent))])
            return 0
        connection.send(sent)
        patience_s = chance.choice([0.0, 0.001, 0.01, 0.1, 0.5, 5.0]) * chance.random()
        has_answer = connection.wait(patience_s) and chance.random() < 0.5
        if has_answer and chance.random() < 0.5:
            connection.read_until(b"\n\n" if body["stream"] else b"}")
        if chance.random() < 0.3:
            connection.reset()
        return int(has_answer)


def test_after_a_thousand_of_them_nothing_is_left() -> None:
    with Engine("demo", prefix_cache=False) as engine, running(engine) as server:
        with ThreadPoolExecutor(N_AT_ONCE) as pool:
            n_answers = sum(pool.map(lambda number: leave_at_random(server.url, number), range(N)))
        until(lambda: is_idle(engine, server))
        until(lambda: not server.server_state.tasks and not server.server_state.connections)
        stats = engine.stats()
        assert stats.kv_cells_used == 0
        assert stats.cached_sequences == 0
        assert stats.failed == stats.failed_steps == 0
        assert stats.cancelled > 100
        assert N // 50 < n_answers < N
        assert tasks_of(server) <= 2  # uvicorn's own
        assert ask(server.url, "POST", CHAT, chat(max_tokens=4)).status == 200


def tasks_of(server: Server) -> int:
    """Return how many tasks the server's event loop has."""
    found: list[int] = []
    counted = threading.Event()

    def count() -> None:
        found.append(len(asyncio.all_tasks(loop)))
        counted.set()

    loop = server.servers[0].get_loop()
    loop.call_soon_threadsafe(count)
    assert counted.wait(5)
    return found[0]


def test_kept_prefixes_are_all_that_is_left_in_memory() -> None:
    with FakeEngine(LONG, step_s=0.001, n_ctx=4096) as engine, running(engine) as server:
        for number in range(20):
            with Connection(server.url) as connection:
                connection.request("POST", CHAT, chat(f"number {number}", stream=True)).read_until(b'"content":"')
        until(lambda: is_idle(engine, server))
        used = engine.stats().kv_cells_used
        with Connection(server.url) as connection:  # which needs all of the context
            answer = connection.request("POST", "/v1/completions", {"prompt": "x" * 3900, "max_tokens": 150}).read()
        assert answer.status == 200
        assert answer.json["usage"]["completion_tokens"] == 150
        assert used < 4096
