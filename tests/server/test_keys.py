"""Keys: no route without one, no difference that tells how much of one is right, and no place that repeats one."""

from __future__ import annotations

import io
import logging
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from raw_http import Answer, Connection, ask, chat
from serving import running, served

from inllama.cli.serve import _api_keys
from inllama.errors import InvalidRequestError
from inllama.server.keys import ApiKeys
from inllama.server.listen import make_server
from inllama.server.page_route import page_paths
from inllama.server.routes import ROUTES
from inllama.testing import FakeEngine

KEY = "key-of-the-test-0123456789abcdef"
OTHER_KEY = "another-key-of-the-test-ABCDEF"
PUBLIC = {"/health", "/ready", *page_paths()}
PLACES = [(route.method, route.path.replace("{model:path}", "fake").replace("{response_id}", "resp_1"))
          for route in ROUTES if not route.is_public]  # fmt: skip
PLACES += [("GET", "/openapi.json"), ("GET", "/no/such/route"), ("GET", "/page/no-such-file.js"), ("PUT", "/props")]

WRONG: dict[str, bytes] = {
    "none": b"",
    "another": b"authorization: Bearer wrong-key-of-the-test\r\n",
    "empty": b"authorization: Bearer \r\n",
    "empty header": b"authorization:\r\nx-api-key:\r\n",
    "scheme alone": b"authorization: Bearer\r\n",
    "truncated": f"authorization: Bearer {KEY[:-1]}\r\n".encode(),
    "longer": f"authorization: Bearer {KEY}0\r\n".encode(),
    "beginning with a space inside": f"authorization: Bearer {KEY[:5]} {KEY[5:]}\r\n".encode(),
    "other case": f"authorization: Bearer {KEY.upper()}\r\n".encode(),
    "unicode": "authorization: Bearer clé-🔑-of-the-test\r\n".encode(),
    "bytes that are no text": b"authorization: Bearer \xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\r\n",
    "basic": f"authorization: Basic {KEY}\r\n".encode(),
    "without a scheme": f"authorization: {KEY}\r\n".encode(),
    "twice": f"authorization: Bearer {KEY}\r\nauthorization: Bearer {KEY}\r\n".encode(),
    "a good and a bad one": f"authorization: Bearer {KEY}\r\nauthorization: Bearer wrong-key\r\n".encode(),
    "two with a comma": f"authorization: Bearer {KEY}, Bearer {KEY}\r\n".encode(),
    "x-api-key twice": f"x-api-key: {KEY}\r\nx-api-key: {KEY}\r\n".encode(),
    "x-api-key truncated": f"x-api-key: {KEY[:-1]}\r\n".encode(),
    "cookie": f"cookie: authorization=Bearer {KEY}; api_key={KEY}\r\n".encode(),
    "other headers": f"api-key: {KEY}\r\nproxy-authorization: Bearer {KEY}\r\n".encode(),
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with FakeEngine() as engine, served(engine, api_keys=[KEY, OTHER_KEY]) as found:
        yield found


def refused_without_key(answer: Answer, path: str) -> None:
    assert answer.status == 401, (path, answer)
    assert answer.header("www-authenticate") == "Bearer"
    assert answer.header("content-type") == "application/json"
    if path.startswith("/v1/messages"):
        assert answer.anthropic_error["type"] == "authentication_error"
    else:
        error = answer.error
        assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert KEY.encode() not in answer.body
    assert KEY[:-1].encode() not in answer.body


def test_every_route_but_the_public_ones_is_in_the_list() -> None:
    assert {route.path for route in ROUTES if route.is_public} == {"/health", "/ready"}
    assert set(page_paths()) >= {"/"}
    assert all(path == "/" or path.startswith("/page/") for path in page_paths())
    assert len(PLACES) == len(ROUTES) - 2 + 4


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG.keys())
def test_no_route_answers_without_a_key(url: str, headers: bytes) -> None:
    with Connection(url) as connection:
        for method, path in PLACES:
            body = b"{}" if method == "POST" else b""
            kind = b"content-type: application/json\r\ncontent-length: 2\r\n" if body else b""
            line = f"{method} {path} HTTP/1.1\r\nhost: {connection.host}\r\n".encode()
            connection.send(line + headers + kind + b"\r\n" + body)
            refused_without_key(connection.read(), path)


@pytest.mark.parametrize("name", ["key", "api_key", "api-key", "access_token", "authorization", "x-api-key"])
def test_a_key_in_the_query_does_not_count(url: str, name: str) -> None:
    for method, path in PLACES:
        refused_without_key(ask(url, method, f"{path}?{name}={KEY}&{name}=Bearer%20{KEY}"), path)


