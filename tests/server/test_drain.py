"""The beginning and the end of a server: while the model is loaded, and while running requests end."""

from __future__ import annotations

import json
import logging
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from raw_http import Answer, Connection, ask, chat, until
from serving import running

from inllama import AsyncLLM
from inllama.errors import ModelLoadError
from inllama.server.listen import Server, make_server, run_in_thread
from inllama.server.routes import ROUTES
from inllama.testing import FakeEngine

CHAT = "/v1/chat/completions"
WORDS = "word " * 30
FAKE = """
import logging, sys
from inllama.server.listen import make_server
from inllama.testing import FakeEngine
logging.basicConfig(level=logging.INFO)
with FakeEngine("word " * 30, step_s=0.01) as engine:
    server = make_server(engine, port=0, drain_s=float(sys.argv[1]))
    print(server.url, flush=True)
    server.run(sockets=[server.socket])
    print("the end", engine.stats().running, engine.stats().cancelled, flush=True)
"""


@contextmanager
def child(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a server in a process of its own; yields it and its address."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert "http://" in first, process.stderr and process.stderr.read()
        url = "http://" + first.split("http://")[1].split()[0]
        until(lambda: ask(url, "GET", "/ready").status == 200)
        yield process, url
    finally:
        process.kill()
        process.communicate()


def end_of(process: subprocess.Popen[str], within: float = 20.0) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=within)
    return process.returncode, out, err


def stream_of(url: str, **fields: Any) -> Connection:
    """Begin a stream."""
    connection = Connection(url).request("POST", CHAT, chat(stream=True, **fields))
    status, _ = connection.read_head()
    assert status == 200
    connection.read_until(b'"content":"')
    return connection


def is_draining(answer: Answer) -> None:
    error = answer.refused(503, "draining")
    assert error["message"] == "the server is about to stop; try again later"
    assert (error["type"], answer.header("retry-after")) == ("server_error", "1")


def looks_draining(url: str) -> None:
    assert ask(url, "GET", "/health").json == {"status": "ok"}
    ready = ask(url, "GET", "/ready")
    assert (ready.status, ready.json, ready.header("retry-after")) == (503, {"status": "draining"}, "1")
    is_draining(ask(url, "POST", CHAT, chat()))
    is_draining(ask(url, "POST", "/tokenize", {"content": "a"}))
    assert ask(url, "POST", "/v1/messages", chat(max_tokens=1)).anthropic_error["type"] == "overloaded_error"
    assert ask(url, "GET", "/metrics").status == 200


# In this process.


def test_running_requests_end_while_new_ones_are_refused() -> None:
    with FakeEngine(WORDS, step_s=0.005) as engine:
        server = make_server(engine, port=0, drain_s=30.0)
        url, thread = server.url, run_in_thread(server)
        with stream_of(url) as stream, Connection(url) as whole, Connection(url) as kept_open:
            whole.request("POST", CHAT, chat())
            assert kept_open.request("GET", "/health").read().status == 200
            until(lambda: engine.stats().running == 2)
            server.drain()
            looks_draining(url)
            is_draining(kept_open.request("POST", CHAT, chat()).read())
            assert thread.is_alive()
            assert whole.read().json["choices"][0]["message"]["content"] == WORDS
            assert stream.read_until(b"0\r\n\r\n").endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
            thread.join(10)
            assert not thread.is_alive()
            assert (engine.stats().running, engine.stats().cancelled) == (0, 0)
            with pytest.raises(ConnectionError):
                Connection(url)


def test_an_idle_server_stops_at_once() -> None:
    with FakeEngine() as engine:
        server = make_server(engine, port=0, drain_s=30.0)
        thread = run_in_thread(server)
        with Connection(server.url) as idle:
            assert idle.request("GET", "/health").read().status == 200
            server.drain()
            thread.join(3)
            assert not thread.is_alive()


