"""What web pages of others cannot do, and what requests that fit no route are told."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator

import pytest
from raw_http import Answer, Connection, ask, chat, until
from serving import running, served

from inllama.server.page_route import page_paths
from inllama.server.routes import ROUTES
from inllama.testing import FakeEngine

ELSEWHERE = "https://evil.example"
FRIEND = "https://app.example"


@pytest.fixture(scope="module")
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as made:
        yield made


@pytest.fixture(scope="module")
def url(engine: FakeEngine) -> Iterator[str]:
    with served(engine) as found:
        yield found


def with_host(url: str, host: str | bytes, path: str = "/v1/models") -> Answer:
    with Connection(url) as connection:
        name = host.encode() if isinstance(host, str) else host
        connection.send(f"GET {path} HTTP/1.1\r\nhost: ".encode() + name + b"\r\n\r\n")
        return connection.read()


# Names that point here.


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "evil.example.localhost.",
        "127.0.0.1.evil.example:80",
        "localhost@evil.example",
        "evil.example#localhost",
        "localhost:80@evil.example:80",
        "localhost:evil.example",
        "localhost evil.example",
        "[::1].evil.example",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "127.1",
        "ⓛocalhost",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/", "/health", "/v1/models", "/metrics", "/nowhere"])
def test_a_name_that_was_not_allowed_is_refused_everywhere(url: str, host: str, path: str) -> None:
    error = with_host(url, host, path).refused(403, "host")
    assert error["message"] == "this name in the Host header is not allowed; allowed_hosts lists those that are"


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost", "localhost:1", "127.0.0.1", "127.0.0.1:8080", "192.168.1.20:80", "[::1]", "[::1]:80"],
)
def test_localhost_and_addresses_are_fine(url: str, host: str) -> None:
    assert with_host(url, host).status == 200


def test_a_request_without_a_host_is_refused(url: str) -> None:
    with Connection(url) as connection:
        connection.send(b"GET /v1/models HTTP/1.1\r\n\r\n").read().refused(403, "host")


def test_two_hosts_are_refused(url: str) -> None:
    with_host(url, b"localhost\r\nhost: localhost").refused(400, "invalid_header")


def test_hosts_can_be_allowed(engine: FakeEngine) -> None:
    with served(engine, allowed_hosts=["Llm.Example"]) as url:
        assert with_host(url, "llm.example").status == 200
        assert with_host(url, "LLM.example:8443").status == 200
        assert with_host(url, "localhost").status == 200
        with_host(url, "other.example").refused(403, "host")
        with_host(url, "llm.example.evil.example").refused(403, "host")


def test_any_host_can_be_allowed(engine: FakeEngine) -> None:
    with served(engine, allowed_hosts=["*"]) as url:
        assert with_host(url, "evil.example").status == 200


def test_with_keys_any_name_will_do_unless_some_are_listed(engine: FakeEngine) -> None:
    with served(engine, api_keys=["key-of-the-test"]) as url:
        with_host(url, "llm.example").refused(401, "invalid_api_key")
        assert with_host(url, "llm.example", "/health").status == 200
    with served(engine, api_keys=["key-of-the-test"], allowed_hosts=["llm.example"]) as url:
        with_host(url, "other.example", "/health").refused(403, "host")


# Pages of others.


@pytest.mark.parametrize("origin", [ELSEWHERE, "null", "http://localhost:1", "http://127.0.0.1", "file://", ""])
def test_a_page_from_elsewhere_is_refused(url: str, origin: str) -> None:
    for method, path, body, headers in [
        ("GET", "/v1/models", None, {}),
        ("GET", "/health", None, {}),
        ("GET", "/", None, {}),
        ("DELETE", "/v1/responses/resp_1", None, {}),
        ("POST", "/v1/chat/completions", chat(), {}),
        ("POST", "/v1/chat/completions", chat(), {"content-type": "text/plain"}),
        ("OPTIONS", "/v1/chat/completions", None, {"access-control-request-method": "POST"}),
    ]:
        answer = ask(url, method, path, body, {**headers, "origin": origin})
        answer.refused(403, "origin")
        assert not [name for name, _ in answer.headers if name.startswith("access-control-")]


def test_nothing_is_computed_for_a_page_from_elsewhere(engine: FakeEngine, url: str) -> None:
    n_before = engine.stats().submitted
    ask(url, "POST", "/v1/chat/completions", chat(), {"origin": ELSEWHERE}).refused(403, "origin")
    ask(url, "POST", "/v1/chat/completions", chat(), {"content-type": "text/plain"}).refused(
        415, "invalid_content_type"
    )
    assert engine.stats().submitted == n_before


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_pages_of_the_server_itself_may_ask(url: str, scheme: str) -> None:
    with Connection(url) as connection:
        origin = f"{scheme}://{connection.host}"
    answer = ask(url, "POST", "/v1/chat/completions", chat(), {"origin": origin})
    assert answer.status == 200
    assert not [name for name, _ in answer.headers if name.startswith("access-control-")]


def test_pages_whose_origin_is_listed_may_ask(engine: FakeEngine) -> None:
    with served(engine, cors_origins=[FRIEND, "https://other.example/"]) as url:
        for origin in (FRIEND, "https://other.example"):
            answer = ask(url, "POST", "/v1/chat/completions", chat(), {"origin": origin})
            assert answer.status == 200
            assert answer.header("access-control-allow-origin") == origin
            assert answer.header("vary") == "origin"
            assert answer.header("access-control-allow-credentials") is None
        for origin in (ELSEWHERE, "http://app.example", "https://app.example:444", "https://APP.example.evil.example"):
            ask(url, "POST", "/v1/chat/completions", chat(), {"origin": origin}).refused(403, "origin")


def test_they_see_errors_and_streams_too(engine: FakeEngine) -> None:
    with served(engine, cors_origins=[FRIEND], api_keys=["key-of-the-test"]) as url:
        key = {"x-api-key": "key-of-the-test"}
        for path, body, headers, status in [
            ("/v1/chat/completions", chat(stream=True), key, 200),
            ("/v1/chat/completions", {}, key, 400),
            ("/v1/chat/completions", chat(), {}, 401),
            ("/nowhere", {}, key, 404),
            ("/health", {}, key, 405),
        ]:
            answer = ask(url, "POST", path, body, {**headers, "origin": FRIEND})
            assert (answer.status, answer.header("access-control-allow-origin")) == (status, FRIEND)


def test_a_preflight_needs_no_key_and_says_what_is_allowed(engine: FakeEngine) -> None:
    with served(engine, cors_origins=[FRIEND], api_keys=["key-of-the-test"]) as url:
        asked = {
            "origin": FRIEND,
            "access-control-request-method": "POST",
            "access-control-request-headers": "x-api-key,x-stainless-os, content-type",
        }
        answer = ask(url, "OPTIONS", "/v1/chat/completions", None, asked)
        assert (answer.status, answer.body) == (204, b"")
        assert answer.header("access-control-allow-origin") == FRIEND
        assert answer.header("access-control-allow-methods") == "GET, POST, DELETE"
        assert answer.header("access-control-allow-headers") == "x-api-key,x-stainless-os, content-type"
        assert answer.header("access-control-allow-credentials") is None
        assert "*" not in str(answer.headers)
        ask(url, "OPTIONS", "/v1/chat/completions", None, {**asked, "origin": ELSEWHERE}).refused(403, "origin")


def test_a_star_is_no_origin(engine: FakeEngine) -> None:
    with served(engine, cors_origins=["*"]) as url:
        ask(url, headers={"origin": ELSEWHERE}).refused(403, "origin")


def test_two_origins_are_refused(url: str) -> None:
    with Connection(url) as connection:
        host = connection.host
        connection.send(f"GET /health HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\n".encode())
        connection.send(f"origin: {ELSEWHERE}\r\n\r\n".encode()).read().refused(400, "invalid_header")


# What a body is sent as.


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "application/jsonx",
        "application/json, text/plain",
        "",
    ],
)
def test_what_a_form_could_send_is_refused(url: str, kind: str) -> None:
    for route in ROUTES:
        if route.method == "POST":
            answer = ask(url, "POST", route.path, b"{}", {"content-type": kind})
            assert answer.status == 415
            if not route.path.startswith("/v1/messages"):
                answer.refused(415, "invalid_content_type")


def test_a_body_without_a_type_is_refused(url: str) -> None:
    with Connection(url) as connection:
        connection.send(connection.head("POST", "/v1/completions", {"content-length": "2"}) + b"{}")
        connection.read().refused(415, "invalid_content_type")


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/json;charset=x"])
def test_json_is_taken(url: str, kind: str) -> None:
    assert ask(url, "POST", "/v1/completions", {"prompt": "a", "max_tokens": 2}, {"content-type": kind}).status == 200


# What fits no route.


def test_head_has_the_headers_of_get_and_no_body(url: str) -> None:
    for path in ["/health", "/ready", "/metrics", "/props", "/v1/models", "/openapi.json", *page_paths()]:
        with Connection(url) as connection:
            connection.request("HEAD", path)
            answer = connection.read(has_body=False)
            assert (path, answer.status) == (path, 200)
            assert int(answer.header("content-length") or 0) > 0
            assert connection.request("GET", "/health").read().json == {"status": "ok"}  # nothing came in between


def test_methods_that_a_route_lacks_are_told_which_it_has(url: str) -> None:
    paths: dict[str, set[str]] = {}
    for route in ROUTES:
        paths.setdefault(route.path.replace(":path", ""), set()).add(route.method)
    for path in ["/openapi.json", *page_paths()]:
        paths[path] = {"GET"}
    for path, methods in paths.items():
        allowed = methods | ({"HEAD"} if "GET" in methods else set())
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - allowed:
            answer = ask(url, method, path)
            assert (path, method, answer.status) == (path, method, 405)
            assert set((answer.header("allow") or "").split(", ")) == allowed
            if not path.startswith("/v1/messages"):
                assert answer.refused(405, "method_not_allowed")["message"] == "this route has other methods"


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/v1",
        "/v1/",
        "/v1/chat/completions/",
        "/health/",
        "//health",
        "/V1/models",
        "/chat/completions",
        "/page/",
        "/page/../status_route.py",
        "/page/..%2fstatus_route.py",
        "/page/%2e%2e/status_route.py",
        "/page/..\\status_route.py",
        "/page/index.html",
        "/page//etc/passwd",
        "/page/%00",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/docs",
        "/v1/responses/",
        "/v1/responses/a/b",
    ],
)
def test_what_is_not_there_is_not_found(url: str, path: str) -> None:
    answer = ask(url, "GET", path)
    assert answer.refused(404, "not_found")["message"] == "there is no such route; /openapi.json lists them"
    assert answer.header("location") is None


def test_routes_of_anthropic_say_it_in_their_shape(url: str) -> None:
    assert ask(url, "POST", "/v1/messages/nowhere", {}).anthropic_error["type"] == "not_found_error"
    assert ask(url, "GET", "/v1/messages").status == 405
    assert ask(url, "GET", "/v1/messages").anthropic_error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "line",
    [
        b"OPTIONS * HTTP/1.1",
        b"CONNECT localhost:80 HTTP/1.1",
        b"GET http://localhost/health HTTP/1.1",
        b"GET /\xc3\xa4 HTTP/1.1",
        b"GET /%ff%fe HTTP/1.1",
        b"GET /v1/models/%00%0d%0aX-Evil:1 HTTP/1.1",
        b"GET /health?%00 HTTP/1.1",
        b"GET /health?\xff HTTP/1.1",
        b"GET /health#fragment HTTP/1.1",
        b"GET ?a HTTP/1.1",
        b"PRI * HTTP/1.1",
    ],
)
def test_odd_targets_are_answered_and_leave_the_server_alone(url: str, line: bytes) -> None:
    with Connection(url) as connection:
        connection.send(line + f"\r\nhost: {connection.host}\r\n\r\n".encode())
        answer = connection.read()
        assert answer.status in (200, 400, 404, 405)
        assert answer.header("x-evil") is None
        if answer.status != 200:
            assert answer.error["type"] == "invalid_request_error"
    assert ask(url).status == 200


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "TLS/1.0"])
def test_other_protocols_are_not_spoken(url: str, protocol: str) -> None:
    headers = {"connection": "Upgrade", "upgrade": protocol, "sec-websocket-key": "x", "sec-websocket-version": "13"}
    answer = ask(url, "GET", "/health", headers=headers)
    assert (answer.status, answer.header("upgrade")) == (200, None)


def test_old_clients_get_an_answer_and_the_end(url: str) -> None:
    with Connection(url) as connection:
        connection.send(b"GET /health HTTP/1.0\r\nhost: localhost\r\n\r\n")
        assert connection.read().json == {"status": "ok"}
        assert connection.read_to_end() == b""


# What every answer has.


def test_every_answer_has_an_id_and_keeps_browsers_from_guessing(url: str) -> None:
    for method, path, body in [
        ("GET", "/health", None),
        ("GET", "/", None),
        ("GET", "/nowhere", None),
        ("POST", "/v1/completions", {"prompt": "a", "max_tokens": 1}),
        ("POST", "/v1/completions", {"prompt": "a", "max_tokens": 1, "stream": True}),
        ("POST", "/v1/completions", {}),
    ]:
        answer = ask(url, method, path, body)
        assert answer.header("x-content-type-options") == "nosniff"
        assert (answer.header("x-request-id") or "").startswith("req_")


def test_small_pieces_are_sent_at_once(engine: FakeEngine) -> None:
    with running(engine) as server, Connection(server.url) as connection:
        assert connection.request("GET", "/health").read().status == 200
        (protocol,) = server.server_state.connections
        found = protocol.transport.get_extra_info("socket")
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0  # otherwise each may wait for 40 ms


@pytest.mark.parametrize("name", ["a", "req_1", "0123456789-abcdef_ABCDEF", "x" * 64])
def test_a_request_keeps_its_id(url: str, name: str) -> None:
    assert ask(url, headers={"x-request-id": name}).header("x-request-id") == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a;b", "ä", "a,b", "../a", "%0d%0a"])
def test_an_id_that_is_none_is_replaced(url: str, name: str) -> None:
    answer = ask(url, headers={"x-request-id": name})
    assert answer.status == 200
    assert (answer.header("x-request-id") or "").startswith("req_")


def test_two_ids_are_replaced(url: str) -> None:
    with Connection(url) as connection:
        connection.send(f"GET /health HTTP/1.1\r\nhost: {connection.host}\r\n".encode())
        answer = connection.send(b"x-request-id: one\r\nx-request-id: two\r\n\r\n").read()
        assert (answer.header("x-request-id") or "").startswith("req_")


# The access log.


def access_lines(caplog: pytest.LogCaptureFixture, of: str = "") -> list[str]:
    """Return the lines, of the requests whose ids begin with `of`: a line of an earlier test may come late."""
    lines = [record.getMessage() for record in caplog.records if record.name == "inllama.access"]
    return [line for line in lines if line.startswith(of)]


def test_each_request_has_one_line(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "inllama.access")
    asked = [
        ("GET", "/health", None, 200),
        ("GET", "/nowhere", None, 404),
        ("POST", "/health", {}, 405),
        ("POST", "/v1/completions", {"prompt": "a", "max_tokens": 1}, 200),
        ("POST", "/v1/completions", {"prompt": "a", "max_tokens": 1, "stream": True}, 200),
        ("POST", "/v1/completions", {}, 400),
    ]
    for index, (method, path, body, _) in enumerate(asked):
        ask(url, method, path, body, {"x-request-id": f"line-{index}"})
    until(lambda: len(access_lines(caplog, "line-")) >= len(asked))
    lines = access_lines(caplog, "line-")
    assert len(lines) == len(asked)
    for index, (method, path, _, status) in enumerate(asked):
        assert lines[index].startswith(f"line-{index} 127.0.0.1 {method} '{path}' {status} "), lines[index]
        assert lines[index].endswith(" ms")


def test_a_path_cannot_write_lines_of_its_own(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "inllama.access")
    path = "/a%0d%0areq_1%20127.0.0.1%20GET%20'/health'%20200%1b[2J%00%e2%80%ae%c2%85%e2%80%a8"
    ask(url, "GET", path, headers={"x-request-id": "path-0"})
    ask(url, "GET", "/" + "a" * 3000, headers={"x-request-id": "path-1"})
    until(lambda: len(access_lines(caplog, "path-")) >= 2)
    lines = access_lines(caplog, "path-")
    for line in lines:
        assert line.isprintable(), line
        assert len(line) < 400
    assert r"'/a\r\nreq_1" in lines[0] or r'"/a\r\nreq_1' in lines[0]


def test_what_is_refused_before_it_is_a_request_has_a_line_too(
    engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "inllama.access")
    with running(engine) as server, Connection(server.url) as connection:
        connection.send(b"this is no HTTP\r\n\r\n").read().refused(400, "invalid_http")
        until(lambda: access_lines(caplog, "- "))
    assert access_lines(caplog, "- ") == ["- 127.0.0.1 - '-' 400 0.0 ms"]


def test_a_client_that_went_away_is_in_the_log_as_that(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "inllama.access")
    with FakeEngine("word " * 1000, step_s=0.01) as engine, running(engine) as server:
        with Connection(server.url) as connection:
            connection.request("POST", "/v1/chat/completions", chat(), {"x-request-id": "gone"})
            until(lambda: engine.stats().running == 1)
        until(lambda: access_lines(caplog, "gone "))
    assert access_lines(caplog, "gone ")[0].startswith("gone 127.0.0.1 POST '/v1/chat/completions' 499 ")


CANARY = "canary-in-the-prompt-4711"


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[bool, str]]:
    """A server that repeats the prompt, and one that fails."""

    def fail(prompt: str) -> str:
        raise LookupError("a bug of ours")

    with (
        FakeEngine(lambda prompt: prompt) as echo,
        FakeEngine(fail) as broken,
        served(echo) as echo_url,
        served(broken) as broken_url,
    ):
        yield {False: echo_url, True: broken_url}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", chat(CANARY)),
        ("/v1/chat/completions", chat(CANARY, stream=True)),
        ("/v1/chat/completions", chat(CANARY, temperature=-1)),
        ("/v1/chat/completions", chat(CANARY, tools=[{"type": CANARY}])),
        ("/v1/chat/completions", {"messages": [{"role": CANARY, "content": CANARY}]}),
        ("/v1/chat/completions", {"messages": CANARY}),
        ("/v1/completions", {"prompt": CANARY}),
        ("/v1/completions", {"prompt": [CANARY, 5]}),
        ("/v1/completions", {"prompt": CANARY, "grammar": CANARY}),
        ("/v1/responses", {"input": CANARY}),
        ("/v1/responses", {"input": [{"type": CANARY}]}),
        ("/v1/messages", chat(CANARY, max_tokens=5)),
        ("/v1/messages/count_tokens", chat(CANARY)),
        ("/v1/embeddings", {"input": CANARY}),
        ("/v1/rerank", {"query": CANARY, "documents": [CANARY, {"nothing": CANARY}]}),
        ("/tokenize", {"content": CANARY, "add_special": CANARY}),
        ("/apply-template", chat(CANARY)),
        ("/v1/chat/completions", {CANARY: 1, **chat()}),
    ],
)
@pytest.mark.parametrize("fails", [False, True], ids=["works", "fails"])
def test_no_log_ever_has_a_prompt_or_an_answer(
    urls: dict[bool, str], path: str, body: dict[str, object], fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = ask(urls[fails], "POST", path, body, {"x-request-id": "canary-0"})
    broken = ask(urls[fails], "POST", path, json.dumps(body).encode()[:-1], {"x-request-id": "canary-1"})
    until(lambda: len(access_lines(caplog, "canary-")) == 2)
    assert broken.status == 400
    for record in caplog.records:
        text = logging.Formatter().format(record)
        assert CANARY not in text, text
    if answer.status == 500:
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert [record.name for record in errors] == ["inllama.server"]
        assert (answer.header("x-request-id") or "?") in errors[0].getMessage()