def test_methods_that_no_route_has_need_a_key_too(url: str) -> None:
    for method in ("PUT", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "DELETE"):
        refused_without_key(ask(url, method, "/v1/models"), "/v1/models")
    assert ask(url, "HEAD", "/v1/models").status == 401


@pytest.mark.parametrize(
    "path",
    ["//health", "/health/", "/health%2f", "/HEALTH", "/page/../v1/models", "/page//", "/./v1/models", "/ready;x"],
)
def test_no_spelling_of_a_public_path_opens_another_one(url: str, path: str) -> None:
    refused_without_key(ask(url, "GET", path), path)


def test_the_page_and_whether_the_server_is_there_need_no_key(url: str) -> None:
    for path in PUBLIC:
        answer = ask(url, "GET", path)
        assert (path, answer.status) == (path, 200)
        assert b"fake" not in answer.body  # nothing of the model


def test_a_wrong_key_does_not_close_what_is_public(url: str) -> None:
    assert ask(url, headers={"authorization": "Bearer wrong-key-of-the-test"}).status == 200


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
@pytest.mark.parametrize("spelling", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}"])
def test_each_key_opens_with_bearer(url: str, key: str, spelling: str) -> None:
    assert ask(url, "GET", "/v1/models", headers={"authorization": spelling.format(key)}).status == 200


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
def test_each_key_opens_with_x_api_key(url: str, key: str) -> None:
    assert ask(url, "POST", "/v1/messages", chat(max_tokens=4), {"x-api-key": key}).status == 200
    both = {"x-api-key": key, "authorization": "Bearer wrong-key-of-the-test"}
    assert ask(url, "GET", "/v1/models", headers=both).status == 200


def test_a_key_opens_every_route(url: str) -> None:
    for method, path in PLACES:
        answer = ask(url, method, path, b"{}" if method == "POST" else None, {"x-api-key": KEY})
        assert answer.status in (200, 400, 404, 405), (path, answer)


def test_a_refused_request_is_not_read_to_its_end(url: str) -> None:
    with Connection(url) as connection:
        headers = {"content-type": "application/json", "content-length": str(1 << 40)}
        connection.send(connection.head("POST", "/v1/chat/completions", headers))
        refused_without_key(connection.read(), "/v1/chat/completions")


@pytest.mark.parametrize("key", ["", "short", "with a space", "tab\tinside-it", "clé-de-passe", "line\nbreak-in-it"])
def test_what_can_be_no_key_is_refused_without_being_repeated(key: str) -> None:
    with pytest.raises(InvalidRequestError, match="at least 8 visible ASCII characters") as raised:
        ApiKeys([key])
    assert not key or key not in str(raised.value) + repr(raised.value) + repr(raised.value.fields)


def test_only_hashes_are_kept() -> None:
    keys = ApiKeys([KEY, OTHER_KEY])
    assert KEY not in repr(vars(keys))
    assert OTHER_KEY not in repr(vars(keys))
    assert KEY.encode() not in b"".join(keys._digests)
    assert all(len(digest) == 32 for digest in keys._digests)
    names = {keys.tenant(KEY.encode()), keys.tenant(OTHER_KEY.encode())}
    assert len(names) == 2
    assert None not in names
    assert KEY not in str(names)


def test_the_name_of_a_tenant_does_not_depend_on_the_other_keys() -> None:
    assert ApiKeys([KEY]).tenant(KEY.encode()) == ApiKeys([OTHER_KEY, KEY]).tenant(KEY.encode())


def test_a_server_that_runs_holds_no_key_that_could_be_read() -> None:
    with FakeEngine() as engine, running(engine, api_keys=[KEY]) as server:
        service = server.service
        shown = [repr(vars(service)), repr(service.options), repr(vars(service.options)), repr(vars(server))]
        assert [KEY in text for text in shown] == [False] * len(shown)
        assert ask(server.url, "GET", "/v1/models", headers={"x-api-key": KEY}).status == 200


def test_a_key_is_in_no_log_no_error_and_no_metric() -> None:
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)

    def reply(prompt: str) -> str:
        raise ValueError("a bug of ours")

    try:
        with FakeEngine(reply) as engine, served(engine, api_keys=[KEY]) as url:
            good, bad = {"authorization": f"Bearer {KEY}"}, {"authorization": f"Bearer {KEY}x"}
            answers = [ask(url, "POST", "/v1/chat/completions", chat(), headers) for headers in (good, bad)]
            answers += [ask(url, "POST", "/v1/chat/completions", b"{", good), ask(url, "GET", "/nowhere", headers=good)]
            answers += [ask(url, "GET", path, headers=good) for path in ("/metrics", "/props", "/openapi.json")]
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert [answer.status for answer in answers[:4]] == [500, 401, 400, 404]
    assert "a bug of ours" in log.getvalue()
    assert KEY not in log.getvalue()
    for answer in answers:
        assert KEY.encode() not in answer.body
        assert KEY not in str(answer.headers)