def test_what_takes_too_long_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with FakeEngine("word " * 10_000, step_s=0.01) as engine:
        server = make_server(engine, port=0, drain_s=0.3)
        thread = run_in_thread(server)
        with stream_of(server.url) as stream, Connection(server.url) as whole:
            whole.request("POST", CHAT, chat())
            until(lambda: engine.stats().running == 2)
            server.drain()
            thread.join(8)
            assert not thread.is_alive()
            assert b"[DONE]" not in stream.read_to_end()
            assert whole.read_to_end() == b""
        until(lambda: engine.stats().running == 0)
        assert (engine.stats().cancelled, engine.stats().failed) == (2, 0)
    assert "2 requests are cut off" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_an_engine_that_is_closed_is_no_server_any_more() -> None:
    with FakeEngine() as engine, running(engine) as server:
        engine.close()
        health = ask(server.url, "GET", "/health")
        assert (health.status, health.json) == (503, {"status": "error"})
        assert ask(server.url, "GET", "/ready").json == {"status": "failed"}
        ask(server.url, "POST", CHAT, chat()).refused(503, "engine_closed")
        assert ask(server.url, "GET", "/metrics").status == 200


def test_streams_of_an_engine_that_is_closed_say_so() -> None:
    with (
        FakeEngine("word " * 1000, step_s=0.01) as engine,
        running(engine) as server,
        stream_of(server.url) as stream,
    ):
        engine.close()
        rest = stream.read_until(b"0\r\n\r\n")
    assert b'"code":"engine_closed"' in rest
    assert b"[DONE]" not in rest


# While the model is loaded.


class Loading:
    """An engine that is loaded once the test says so."""

    def __init__(self, error: Exception | None = None) -> None:
        self.go = threading.Event()
        self.error = error

    def __call__(self) -> None:
        assert self.go.wait(10)
        if self.error is not None:
            raise self.error


@contextmanager
def loading_server(waits: Loading) -> Iterator[tuple[Server, threading.Thread]]:
    aio = AsyncLLM("demo", n_ctx=256)
    server = make_server(aio, port=0, drain_s=0.0)
    server.service.models.before_ready = waits
    thread = run_in_thread(server)
    try:
        yield server, thread
    finally:
        waits.go.set()
        server.drain()
        thread.join(10)
        if server.service.models.engine is not None:
            server.service.models.engine.close()


def test_while_a_model_is_loaded_the_server_is_healthy_but_not_ready() -> None:
    waits = Loading()
    with loading_server(waits) as (server, _):
        url = server.url
        assert ask(url, "GET", "/health").json == {"status": "ok"}
        ready = ask(url, "GET", "/ready")
        assert (ready.status, ready.json, ready.header("retry-after")) == (503, {"status": "loading"}, "1")
        assert ask(url, "GET", "/").status == 200
        assert ask(url, "GET", "/openapi.json").status == 200
        assert b"inllama:num_requests_running" not in ask(url, "GET", "/metrics").body
        for route in ROUTES:
            if not route.needs_engine:
                continue
            path = route.path.replace("{model:path}", "demo").replace("{response_id}", "resp_1")
            answer = ask(url, route.method, path, {} if route.method == "POST" else None)
            assert (answer.status, answer.header("retry-after")) == (503, "1")
            if path.startswith("/v1/messages"):
                assert answer.anthropic_error["type"] == "overloaded_error"
            else:
                error = answer.refused(503, "loading")
                assert error["message"] == "the model is being loaded; try again later"
        waits.go.set()
        until(lambda: ask(url, "GET", "/ready").status == 200)
        assert ask(url, "POST", CHAT, chat(max_tokens=2)).status == 200


def test_a_server_that_is_loading_can_be_stopped() -> None:
    with loading_server(Loading()) as (server, thread):
        server.drain()
        until(lambda: server.should_exit)
        thread.join(0)


@pytest.mark.parametrize("kind", [ModelLoadError, RuntimeError, OSError])
def test_what_cannot_be_loaded_ends_the_server(kind: type[Exception]) -> None:
    error = kind("no such adapter")  # made here: its traceback has the engine
    waits = Loading(error)
    with loading_server(waits) as (server, thread):
        waits.go.set()
        thread.join(5)
        assert not thread.is_alive()
        assert server.service.models.load_error is error
        assert server.service.state == "failed"


