"""Clients that send or read slowly, or not at all: they wait for themselves, and nobody waits for them."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from raw_http import Connection, ask, chat, until
from serving import running, served

from inllama.server import json_body
from inllama.server.app import create_app
from inllama.server.exchange import http_scope
from inllama.testing import FakeEngine

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with FakeEngine("A reply.") as made:
        yield made


def seconds_of(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def drip(connection: Connection, data: bytes, pause_s: float) -> None:
    """Send byte by byte until nobody takes them any more."""
    for index in range(len(data)):
        try:
            connection.send(data[index : index + 1])
        except OSError:
            return
        time.sleep(pause_s)


# Headers and bodies that take their time.


def test_headers_have_a_longest_time(engine: FakeEngine) -> None:
    with served(engine, header_timeout_s=0.3) as url, Connection(url) as connection:
        seconds = seconds_of(lambda: drip(connection, b"GET /health HTTP/1.1\r\nx: " + b"a" * 1000, 0.02))
        assert 0.25 < seconds < 3
        error = connection.read().refused(408, "invalid_headers")
        assert error["message"] == "the headers did not arrive in time"
        assert connection.read_to_end() == b""
        assert ask(url).status == 200


@pytest.mark.parametrize("beginning", [b"", b"G", b"\r\n", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nhost: a\r\n"])
def test_silence_before_the_end_of_the_headers_is_not_waited_out(engine: FakeEngine, beginning: bytes) -> None:
    with served(engine, header_timeout_s=0.2) as url, Connection(url) as connection:
        connection.send(beginning)
        connection.read().refused(408, "invalid_headers")
        assert connection.read_to_end(within=1) == b""


def test_the_next_request_has_a_longest_time_too(engine: FakeEngine) -> None:
    with served(engine, header_timeout_s=0.2, idle_timeout_s=60) as url, Connection(url) as connection:
        assert connection.request("GET", "/health").read().status == 200
        assert connection.request("GET", "/health").read().status == 200
        connection.send(b"GET /hea").read().refused(408, "invalid_headers")
        assert connection.read_to_end(within=1) == b""


def test_a_connection_without_requests_is_closed(engine: FakeEngine) -> None:
    with served(engine, header_timeout_s=60, idle_timeout_s=1) as url, Connection(url) as connection:
        assert connection.request("GET", "/health").read().status == 200
        assert seconds_of(lambda: connection.read_to_end(within=5)) > 0.5


def test_a_body_has_a_longest_time(engine: FakeEngine) -> None:
    with served(engine, body_timeout_s=0.3) as url, Connection(url) as connection:
        connection.send(connection.head("POST", CHAT, {**JSON, "content-length": "1000"}))
        assert 0.25 < seconds_of(lambda: drip(connection, b" " * 1000, 0.02)) < 3
        error = connection.read().refused(408, "body_timeout")
        assert error["message"] == "the body did not arrive within 0.3 s"
        assert connection.read_to_end() == b""
        assert engine.stats().submitted == 0


def test_chunks_have_a_longest_time_too(engine: FakeEngine) -> None:
    with served(engine, body_timeout_s=0.3) as url, Connection(url) as connection:
        connection.send(connection.head("POST", CHAT, {**JSON, "transfer-encoding": "chunked"}))
        drip(connection, b"1\r\n \r\n" * 200, 0.01)
        connection.read().refused(408, "body_timeout")


def test_a_slow_body_within_its_time_is_fine(engine: FakeEngine) -> None:
    with served(engine, header_timeout_s=0.1) as url, Connection(url) as connection:
        body = json.dumps(chat()).encode()
        connection.send(connection.head("POST", CHAT, {**JSON, "content-length": str(len(body))}))
        drip(connection, body, 0.005)
        assert connection.read().status == 200


@pytest.mark.parametrize("framing", [{"content-length": "1000000"}, {"transfer-encoding": "chunked"}])
@pytest.mark.parametrize("path", [CHAT, "/nowhere", "/health"])
def test_what_is_left_of_a_refused_body_is_not_waited_for(
    engine: FakeEngine, path: str, framing: dict[str, str]
) -> None:
    with (
        served(engine, header_timeout_s=0.3, idle_timeout_s=60, api_keys=["key-of-the-test"]) as url,
        Connection(url) as connection,
    ):
        connection.send(connection.head("POST", path, {**JSON, **framing}))
        assert connection.read().status in (401, 405)
        piece = b" " if "content-length" in framing else b"1\r\n \r\n"
        assert seconds_of(lambda: drip(connection, piece * 1000, 0.01)) < 3
        assert connection.read_to_end(within=1) == b""


def test_after_a_refused_body_that_came_late_the_connection_goes_on(engine: FakeEngine) -> None:
    with (
        served(engine, header_timeout_s=0.3, idle_timeout_s=1, api_keys=["key-of-the-test"]) as url,
        Connection(url) as connection,
    ):
        connection.send(connection.head("POST", CHAT, {**JSON, "content-length": "2"}))
        connection.read().refused(401, "invalid_api_key")
        connection.send(b"{}").request("GET", "/health")
        assert connection.read().status == 200
        connection.send(connection.head("POST", CHAT, {**JSON, "content-length": "2"}))
        connection.read().refused(401, "invalid_api_key")
        connection.send(b"{}")
        assert seconds_of(lambda: connection.read_to_end(within=5)) > 0.5  # it is idle, not late


def test_the_beginning_of_a_next_request_does_not_end_an_answer() -> None:
    with (
        FakeEngine("word " * 20, step_s=0.01) as engine,
        served(engine, header_timeout_s=0.4) as url,
        Connection(url) as connection,
    ):
        connection.request("POST", CHAT, chat(stream=True)).read_until(b'"content":"w"')
        connection.send(b"\r\nGET /hea")
        assert connection.read_until(b"0\r\n\r\n").endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        connection.send(b"lth HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert connection.read().status == 200


def test_200_silent_connections_are_in_nobodys_way(engine: FakeEngine) -> None:
    with served(engine, header_timeout_s=60) as url, ExitStack() as stack:
        silent = [stack.enter_context(Connection(url)) for _ in range(200)]
        for connection in silent[:100]:
            connection.send(b"POST /v1/chat/completions HTTP/1.1\r\n")
        assert seconds_of(lambda: ask(url, "POST", CHAT, chat())) < 2
        assert ask(url, "POST", CHAT, chat()).status == 200


# Answers that nobody reads.


def test_a_client_that_does_not_read_pauses_its_own_request_only() -> None:
    with (
        FakeEngine(lambda prompt: "a" * 400_000 if "endless" in prompt else "short") as engine,
        running(engine, send_timeout_s=600.0) as server,
        Connection(server.url, receive_buffer=4096) as stuck,
    ):
        stuck.request("POST", CHAT, chat("endless", stream=True))
        pauses_at = settled(lambda: engine.stats().completion_tokens)
        assert 0 < pauses_at < 200_000
        for _ in range(5):
            answer = ask(server.url, "POST", CHAT, chat())
            assert answer.json["choices"][0]["message"]["content"] == "short"
        assert engine.stats().completion_tokens == pauses_at + 5 * len("short")
        until(lambda: server.service.n_active == 1)
        stuck.close()
        until(lambda: engine.stats().running == 0 and server.service.n_active == 0)
        assert engine.stats().cancelled == 1


@pytest.mark.slow
def test_a_client_that_reads_on_gets_all_of_it() -> None:
    with (
        FakeEngine("a" * 15_000) as engine,
        served(engine) as url,
        Connection(url, receive_buffer=4096) as connection,
    ):
        connection.request("POST", CHAT, chat(stream=True))
        assert settled(lambda: engine.stats().completion_tokens) < 15_000
        status, _ = connection.read_head()
        assert status == 200
        text = "".join(
            json.loads(line[6:])["choices"][0]["delta"].get("content", "")
            for line in connection.read_until(b"data: [DONE]").split(b"\n")
            if line.startswith(b"data: {")
        )
        assert text == "a" * 15_000


@pytest.mark.slow
def test_a_client_that_takes_nothing_for_long_is_left() -> None:
    with (
        FakeEngine("a" * 400_000) as engine,
        running(engine, send_timeout_s=0.4, header_timeout_s=0.3) as server,
        Connection(server.url, receive_buffer=4096) as connection,
    ):
        connection.request("POST", CHAT, chat(stream=True))
        until(lambda: engine.stats().cancelled == 1)
        until(lambda: engine.stats().running == 0 and server.service.n_active == 0)
        until(lambda: not server.server_state.connections)
        assert ask(server.url).status == 200


def test_the_end_of_a_stream_is_not_waited_for_either() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        if body:
            return {"type": "http.request", "body": body.pop(), "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            await asyncio.Event().wait()

    body = [json.dumps(chat(stream=True)).encode()]
    with FakeEngine() as engine:
        app = create_app(engine, send_timeout_s=0.2)
        scope = http_scope("POST", CHAT, headers=[(b"host", b"localhost"), (b"content-type", b"application/json")])
        asyncio.run(asyncio.wait_for(app(scope, receive, send), 5))


def settled(value: Callable[[], int]) -> int:
    """Return a value once it has stayed the same for a while."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < 0.5:
        time.sleep(0.01)
        if (now := value()) != last:
            last, since = now, time.monotonic()
    return last