# Where keys come from.


def parsed(*arguments: str) -> Any:
    import argparse

    from inllama.cli import serve

    parser = argparse.ArgumentParser()
    serve.add_parser(parser.add_subparsers())
    return parser.parse_args(["serve", *arguments])


def test_keys_come_from_flags_a_file_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys"
    file.write_text("# of the team\n\nfile-key-1\n   \n  file-key-2  \n\t# another comment\nfile#key#3\r\n")
    monkeypatch.setenv("INLLAMA_API_KEYS", " environment-key-1 ,,environment-key-2,")
    found = _api_keys(parsed("--api-key", "flag-key-1", "--api-key", "flag-key-2", "--api-key-file", str(file)))
    assert found == [
        "flag-key-1",
        "flag-key-2",
        "environment-key-1",
        "environment-key-2",
        "file-key-1",
        "file-key-2",
        "file#key#3",
    ]


def test_without_any_of_them_there_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INLLAMA_API_KEYS", raising=False)
    assert _api_keys(parsed()) == []


# Where a server listens.


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_a_server_that_others_reach_needs_keys(host: str) -> None:
    with FakeEngine() as engine:
        with pytest.raises(InvalidRequestError, match=r"give api_keys .* or allow_anyone") as raised:
            make_server(engine, host=host, port=0)
        assert raised.value.option == "host"
        make_server(engine, port=0).socket.close()


@pytest.mark.parametrize("options", [{"allow_anyone": True}, {"api_keys": [KEY]}], ids=["anyone", "keys"])
def test_it_listens_with_keys_or_when_it_is_meant_so(options: dict[str, Any]) -> None:
    with FakeEngine() as engine, running(engine, host="0.0.0.0", **options) as server:
        assert server.socket.getsockname()[0] == "0.0.0.0"
        assert ask(f"http://127.0.0.1:{server.socket.getsockname()[1]}").status == 200


def test_only_this_machine_reaches_it_by_default() -> None:
    with FakeEngine() as engine, running(engine) as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"
        assert server.url.startswith("http://127.0.0.1:")


def test_a_port_in_use_is_an_error_that_says_so() -> None:
    with FakeEngine() as engine, running(engine) as server:
        port = server.socket.getsockname()[1]
        with pytest.raises(OSError, match=rf"nothing can listen at 127\.0\.0\.1:{port}: Address already in use"):
            make_server(engine, port=port)


# Time.


def t_of_difference(first: list[int], second: list[int]) -> float:
    """Return Welch's t."""
    error = math.sqrt(statistics.variance(first) / len(first) + statistics.variance(second) / len(second))
    return (statistics.fmean(first) - statistics.fmean(second)) / error


def measured(tenant: Callable[[bytes], object], values: tuple[bytes, bytes], n: int) -> float:
    order = [0, 1] * n
    random.Random(1).shuffle(order)  # in a pattern, the processor tells them apart by their places
    samples = [bytes(bytearray(values[which])) for which in order]
    found: list[int] = []
    for sample in samples:
        started = time.perf_counter_ns()
        tenant(sample)
        found.append(time.perf_counter_ns() - started)
    limit = sorted(found)[int(1.9 * n)]  # what the system did meanwhile is no signal
    first, second = (
        [time_ns for which, time_ns in zip(order, found, strict=True) if which == wanted and time_ns <= limit]
        for wanted in (0, 1)
    )
    return t_of_difference(first, second)


def is_told_apart(tenant: Callable[[bytes], object], values: tuple[bytes, bytes]) -> list[float] | None:
    """Return t of three measurements if all of them tell two values apart."""
    found: list[float] = []
    for _ in range(3):
        found.append(measured(tenant, values, 10_000))
        if abs(found[-1]) < 4.5:
            return None
    return found


@pytest.mark.parametrize("position", [0, 15])
def test_time_does_not_tell_how_much_of_a_key_is_right(position: int) -> None:
    early = (KEY[:position] + "#" + KEY[position + 1 :]).encode()
    late = (KEY[:-1] + "#").encode()
    assert is_told_apart(ApiKeys([KEY, OTHER_KEY]).tenant, (early, late)) is None


def test_the_measurement_would_see_a_plain_comparison() -> None:
    secret = KEY.encode()

    def compare(given: bytes) -> bool:
        return all(one == other for one, other in zip(given, secret, strict=True))

    assert is_told_apart(compare, (b"#" + secret[1:], secret[:-1] + b"#")) is not None
