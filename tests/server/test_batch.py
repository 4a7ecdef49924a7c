"""``inllama batch``: rows in, rows out, and nothing computed twice."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import re
import signal
import subprocess
import sys
import time
import tracemalloc
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import inllama.cli.progress
from inllama import Engine
from inllama.cli import main
from inllama.cli.progress import NoProgress, PlainProgress, RichProgress, make_progress
from inllama.errors import EngineClosedError, InvalidRequestError
from inllama.server.batch import Counts, run_batch
from inllama.server.batch_rows import URLS, Earlier, Line, drop_errors, lines_of, read_earlier
from inllama.testing import FakeEngine

MAX_BYTES = 32 << 20
MESSAGES = [{"role": "user", "content": "Hello!"}]
GREEDY = {"temperature": 0, "max_tokens": 8}
# A request of each route that takes one; the demo model makes vectors too.
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": MESSAGES, **GREEDY},
    "/v1/completions": {"prompt": "Once upon a time", **GREEDY},
    "/v1/embeddings": {"input": ["a dog", "a ball"], "pooling": "mean"},
    "/v1/rerank": {"query": "a dog", "documents": ["a ball", "a dog"]},
    "/v1/responses": {"input": "Hello!", "temperature": 0, "max_output_tokens": 8},
    "/v1/messages": {"messages": MESSAGES, **GREEDY},
    "/v1/messages/count_tokens": {"messages": MESSAGES},
    "/tokenize": {"content": "a dog"},
    "/detokenize": {"tokens": [300, 301]},
    "/apply-template": {"messages": MESSAGES},
}
# What is made anew for each answer.
CHANGING = re.compile(r'"(id|created|created_at|timings|cached_tokens|cache_read_input_tokens|input_tokens)"')


def row(custom_id: str, url: str = "/v1/completions", body: dict[str, Any] | None = None, **more: Any) -> bytes:
    """Return a line of requests."""
    given = {"prompt": custom_id, "max_tokens": 4} if body is None else body
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": given, **more}).encode() + b"\n"


def compute(engine: Engine, text: bytes, **options: Any) -> tuple[list[dict[str, Any]], Counts]:
    """Return the rows of a batch, and how many there are of each kind."""
    found: list[dict[str, Any]] = []
    lines = lines_of(io.BytesIO(text), options.get("max_body_bytes", MAX_BYTES))
    counts = asyncio.run(run_batch(engine, lines, lambda one: found.append(json.loads(one)), **options))
    return found, counts


def one(engine: Engine, text: bytes, **options: Any) -> dict[str, Any]:
    """Return the only row of a batch."""
    (found,), _ = compute(engine, text, **options)
    return found


@pytest.fixture
def fake() -> Iterator[FakeEngine]:
    with FakeEngine("ok") as engine:
        yield engine


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


# ------------------------------------------------------------------------------------------------------ answers


def test_every_route_is_tried_here() -> None:
    assert set(BODIES) == URLS


def test_answers_are_those_that_the_server_gives(demo: Engine, demo_url: str) -> None:
    text = b"".join(row(f"{n} {url}", url, body) for url, body in BODIES.items() for n in range(3))
    rows, counts = compute(demo, text)
    assert len(rows) == 3 * len(BODIES)
    assert counts.done + counts.failed == len(rows)
    by_name = {found["custom_id"]: found for found in rows}
    for url, body in BODIES.items():
        status, direct = asked_directly(demo_url + url, body)
        for n in range(3):
            found = by_name[f"{n} {url}"]
            assert found["response"]["status_code"] == status, found
            assert unchanging(found["response"]["body"]) == unchanging(direct)
            assert (found["error"] is None) == (status == 200)


def asked_directly(url: str, body: dict[str, Any]) -> tuple[int, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def unchanging(body: Any) -> Any:
    """Return an answer without what differs from time to time."""
    if isinstance(body, dict):
        return {key: unchanging(value) for key, value in body.items() if not CHANGING.fullmatch(f'"{key}"')}
    if isinstance(body, float):
        return pytest.approx(body, rel=1e-3, abs=1e-5)
    return [unchanging(value) for value in body] if isinstance(body, list) else body


def test_a_row_has_openais_shape(fake: FakeEngine) -> None:
    found = one(fake, row("a"))
    assert list(found) == ["id", "custom_id", "response", "error"]
    assert list(found["response"]) == ["status_code", "request_id", "body"]
    assert found["id"] == f"batch_req_{found['response']['request_id'].removeprefix('req_')}"
    assert (found["custom_id"], found["error"]) == ("a", None)
    assert found["response"]["body"]["choices"][0]["text"] == "ok"


def test_a_query_belongs_to_the_url(fake: FakeEngine) -> None:
    found = one(fake, row("a", "/v1/messages?beta=true", BODIES["/v1/messages"]))
    assert found["response"]["body"]["content"] == [{"type": "text", "text": "ok"}]


def test_names_and_texts_are_unicode(fake: FakeEngine) -> None:
    name = 'é"\u2028\\🙂'
    rows, _ = compute(fake, row(name, body={"prompt": name}))
    assert [found["custom_id"] for found in rows] == [name]


def test_a_byte_order_mark_empty_lines_and_windows_line_ends_are_read(fake: FakeEngine) -> None:
    text = b"\xef\xbb\xbf" + row("a").replace(b"\n", b"\r\n") + b"\r\n  \n" + row("b").rstrip(b"\n")
    rows, counts = compute(fake, text)
    assert {found["custom_id"] for found in rows} == {"a", "b"}
    assert counts == Counts(done=2, n_bytes=len(text))


# ------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (b"{not json}\n", "invalid_json_line", "the line is no JSON: "),
        (b'{"custom_id": "\xff"}\n', "invalid_json_line", "the line is not UTF-8: invalid start byte at byte 15"),
        (b"[1]\n", "invalid_json_line", "the line must be a JSON object"),
        (b'{"custom_id": "a", "custom_id": "b"}\n', "invalid_json_line", "the name 'custom_id' twice"),
        (b"[" * 100_000 + b"\n", "invalid_json_line", "the line is nested too deeply to be read"),
        (b'{"method": "POST"}\n', "missing_required_parameter", "the row has no custom_id"),
        (b'{"custom_id": 7}\n', "invalid_value", "custom_id must be a text that is not empty, not 7"),
        (b'{"custom_id": ""}\n', "invalid_value", "custom_id must be a text that is not empty, not ''"),
        (b'{"custom_id": "\\ud800"}\n', "invalid_value", "custom_id has a lone surrogate, which is no Unicode text"),
    ],
)
def test_a_line_without_a_name_is_an_error_with_its_number(
    fake: FakeEngine, text: bytes, code: str, message: str
) -> None:
    rows, counts = compute(fake, b"\n" + text + row("good"))
    (bad,) = [found for found in rows if found["custom_id"] is None]
    assert list(bad) == ["id", "custom_id", "response", "line", "error"]
    assert bad["id"].startswith("batch_req_")
    assert (bad["line"], bad["response"], bad["error"]["code"]) == (2, None, code)
    assert message in bad["error"]["message"]
    assert (counts.done, counts.failed) == (1, 1)


@pytest.mark.parametrize(
    ("changed", "code", "message"),
    [
        ({"method": "GET"}, "invalid_method", "method must be POST, not 'GET'"),
        ({"method": None}, "invalid_method", "method must be POST, not None"),
        ({"url": "/v1/audio"}, "invalid_url", "there is no route for '/v1/audio'; there are /apply-template, "),
        ({"url": "/v1/models"}, "invalid_url", "there is no route for '/v1/models'"),
        ({"url": "/v1/completions?é"}, "invalid_url", "there is no route for '/v1/completions?\\xe9'"),
        ({"url": None}, "invalid_url", "there is no route for None"),
        ({"body": None}, "missing_required_parameter", "body must be an object, not None"),
        ({"body": "text"}, "invalid_value", "body must be an object, not 'text'"),
        ({"body": {"prompt": "\ud800"}}, "invalid_value", "body has a lone surrogate, which is no Unicode text"),
        ({"body": {"prompt": "a", "stream": True}}, "unsupported_field", "stream must be false: a row has one answer"),
    ],
)
def test_a_row_that_asks_for_nothing_is_an_error(
    fake: FakeEngine, changed: dict[str, Any], code: str, message: str
) -> None:
    found = one(fake, json.dumps({**json.loads(row("a")), **changed}).encode())
    assert list(found) == ["id", "custom_id", "response", "error"]
    assert (found["custom_id"], found["response"], found["error"]["code"]) == ("a", None, code)
    assert found["error"]["message"].startswith(message)


@pytest.mark.parametrize(
    ("url", "body", "status", "code"),
    [
        ("/v1/completions", {"prompt": "a", "temperature": -1}, 400, "invalid_value"),
        ("/v1/completions", {"prompt": "a", "model": "other"}, 404, "model_not_found"),
        ("/v1/messages", {"messages": MESSAGES}, 400, "invalid_request_error"),
        ("/v1/responses", {"input": "a", "previous_response_id": "resp_1"}, 404, "response_not_found"),
    ],
)
def test_a_refused_request_has_its_answer_and_an_error(
    fake: FakeEngine, url: str, body: dict[str, Any], status: int, code: str
) -> None:
    found = one(fake, row("a", url, body))
    assert (found["custom_id"], found["response"]["status_code"]) == ("a", status)
    message = found["response"]["body"]["error"]["message"]
    assert found["error"] == {"code": code, "message": message}


def test_a_failure_of_the_engine_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    def reply(prompt: str) -> str:
        if prompt == "bad":
            raise ConnectionError("gone")
        return prompt

    with FakeEngine(reply) as engine:
        rows, counts = compute(engine, row("a") + row("bad") + row("b"))
    (bad,) = [found for found in rows if found["error"] is not None]
    assert (bad["custom_id"], bad["response"]["status_code"], bad["error"]["code"]) == ("bad", 500, "internal_error")
    assert (counts.done, counts.failed) == (2, 1)
    assert "gone" in caplog.text


def test_a_line_that_is_too_long_is_not_read_into_memory(fake: FakeEngine) -> None:
    long = row("long", body={"prompt": "x" * 1_000_000})
    rows, counts = compute(fake, long + row("a") + long, max_body_bytes=1024)
    assert [found["line"] for found in rows if found["error"]] == [1, 3]
    assert {found["error"]["code"] for found in rows if found["error"]} == {"body_too_large"}
    assert counts == Counts(done=1, failed=2, n_bytes=2 * len(long) + len(row("a")))


def test_a_body_that_is_too_large_is_refused_by_the_server(fake: FakeEngine) -> None:
    found = one(fake, row("a", body={"prompt": "x" * 2000}), max_body_bytes=1024)
    assert (found["response"]["status_code"], found["error"]["code"]) == (413, "body_too_large")


def test_a_name_stands_once_in_the_output(fake: FakeEngine) -> None:
    rows, counts = compute(fake, row("a") + row("a") + row("b", method="GET") + row("b"))
    assert sorted(str(found["custom_id"]) for found in rows) == ["None", "None", "a", "b"]
    again = [found for found in rows if found["custom_id"] is None]
    assert {(found["line"], found["error"]["code"]) for found in again} == {
        (2, "duplicate_custom_id"),
        (4, "duplicate_custom_id"),
    }
    assert again[0]["error"]["message"] == "an earlier line has the custom_id 'a' too"
    assert (counts.done, counts.failed) == (1, 3)


def test_options_that_do_not_exist_are_refused(fake: FakeEngine) -> None:
    with pytest.raises(TypeError, match="strict"):
        compute(fake, row("a"), strikt=True)
    with pytest.raises(InvalidRequestError, match="window is 0 but must be at least 1"):
        compute(fake, row("a"), window=0)


# ------------------------------------------------------------------------------------------- the engine is full


def test_the_engine_is_kept_full() -> None:
    with FakeEngine("x" * 20, step_s=0.005, max_running=4) as engine:
        _, counts = compute(engine, b"".join(row(str(n), body={"prompt": "a"}) for n in range(40)))
        steps = engine.stats().steps
    assert counts.done == 40
    assert steps < 40 * 20 / 2  # one after the other it would be 800


def test_a_full_queue_delays_rows_only() -> None:
    with FakeEngine("0123456789", step_s=0.0005, max_running=2, max_queue=1) as engine:
        rows, counts = compute(engine, b"".join(row(str(n)) for n in range(60)), window=20)
    assert counts == Counts(done=60, n_bytes=counts.n_bytes)
    assert {found["response"]["status_code"] for found in rows} == {200}


def test_lines_are_read_when_they_are_needed(fake: FakeEngine) -> None:
    n_read = n_written = most = 0

    def lines() -> Iterator[Line]:
        nonlocal n_read, most
        for number in range(10_000):
            n_read += 1
            most = max(most, n_read - n_written)
            text = row(str(number), "/tokenize", {"content": "a"})
            yield Line(number + 1, text, len(text))

    def write(_: bytes) -> None:
        nonlocal n_written
        n_written += 1

    counts = asyncio.run(run_batch(fake, lines(), write, window=32))
    assert counts.done == n_written == 10_000
    assert most <= 33


def test_memory_is_flat(fake: FakeEngine) -> None:
    def lines(n_lines: int) -> Iterable[Line]:
        for number in range(n_lines):
            text = row(str(number), "/tokenize", {"content": "a" * 2000})
            yield Line(number + 1, text, len(text))

    def run(n_lines: int) -> int:
        tracemalloc.reset_peak()
        asyncio.run(run_batch(fake, lines(n_lines), lambda _: None, window=4))
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        run(50)
        small, large = run(50), run(400)
    finally:
        tracemalloc.stop()
    # 350 names more; their texts alone are 700 kB.
    assert large - small < 200_000


def test_a_closed_engine_ends_the_batch() -> None:
    rows: list[bytes] = []
    with FakeEngine("x") as engine:

        def write(text: bytes) -> None:
            rows.append(text)
            engine.close()

        lines = lines_of(io.BytesIO(b"".join(row(str(n)) for n in range(100))), MAX_BYTES)
        with pytest.raises(EngineClosedError, match="the rows that had ended are written"):
            asyncio.run(run_batch(engine, lines, write, window=4))
    assert 1 <= len(rows) <= 4
    assert all(json.loads(text)["error"] is None for text in rows[:1])


def test_cancelling_ends_what_is_computed() -> None:
    async def cancel_soon(engine: FakeEngine) -> list[bytes]:
        found: list[bytes] = []
        started = asyncio.Event()

        def write(text: bytes) -> None:
            found.append(text)
            started.set()

        text = row("short", body={"prompt": "a", "max_tokens": 1}) + b"".join(
            row(str(n), body={"prompt": "a"}) for n in range(50)
        )
        task = asyncio.ensure_future(run_batch(engine, lines_of(io.BytesIO(text), MAX_BYTES), write, window=4))
        await started.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return found

    with FakeEngine("x" * 100_000, step_s=0.001, max_running=8) as engine:
        found = asyncio.run(cancel_soon(engine))
        deadline = time.monotonic() + 20
        while engine.stats().running and time.monotonic() < deadline:
            time.sleep(0.001)  # a step
        stats = engine.stats()
    assert [json.loads(text)["custom_id"] for text in found] == ["short"]
    assert (stats.running, stats.waiting) == (0, 0)


# ------------------------------------------------------------------------------------------------- what is there


def answered(name: str | None, *, error: str | None = None, line: int | None = None) -> bytes:
    """Return a row of an output."""
    found: dict[str, Any] = {
        "id": "batch_req_1",
        "custom_id": name,
        "response": None if error else {"status_code": 200},
    }
    if line is not None:
        found["line"] = line
    found["error"] = {"code": "x", "message": error} if error else None
    return json.dumps(found, separators=(",", ":")).encode() + b"\n"


def test_what_is_there_is_not_computed_again(fake: FakeEngine) -> None:
    earlier = Earlier({"a"}, {"b"}, {(3, "the row has no custom_id")})
    text = row("a") + row("b") + b"{}\n{}\n" + row("c")
    rows, counts = compute(fake, text, earlier=earlier)
    assert sorted((found["custom_id"] or "", found.get("line")) for found in rows) == [("", 4), ("c", None)]
    assert counts == Counts(done=1, failed=1, skipped=3, failed_before=2, n_bytes=len(text))


def test_an_output_is_read(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    assert read_earlier(path) == Earlier()
    path.write_bytes(answered("a") + answered("b", error="bad") + answered(None, error="worse", line=3))
    before = path.read_bytes()
    assert read_earlier(path) == Earlier({"a"}, {"b"}, {(3, "worse")})
    assert path.read_bytes() == before


@pytest.mark.parametrize("n_kept", [1, 5, 17, 40, len(answered("b")) - 2])
def test_a_row_that_was_cut_off_is_removed(tmp_path: Path, n_kept: int) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(answered("a") + answered("b")[:n_kept])
    assert read_earlier(path) == Earlier({"a"})
    assert path.read_bytes() == answered("a")


def test_a_last_row_without_a_line_break_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(answered("a") + answered("b")[:-1])
    assert read_earlier(path) == Earlier({"a", "b"})
    assert path.read_bytes() == answered("a") + answered("b")


@pytest.mark.parametrize("other", [b"Dear diary", b"Dear diary,\n", row("a"), b"[]\n", b"\x00" * 100])
def test_another_file_is_not_touched(tmp_path: Path, other: bytes) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(answered("a") + other)
    with pytest.raises(InvalidRequestError, match=r"line 2 of .* is no row of a batch; give another file") as raised:
        read_earlier(path)
    assert raised.value.fields["line"] == 2
    assert path.read_bytes() == answered("a") + other


def test_errors_are_removed_at_once(tmp_path: Path) -> None:
    path, link = tmp_path / "out.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(path)
    path.write_bytes(answered("a") + answered("b", error="bad") + answered(None, error="x", line=1) + answered("c"))
    path.chmod(0o640)
    drop_errors(link)
    assert path.read_bytes() == answered("a") + answered("c")
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(found.name for found in tmp_path.iterdir()) == ["link.jsonl", "out.jsonl"]


# ------------------------------------------------------------------------------------------------ command line


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    return str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl")


def test_the_command_writes_rows_and_says_what_it_did(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = files
    Path(source).write_bytes(row("a") + row("b"))
    assert main(["batch", source, "-o", output]) == 0
    assert {found["custom_id"] for found in read(Path(output))} == {"a", "b"}
    said = capsys.readouterr()
    assert re.fullmatch(r"inllama: 2 rows done, 0 failed, 0 skipped in \d+\.\d s, [\d.]+ tokens/s\n", said.err), (
        said.err
    )
    assert said.out == ""


def test_errors_are_the_exit_status_until_they_are_computed_again(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = files
    Path(source).write_bytes(row("a") + row("b", body={"prompt": "b", "model": "other"}) + b"{}\n")
    assert main(["batch", source, "-o", output]) == 1
    first = {found["custom_id"]: found["id"] for found in read(Path(output))}
    assert set(first) == {"a", "b", None}
    assert main(["batch", source, "-o", output]) == 1
    assert "3 skipped (2 of them failed before; --retry-errors computes them again)" in capsys.readouterr().err
    assert len(read(Path(output))) == 3
    Path(source).write_bytes(row("a") + row("b"))
    assert main(["batch", source, "-o", output, "--retry-errors"]) == 0
    again = {found["custom_id"]: found["id"] for found in read(Path(output))}
    assert set(again) == {"a", "b"}
    assert again["a"] == first["a"]
    assert again["b"] != first["b"]


def test_other_names_of_the_model_are_an_option(files: tuple[str, str]) -> None:
    source, output = files
    Path(source).write_bytes(row("a", body={"prompt": "a", "model": "gpt-5", "max_tokens": 1}))
    assert main(["batch", source, "-o", output, "--model-names", "*"]) == 0


def test_rows_of_another_input_are_added(files: tuple[str, str], tmp_path: Path) -> None:
    source, output = files
    Path(source).write_bytes(row("a"))
    assert main(["batch", source, "-o", output]) == 0
    Path(source).write_bytes(row("b"))
    assert main(["batch", source, "-o", output]) == 0
    assert {found["custom_id"] for found in read(Path(output))} == {"a", "b"}


def test_requests_are_not_written_over(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    source, _ = files
    Path(source).write_bytes(row("a"))
    assert main(["batch", source, "-o", source]) == 1
    assert "cannot be both the requests and the output" in capsys.readouterr().err
    assert Path(source).read_bytes() == row("a")


def test_a_missing_input_is_an_error_that_leaves_no_output(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = files
    assert main(["batch", source, "-o", output]) == 1
    assert "No such file" in capsys.readouterr().err
    assert not Path(output).exists()


def test_pipes_are_read_and_written() -> None:
    text = b"".join(row(str(n)) for n in range(10))
    command = [sys.executable, "-m", "inllama.cli", "batch", "-", "-o", "-", "--window", "2"]
    done = subprocess.run(command, input=text, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert {json.loads(line)["custom_id"] for line in done.stdout.splitlines()} == {str(n) for n in range(10)}


def test_rows_end_while_a_pipe_has_nothing() -> None:
    command = [sys.executable, "-m", "inllama.cli", "batch", "-", "-o", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(row("a"))
        child.stdin.flush()
        assert json.loads(child.stdout.readline())["custom_id"] == "a"
        child.stdin.close()
        assert child.wait(30) == 0


class Child:
    """The command in a process of its own, with rows that take a while."""

    N_ROWS = 150

    def __init__(self, folder: Path) -> None:
        self.source, self.output = folder / "in.jsonl", folder / "out.jsonl"
        body = {"prompt": "Once upon a time", "max_tokens": 30, "ignore_eos": True}
        self.source.write_bytes(b"".join(row(str(n), body=body) for n in range(self.N_ROWS)))
        self.command = [sys.executable, "-m", "inllama.cli", "batch", str(self.source), "-o", str(self.output)]
        self.command += ["--window", "8", "--max-running", "4"]

    def stop_in_the_middle(self, how: signal.Signals) -> tuple[int, str]:
        """Stop it once it has written some rows; return its status and what it said."""
        # A shell that runs the tests in the background has them ignore SIGINT, and so would the child.
        before = signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            started = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)
        finally:
            signal.signal(signal.SIGINT, before)
        with started as child:
            while child.poll() is None:
                if self.output.exists() and self.output.read_bytes().count(b"\n") >= 20:
                    child.send_signal(how)
                    break
            _, said = child.communicate(timeout=30)
            return child.returncode, said

    def names(self) -> list[str]:
        return [found["custom_id"] for found in read(self.output)]


def test_a_killed_batch_goes_on(tmp_path: Path) -> None:
    child = Child(tmp_path)
    status, _ = child.stop_in_the_middle(signal.SIGKILL)
    assert status == -signal.SIGKILL
    before = child.output.read_bytes()
    n_before = before.count(b"\n")
    assert 20 <= n_before < Child.N_ROWS
    whole = before[: before.rfind(b"\n") + 1]
    done = subprocess.run(child.command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(child.names(), key=int) == [str(n) for n in range(Child.N_ROWS)]
    # What had ended stands where it stood: it was not computed again.
    assert child.output.read_bytes().startswith(whole)
    assert f"{Child.N_ROWS - n_before} rows done, 0 failed, {n_before} skipped" in done.stderr


def test_ctrl_c_stops_cleanly(tmp_path: Path) -> None:
    child = Child(tmp_path)
    status, said = child.stop_in_the_middle(signal.SIGINT)
    assert status == 130
    assert "Traceback" not in said
    assert "rows done, 0 failed" in said
    assert child.output.read_bytes().endswith(b"\n")
    assert 20 <= len(set(child.names())) == len(child.names()) < Child.N_ROWS


# ---------------------------------------------------------------------------------------------------- progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(make_progress(), NoProgress)


def test_a_plain_terminal_shows_a_line_that_changes(files: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    source, output = files
    Path(source).write_bytes(row("a") + row("b") + b"{}\n")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(inllama.cli.progress, "_INTERVAL_S", 0.0)
    assert main(["batch", source, "-o", output]) == 1
    shown = terminal.getvalue().split("\r")
    assert len(shown) == 5  # one for each row, and the last one again, with the summary behind it
    assert shown[-2] == "2 rows done, 1 failed, 100%"
    assert shown[-1].startswith("2 rows done, 1 failed, 100%\ninllama: 2 rows done, 1 failed, 0 skipped in ")


def test_the_line_is_not_written_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    shown = PlainProgress()
    for n in range(1000):
        shown.show(f"{n} rows done", None)
    shown.end()
    assert terminal.getvalue().count("\r") < 20
    assert terminal.getvalue().endswith("\r999 rows done\n")


def test_with_rich_a_terminal_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    shown = make_progress()
    assert isinstance(shown, RichProgress)
    shown.show("[3] rows done", 0.5)
    shown.end()
    assert "[3] rows done" in terminal.getvalue()
    assert "50%" in terminal.getvalue()