# With signals.


def test_sigterm_lets_running_streams_end() -> None:
    with child("-c", FAKE, "30") as (process, url), stream_of(url) as stream:
        process.send_signal(signal.SIGTERM)
        until(lambda: ask(url, "GET", "/ready").json == {"status": "draining"})
        looks_draining(url)
        assert stream.read_until(b"0\r\n\r\n").endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        status, out, err = end_of(process)
    assert (status, out) == (0, "the end 0 0\n")
    assert not {"Traceback", "ERROR"} & set(re.findall(r"\w+", err)), err


def test_sigterm_cuts_off_what_takes_longer_than_allowed() -> None:
    with child("-c", FAKE, "0.1") as (process, url), stream_of(url) as stream:
        process.send_signal(signal.SIGTERM)
        assert b"[DONE]" not in stream.read_to_end()
        status, out, err = end_of(process)
    assert (status, out) == (0, "the end 0 1\n")
    assert "1 requests are cut off" in err
    assert not {"Traceback", "ERROR"} & set(re.findall(r"\w+", err)), err


@pytest.mark.parametrize(
    "signals", [[signal.SIGINT], [signal.SIGTERM, signal.SIGTERM], [signal.SIGTERM, signal.SIGINT]]
)
def test_ctrl_c_or_a_second_signal_stops_at_once(signals: list[signal.Signals]) -> None:
    with child("-c", FAKE.replace("30", "3000"), "600") as (process, url), stream_of(url) as stream:
        for one in signals:
            process.send_signal(one)
            if one is signal.SIGTERM:
                until(lambda: process.poll() is not None or ready_of(url) != "ready")
        status, out, err = end_of(process, within=8)
        stream.read_to_end()
    assert (status, out) == (0, "the end 0 1\n")
    assert not {"Traceback", "ERROR"} & set(re.findall(r"\w+", err)), err


def ready_of(url: str) -> str:
    try:
        return str(ask(url, "GET", "/ready").json["status"])
    except (OSError, EOFError):
        return "gone"


def test_the_command_ends_well_with_sigterm_and_says_where_it_listens() -> None:
    arguments = ("-m", "inllama.cli", "serve", "--port", "0", "--n-ctx", "512", "--drain-s", "20")
    with child(*arguments) as (process, url), Connection(url) as connection:
        connection.request("POST", CHAT, chat(stream=True, ignore_eos=True, max_tokens=400, n=4))
        connection.read_until(b'"content":"')
        process.send_signal(signal.SIGTERM)
        body = connection.read_until(b"0\r\n\r\n")
        status, out, err = end_of(process)
    pieces = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: {")]
    ends = [one["choices"][0]["finish_reason"] for one in pieces if one["choices"][0]["finish_reason"]]
    assert ends == ["length"] * 4
    assert (status, out) == (0, "")
    assert not {"Traceback", "ERROR"} & set(re.findall(r"\w+", err)), err
    assert "leaked" not in err


SLOW_TO_LOAD = """
import sys, time
import inllama.engine
from inllama import cli, model
def load(path, options, progress):
    def slowly(done):
        print("loading", flush=True)
        time.sleep(0.2)
        return progress(done)
    return model.load_model(path, options, slowly)
inllama.engine.load_model = load
sys.exit(cli.main(["serve", "--port", "0", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("arguments", [(), ("--model", "a=demo", "--model", "b=demo")], ids=["one", "several"])
def test_a_signal_does_not_wait_for_a_model_that_is_being_loaded(
    number: signal.Signals, arguments: tuple[str, ...]
) -> None:
    command = [sys.executable, "-c", SLOW_TO_LOAD, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            while process.stdout.readline() != "loading\n":
                pass
            process.send_signal(number)
            status, _, err = end_of(process, within=6)  # loading takes more than 10 s
        finally:
            process.kill()
    assert status == 0
    assert not {"Traceback", "ERROR"} & set(re.findall(r"\w+", err)), err