# All of that at once.


def tokens_per_second(engine: FakeEngine, seconds: float) -> float:
    before, started = engine.stats().completion_tokens, time.monotonic()
    time.sleep(seconds)
    return (engine.stats().completion_tokens - before) / (time.monotonic() - started)


@pytest.mark.slow
def test_streams_keep_their_speed_while_others_misbehave() -> None:
    deep = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    bomb = gzip.compress(b" " * (1 << 24))
    is_over = threading.Event()

    def attack(url: str) -> None:
        while not is_over.is_set():
            with ExitStack() as stack:
                drips = [stack.enter_context(Connection(url)) for _ in range(50)]
                for byte in b"GET /health HTTP/1.1\r\nx: aaaaaaaaaa":
                    for one in drips:
                        one.try_send(bytes([byte]))
                    ask(url, "POST", CHAT, deep).refused(400, "invalid_json")
                    ask(url, "POST", CHAT, bomb, {"content-encoding": "gzip"}).refused(415, "invalid_content_encoding")
                    with Connection(url) as connection:
                        connection.try_send(connection.head("GET", "/health", {"x": "a" * 100_000}))
                        connection.read().refused(431, "invalid_headers")
                    if is_over.wait(0.02):
                        return

    with FakeEngine("word " * 10_000, step_s=0.005) as engine, served(engine) as url, ExitStack() as stack:
        n_read = [0] * 4

        def read(index: int, connection: Connection) -> None:
            with suppress(EOFError, OSError):
                while True:
                    connection.read_until(b"\n\n")
                    n_read[index] += 1

        streams = [stack.enter_context(Connection(url)) for _ in range(4)]
        readers = []
        for index, stream in enumerate(streams):
            stream.request("POST", CHAT, chat(stream=True))
            readers.append(threading.Thread(target=read, args=(index, stream)))
            readers[-1].start()
        until(lambda: all(n > 10 for n in n_read))
        alone: list[float] = []
        beside: list[float] = []
        for _ in range(3):  # what else the machine does changes from second to second
            alone.append(tokens_per_second(engine, 2))
            attacker = threading.Thread(target=attack, args=(url,))
            is_over.clear()
            attacker.start()
            n_before, started = sum(n_read), time.monotonic()
            beside.append(tokens_per_second(engine, 2))
            delivered = (sum(n_read) - n_before) / (time.monotonic() - started)
            is_over.set()
            attacker.join()
            assert delivered > 0.9 * beside[-1]
        for stream in streams:
            stream.shutdown()
        for reader in readers:
            reader.join()
        print("alone", alone, "beside", beside)
        assert max(beside) >= 0.95 * max(alone)


def test_a_large_body_is_parsed_beside_the_event_loop(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    loads = json_body.loads

    def noting(text: str, what: str) -> Any:
        threads.append(threading.current_thread().name)
        return loads(text, what)

    monkeypatch.setattr(json_body, "loads", noting)
    with served(engine) as url:
        for n_bytes in (1000, 1 << 20, 1000):
            assert ask(url, "POST", "/tokenize", {"content": "", "ignored": "a" * n_bytes}).status == 200
    small, large, other_small = threads
    assert small == other_small != large
