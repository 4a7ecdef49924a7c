"""What is too large, too deep or no JSON at all: a clean answer at once, within bounded memory, and nothing breaks."""

from __future__ import annotations

import gzip
import json
import resource
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from raw_http import Answer, Connection, ask, chat, until
from serving import running, served

from inllama.server.routes import ROUTES
from inllama.testing import FakeEngine

MAX_BODY = 1 << 20
CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}
MESSAGES = '"messages":[{"role":"user","content":"a"}]'


@pytest.fixture(scope="module")
def engine() -> Iterator[FakeEngine]:
    with FakeEngine("A reply.") as made:
        yield made


@pytest.fixture(scope="module")
def url(engine: FakeEngine) -> Iterator[str]:
    with served(engine, max_body_bytes=MAX_BODY) as found:
        yield found


@pytest.fixture(scope="module")
def big_url(engine: FakeEngine) -> Iterator[str]:
    """With the limits that a user has who gives none."""
    with served(engine) as found:
        yield found


def works(url: str) -> None:
    answer = ask(url, "POST", CHAT, chat())
    assert answer.status == 200
    assert answer.json["choices"][0]["message"]["content"] == "A reply."


def timed(url: str, path: str, body: bytes | object, within: float = 5.0) -> Answer:
    """Ask; fails if the answer takes long."""
    started = time.monotonic()
    answer = ask(url, "POST", path, body)
    assert time.monotonic() - started < within
    return answer


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# Size.


@pytest.mark.parametrize("path", [route.path for route in ROUTES if route.method == "POST"])
def test_a_body_that_says_it_is_too_large_is_not_read(url: str, path: str) -> None:
    with Connection(url) as connection:
        connection.send(connection.head("POST", path, {**JSON, "content-length": str(MAX_BODY + 1)}))
        answer = connection.read()
        assert (answer.status, answer.header("connection")) == (413, "close")
        if path.startswith("/v1/messages"):
            assert answer.anthropic_error["type"] == "request_too_large"
        else:
            assert answer.refused(413, "body_too_large")["message"] == f"the body is larger than {MAX_BODY} bytes"
        assert connection.read_to_end() == b""
    works(url)


@pytest.mark.parametrize("length", ["99999999999999999999999", "18446744073709551616", str(1 << 62)])
def test_lengths_that_no_number_holds_are_refused(url: str, length: str) -> None:
    with Connection(url) as connection:
        connection.send(connection.head("POST", CHAT, {**JSON, "content-length": length}))
        assert connection.read().status in (400, 413)
        connection.read_to_end()
    works(url)


def test_a_stream_of_chunks_ends_where_it_is_too_large(url: str) -> None:
    with Connection(url) as connection:
        connection.send(connection.head("POST", CHAT, {**JSON, "transfer-encoding": "chunked"}))
        for _ in range(MAX_BODY // 4096 + 1):
            connection.try_send(b"1000\r\n" + b" " * 4096 + b"\r\n")
        connection.read().refused(413, "body_too_large")
        connection.read_to_end()
    works(url)


def test_the_largest_body_is_taken(url: str) -> None:
    body = json.dumps(chat(max_tokens=2)).encode()
    assert ask(url, "POST", CHAT, body + b" " * (MAX_BODY - len(body))).status == 200
    ask(url, "POST", CHAT, body + b" " * (MAX_BODY - len(body) + 1)).refused(413, "body_too_large")


def test_a_client_that_waits_for_permission_gets_it_or_the_error(url: str) -> None:
    with Connection(url) as connection:
        body = json.dumps(chat()).encode()
        expecting = {**JSON, "expect": "100-continue", "content-length": str(len(body))}
        connection.send(connection.head("POST", CHAT, expecting))
        assert connection.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert connection.send(body).read().status == 200
    with Connection(url) as connection:
        expecting = {**JSON, "expect": "100-continue", "content-length": str(MAX_BODY + 1)}
        connection.send(connection.head("POST", CHAT, expecting))
        connection.read().refused(413, "body_too_large")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-a": "a" * 40_000},
        {"a" * 40_000: "a"},
        {f"x-{index}": "a" for index in range(10_000)},
        {str(index): "" for index in range(8_000)},
        {"cookie": "a=b; " * 10_000},
        {"authorization": "Bearer " + "a" * 40_000},
    ],
    ids=["one value", "one name", "many", "many that are empty", "a cookie", "a key"],
)
def test_headers_have_a_largest_size(url: str, headers: Mapping[str, str]) -> None:
    with Connection(url) as connection:
        connection.try_send(connection.head("GET", "/health", headers))
        answer = connection.read()
        assert answer.refused(431, "invalid_headers")["message"] == "the headers are too large"
        assert answer.header("connection") == "close"
        connection.read_to_end()
    works(url)


def test_headers_below_that_are_taken(url: str) -> None:
    assert ask(url, headers={"x-a": "a" * 30_000}).status == 200


@pytest.mark.parametrize("target", ["/health?" + "a" * 40_000, "/" + "a" * 40_000, "/v1/models/" + "%41" * 15_000])
def test_addresses_count_as_headers(url: str, target: str) -> None:
    with Connection(url) as connection:
        connection.try_send(connection.head("GET", target)).read().refused(431, "invalid_headers")


@pytest.mark.parametrize("beginning", [b"GET /", b"GET / HTTP/1.1\r\nx: ", b"GET / HTTP/1.1\r\nx", b"\r\n", b"POST /?"])
def test_headers_without_an_end_take_bounded_memory(url: str, beginning: bytes) -> None:
    before = peak_bytes()
    piece = b"\r\n" * 32_768 if beginning == b"\r\n" else b"a" * 65_536
    with Connection(url) as connection:
        connection.try_send(beginning)
        for _ in range(1024):
            connection.try_send(piece)
        connection.read().refused(431, "invalid_headers")
        connection.read_to_end()
    assert peak_bytes() - before < 16 << 20
    works(url)


@pytest.mark.parametrize("line", [b"x: " + b"a" * 1000, b"x" * 1000 + b":"], ids=["values", "names"])
@pytest.mark.parametrize("has_key", [False, True])
def test_headers_behind_a_body_take_bounded_memory(engine: FakeEngine, line: bytes, has_key: bool) -> None:
    before = peak_bytes()
    with served(engine, api_keys=["key-of-the-test"]) as url, Connection(url) as connection:
        key = {"authorization": "Bearer key-of-the-test"} if has_key else {}
        connection.send(connection.head("POST", CHAT, {**JSON, **key, "transfer-encoding": "chunked"}) + b"0\r\n")
        for _ in range(1024):
            connection.try_send((line + b"\r\n") * 64)
        connection.read_to_end()
    assert peak_bytes() - before < 16 << 20


def test_headers_behind_a_body_change_nothing(engine: FakeEngine) -> None:
    with served(engine, api_keys=["key-of-the-test"]) as url, Connection(url) as connection:
        body = json.dumps(chat()).encode()
        chunked = b"%x\r\n%s\r\n0\r\n" % (len(body), body)
        head = connection.head("POST", CHAT, {**JSON, "transfer-encoding": "chunked"})
        connection.send(head + chunked + b"authorization: Bearer key-of-the-test\r\n\r\n")
        connection.read().refused(401, "invalid_api_key")


@pytest.mark.parametrize("framing", ["ff;" + "a" * 100_000, "0" * 100_000, "1;a=" + "b" * 100_000])
def test_the_framing_of_chunks_takes_no_memory(url: str, framing: str) -> None:
    with Connection(url) as connection:
        connection.send(connection.head("POST", CHAT, {**JSON, "transfer-encoding": "chunked"}))
        connection.try_send(framing.encode())
        answer = connection.read()
        assert answer.status in (400, 431)
        assert answer.error["type"] == "invalid_request_error"
    works(url)


# What is no JSON, or too much of it.

NESTED = b"[" * 10_000
NOT_JSON: dict[str, bytes] = {
    "nothing": b"",
    "spaces": b"   ",
    "half": b'{"messages":[{"role":"user"',
    "two objects": b"{}{}",
    "a comma too many": b'{"a":1,}',
    "a comment": b'{"a":1 /* b */}',
    "quotes of Python": b"{'a': 1}",
    "a form": b"messages=hello",
    "deep lists": b'{"messages":' + NESTED + b"]" * 10_000 + b"}",
    "deep lists without an end": NESTED,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "deep and mixed": b'{"a":[' * 5_000 + b"]}" * 5_000,
    "65 deep": b'{"a":' * 65 + b"1" + b"}" * 65,
    "an integer of 1,000,000 digits": b'{"seed":' + b"1" * 1_000_000 + b"}",
    "a negative one": b'{"seed":-' + b"9" * 900_000 + b"}",
    "a fraction of 1,000,000 digits and a huge exponent": b'{"temperature":' + b"1" * 900_000 + b".0e999}",
    "1e999": b'{"temperature":1e999}',
    "-1e999": b'{"temperature":-1e999}',
    "NaN": b'{"temperature":NaN}',
    "Infinity": b'{"temperature":Infinity}',
    "-Infinity": b'{"temperature":-Infinity}',
    "a name twice": b'{"max_tokens":1,"max_tokens":2}',
    "a name twice, spelled otherwise": b'{"max_tokens":1,"max\\u005ftokens":2}',
    "a name twice further inside": b'{"messages":[{"role":"user","role":"system"}]}',
    "BOM": b'\xef\xbb\xbf{"a":1}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-32": '{"a":1}'.encode("utf-32"),
    "bytes that are no text": b'{"a":"\xff\xfe"}',
    "half a character": b'{"a":"\xe2\x82"}',
    "a character written too long": b'{"a":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "a lone surrogate": b'{"messages":[{"role":"user","content":"\\ud800"}]}',
    "a lone low surrogate": b'{"messages":[{"role":"user","content":"a\\uDC00"}]}',
    "surrogates in the wrong order": b'{"a":"\\udc00\\ud800"}',
    "a lone surrogate in a name": b'{"\\ud800":1}',
    "a NUL that is not escaped": b'{"a":"\x00"}',
    "a NUL behind it": b"{}\x00",
    "a line break in a text": b'{"a":"\n"}',
    "a bad escape": b'{"a":"\\x41"}',
    "a list": b"[]",
    "a text": b'"messages"',
    "a number": b"1",
    "null": b"null",
    "true": b"true",
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_no_object_of_json_is_refused(url: str, body: bytes) -> None:
    for path in (CHAT, "/v1/embeddings", "/tokenize"):
        error = timed(url, path, body).refused(400, "invalid_json")
        assert (error["type"], error["param"]) == ("invalid_request_error", None)
        assert error["message"].startswith("the body ")
        assert len(error["message"]) < 300
    works(url)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_anthropic_routes_say_it_in_their_shape(url: str, path: str) -> None:
    answer = ask(url, "POST", path, b"{")
    assert (answer.status, answer.anthropic_error["type"]) == (400, "invalid_request_error")


def test_64_deep_is_fine(url: str) -> None:
    body = (
        b'{"messages":[{"role":"user","content":"a"}],"max_tokens":1,"x":' + b'{"a":' * 62 + b"[1]" + b"}" * 62 + b"}"
    )
    assert ask(url, "POST", CHAT, body).status == 200


def test_pairs_of_surrogates_are_text(url: str) -> None:
    body = b'{"messages":[{"role":"user","content":"\\ud83d\\ude00 \\u200b \\u202e"}],"max_tokens":1}'
    assert ask(url, "POST", CHAT, body).status == 200


def test_nul_in_a_message_is_refused(url: str) -> None:
    for content in ("a\x00b", [{"type": "text", "text": "a\x00b"}]):
        error = ask(url, "POST", CHAT, {"messages": [{"role": "user", "content": content}]}).refused(
            400, "invalid_value"
        )
        assert "has a NUL character at 1; remove it" in error["message"]


def test_a_repeated_name_among_very_many_is_found_at_once(big_url: str) -> None:
    names = ",".join(f'"n{index}":1' for index in range(200_000))
    timed(big_url, CHAT, f'{{{names},"last":1,"last":2}}'.encode()).refused(400, "invalid_json")
    works(big_url)


# Compressed.


@pytest.mark.parametrize(
    "encoding", ["gzip", "deflate", "br", "zstd", "x-gzip", "GZIP", "identity, gzip", "gzip, gzip"]
)
def test_a_compressed_body_is_never_opened(url: str, encoding: str) -> None:
    bomb = gzip.compress(gzip.compress(b" " * (1 << 26), 9), 9)
    before = peak_bytes()
    started = time.monotonic()
    answer = ask(url, "POST", CHAT, bomb, {"content-encoding": encoding})
    answer.refused(415, "invalid_content_encoding")
    assert time.monotonic() - started < 2
    assert peak_bytes() - before < 16 << 20
    works(url)


def test_compressed_bytes_that_call_themselves_json_are_no_text(url: str) -> None:
    ask(url, "POST", CHAT, gzip.compress(b"{}"), {"content-encoding": "identity"}).refused(400, "invalid_json")


# Framing.


FRAMING: dict[str, bytes] = {
    "length and chunks": b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"content-length: 2\r\ncontent-length: 40\r\n\r\n{}",
    "the same length twice": b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}",
    "a list of lengths": b"content-length: 2, 2\r\n\r\n{}",
    "a length with a sign": b"content-length: +2\r\n\r\n{}",
    "a negative length": b"content-length: -1\r\n\r\n{}",
    "a length in hex": b"content-length: 0x2\r\n\r\n{}",
    "a length with a space inside": b"content-length: 1 0\r\n\r\n{}",
    "a length of letters": b"content-length: two\r\n\r\n{}",
    "an encoding that ends otherwise": b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "an encoding that is none": b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
    "a header that is folded": b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a vertical tab": b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a NUL in a header": b"x: a\x00b\r\ncontent-length: 2\r\n\r\n{}",
    "a bare carriage return": b"x: a\rtransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n{}",
    "a header without a name": b": a\r\ncontent-length: 2\r\n\r\n{}",
    "a header without a colon": b"content-length 2\r\n\r\n{}",
    "a chunk with a bad size": b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a chunk with a negative size": b"transfer-encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a chunk with 0x": b"transfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk with a huge size": b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than it says": b"transfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "a chunk without its end": b"transfer-encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
    "a chunk that ends in LF alone": b"transfer-encoding: chunked\r\n\r\n2\n{}\n0\n\n",
}
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: localhost\r\nx-request-id: smuggled\r\n\r\n"


@pytest.mark.parametrize("rest", FRAMING.values(), ids=FRAMING.keys())
def test_a_body_whose_end_is_not_clear_hides_no_request(url: str, rest: bytes) -> None:
    with Connection(url) as connection:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: {connection.host}\r\ncontent-type: application/json\r\n".encode()
        connection.try_send(head + rest + SMUGGLED)
        answer = connection.read()
        assert answer.status == 400, answer
        assert answer.error["code"] in ("invalid_http", "invalid_json")
        assert b"smuggled" not in connection.read_to_end()
    works(url)


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"SSH-2.0-x\r\n", b"{}\r\n\r\n", b"\x00" * 100, b"GET\r\n\r\n",
     b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nhost: a b\x00\r\n\r\n", b"EVIL / HTTP/1.1\r\n\r\n",
     b"get / http/1.1\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_http_is_refused_in_the_usual_shape(url: str, data: bytes) -> None:
    with Connection(url) as connection:
        answer = connection.try_send(data).read()
        error = answer.refused(400, "invalid_http")
        assert error == {
            "message": "this is no request of HTTP/1.1",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_http",
        }
        assert connection.read_to_end() == b""


def test_requests_in_a_row_are_answered_in_order(url: str) -> None:
    with Connection(url) as connection:
        body = json.dumps(chat()).encode()
        one = connection.head("POST", CHAT, {**JSON, "content-length": str(len(body))}) + body
        connection.send((one + connection.head("GET", "/nowhere")) * 20)
        for _ in range(20):
            assert connection.read().status == 200
            connection.read().refused(404, "not_found")


def test_no_answer_has_another_inside(engine: FakeEngine) -> None:
    with FakeEngine("word " * 20, step_s=0.005) as slow, served(slow) as url, Connection(url) as connection:
        connection.request("POST", CHAT, chat(stream=True))
        connection.read_until(b'"content":"w"')
        connection.try_send(b"\x00 no request\r\n\r\n")
        rest = connection.read_to_end()
        assert b"HTTP/1.1" not in rest
        assert not rest.endswith(b"0\r\n\r\n")  # cut off, which clients notice
        until(lambda: slow.stats().running == 0)


# Too much of something.

MANY = 10**9
TOO_MUCH: list[tuple[str, dict[str, Any], str, str | None]] = [
    (CHAT, {"n": MANY}, "too_many_outputs", "n"),
    (CHAT, {"n": 129}, "too_many_outputs", "n"),
    (CHAT, {"n": 0}, "invalid_value", "n"),
    (CHAT, {"n": -1}, "invalid_value", "n"),
    (CHAT, {"n": 2**64}, "too_many_outputs", "n"),
    (CHAT, {"n": 10**400}, "too_many_outputs", "n"),
    (CHAT, {"n": True}, "invalid_value", "n"),
    (CHAT, {"n": 1.0}, "invalid_value", "n"),
    (CHAT, {"n": "1"}, "invalid_value", "n"),
    (CHAT, {"logprobs": True, "top_logprobs": MANY}, "invalid_value", "top_logprobs"),
    (CHAT, {"logprobs": True, "top_logprobs": -1}, "invalid_value", "top_logprobs"),
    (CHAT, {"logprobs": MANY}, "invalid_value", "logprobs"),
    (CHAT, {"max_tokens": 0}, "invalid_value", "max_tokens"),
    (CHAT, {"max_tokens": -(2**63)}, "invalid_value", "max_tokens"),
    (CHAT, {"max_tokens": 2**31}, "invalid_value", "max_tokens"),
    (CHAT, {"max_tokens": 10**400}, "invalid_value", "max_tokens"),
    (CHAT, {"reasoning_budget": 2**70}, "invalid_value", "reasoning_budget"),
    (CHAT, {"max_completion_tokens": 0}, "invalid_value", "max_tokens"),
    (CHAT, {"seed": 2**64}, "invalid_value", "seed"),
    (CHAT, {"seed": -1}, "invalid_value", "seed"),
    (CHAT, {"top_k": 2**31}, "invalid_value", "top_k"),
    (CHAT, {"temperature": -0.1}, "invalid_value", "temperature"),
    (CHAT, {"temperature": 10**400}, "invalid_value", "temperature"),
    (CHAT, {"top_p": 1.1}, "invalid_value", "top_p"),
    (CHAT, {"dry_allowed_length": -1}, "invalid_value", "dry_allowed_length"),
    (CHAT, {"penalty_last_n": 2**40}, "invalid_value", "penalty_last_n"),
    (CHAT, {"min_tokens": 2**63}, "invalid_value", "min_tokens"),
    (CHAT, {"timeout_s": -1}, "invalid_value", "timeout_s"),
    (CHAT, {"priority": 1}, "invalid_value", "priority"),
    (CHAT, {"priority": -MANY}, "invalid_value", "priority"),
    (CHAT, {"reasoning_budget": -1}, "invalid_value", "reasoning_budget"),
    (CHAT, {"logit_bias": {"-1": 1.0}}, "invalid_value", "logit_bias"),
    (CHAT, {"logit_bias": {str(2**31): 1.0}}, "invalid_value", "logit_bias"),
    (CHAT, {"logit_bias": {"9" * 5000: 1.0}}, "invalid_value", "logit_bias"),
    (CHAT, {"logit_bias": {"a": 1.0}}, "invalid_value", "logit_bias"),
    (CHAT, {"logit_bias": {"1": "a"}}, "invalid_value", "logit_bias"),
    (CHAT, {"stop": [""]}, "invalid_value", "stop"),
    (CHAT, {"stop": ["a", 1]}, "invalid_value", "stop"),
    (CHAT, {"stop_token_ids": [-1]}, "invalid_value", None),
    (CHAT, {"stop_token_ids": [MANY * MANY]}, "invalid_value", "stop token"),
    (CHAT, {"adapters": {"nothing": 1.0}}, "invalid_value", None),
    (CHAT, {"model": "x" * 100_000}, "model_not_found", "model"),
    (CHAT, {"model": "../../etc/passwd\x00"}, "model_not_found", "model"),
    (CHAT, {"grammar": "root ::= " + "(" * 60_000 + '"a"' + ")" * 60_000}, "invalid_structure", None),
    (CHAT, {"grammar": "root ::= root"}, "invalid_structure", None),
    (CHAT, {"regex": "(" * 5_000}, "invalid_structure", None),
    (CHAT, {"json_schema": {"$ref": "http://127.0.0.1:1/x"}}, "invalid_structure", None),
    (CHAT, {"json_schema": {"$ref": "file:///etc/passwd"}}, "invalid_structure", None),
    (CHAT, {"chat_template": "{% for i in range(10**9) %}{% endfor %}"}, "unsupported_field", "chat_template"),
    ("/v1/completions", {"prompt": "a", "n": MANY}, "too_many_outputs", "n"),
    ("/v1/completions", {"prompt": ["a"] * 129}, "too_many_outputs", "n"),
    ("/v1/completions", {"prompt": ["a"] * 65, "n": 2}, "too_many_outputs", "n"),
    ("/v1/completions", {"prompt": "a", "best_of": MANY}, "unsupported_field", "best_of"),
    ("/v1/completions", {"prompt": "a", "logprobs": MANY}, "invalid_value", "logprobs"),
    ("/v1/completions", {"prompt": "a", "logprobs": -1}, "invalid_value", "logprobs"),
    ("/v1/completions", {"prompt": [-1]}, "invalid_value", None),
    ("/v1/completions", {"prompt": [2**31]}, "invalid_value", None),
    ("/v1/completions", {"prompt": [10**400]}, "invalid_value", None),
    ("/v1/completions", {"prompt": [257]}, "invalid_value", None),
    ("/v1/completions", {"prompt": [[1, -5]]}, "invalid_value", None),
    ("/v1/completions", {"prompt": [[]]}, "invalid_value", None),
    ("/v1/completions", {"prompt": [257], "echo": True}, "invalid_value", None),
    ("/v1/completions", {"prompt": [10**30], "echo": True}, "invalid_value", None),
    ("/v1/completions", {"prompt": "a", "suffix": "b"}, "unsupported", None),
    ("/v1/embeddings", {"input": ["a"] * 300_000}, "too_many_texts", "input"),
    ("/v1/embeddings", {"input": [[1]] * 200_000}, "too_many_texts", "input"),
    ("/v1/embeddings", {"input": [-1]}, "invalid_value", None),
    ("/v1/embeddings", {"input": [10**400]}, "invalid_value", "token"),
    ("/v1/embeddings", {"input": ["a", ""], "dimensions": MANY}, "invalid_value", "dimensions"),
    ("/v1/embeddings", {"input": "a", "dimensions": 10**400}, "invalid_value", "dimensions"),
    ("/v1/rerank", {"query": "a", "documents": ["a"] * 300_000}, "too_many_texts", "documents"),
    ("/v1/rerank", {"query": "a", "documents": ["a"], "top_n": 0}, "invalid_value", "top_n"),
    ("/detokenize", {"tokens": [2**31]}, "invalid_value", "tokens"),
    ("/detokenize", {"tokens": [-1]}, "invalid_value", "tokens"),
    ("/detokenize", {"tokens": [10**400]}, "invalid_value", "tokens"),
    ("/detokenize", {"tokens": [257]}, "invalid_value", None),
    ("/v1/responses", {"input": "a", "n": MANY}, "invalid_value", "n"),
    ("/v1/responses", {"input": "a", "top_logprobs": MANY}, "invalid_value", "top_logprobs"),
    ("/v1/responses", {"input": "a", "include": 5}, "invalid_value", "include"),
    ("/v1/responses", {"input": "a", "include": {"a": 1}}, "invalid_value", "include"),
    ("/v1/responses", {"input": "a", "max_output_tokens": 0}, "invalid_value", "max_tokens"),
    ("/v1/responses", {"input": "a", "previous_response_id": "x" * 100_000},
     "response_not_found", "previous_response_id"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "fields", "code", "param"), TOO_MUCH, ids=[f"{row[0]} {str(row[1])[:60]}" for row in TOO_MUCH]
)
def test_too_much_is_refused_at_once(
    big_url: str, engine: FakeEngine, path: str, fields: dict[str, Any], code: str, param: str | None
) -> None:
    n_before = engine.stats().submitted
    body = {**(chat() if path == CHAT else {}), **fields}
    answer = timed(big_url, path, body)
    error = answer.refused(404 if code in ("model_not_found", "response_not_found") else 400, code)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert len(error["message"]) < 700
    assert engine.stats().submitted == n_before
    works(big_url)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (CHAT, {"stop": [f"stop {index}" for index in range(100_000)]}),
        (CHAT, {"dry_multiplier": 1.0, "dry_sequence_breakers": [f"stop {index}" for index in range(100_000)]}),
        (CHAT, {"logit_bias": {str(index): 1.0 for index in range(100_000)}}),
        (CHAT, {"stop_token_ids": list(range(100_000))}),
        (CHAT, {"choices": [f"choice {index}" for index in range(100_000)]}),
        (CHAT, {"tools": [{"type": "function", "function": {"name": f"f{index}"}} for index in range(2_000)]}),
        (CHAT, {f"unknown-{index}": 1 for index in range(30_000)}),
        (CHAT, {"messages": [{"role": "user", "content": ""}] * 30_000}),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 100_000}]}),
        ("/v1/completions", {"prompt": "a" * 7_000_000}),
        ("/v1/completions", {"prompt": [1] * 1_000_000}),
        ("/v1/embeddings", {"input": "a" * 7_000_000}),
        ("/v1/embeddings", {"input": ["a" * 100] * 2_000}),
        ("/v1/rerank", {"query": "a" * 5_000, "documents": ["b"] * 200}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 2**31 - 1}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 2,
                          "stop_sequences": ["x"] * 99_999}),
        ("/v1/responses", {"input": [{"role": "user", "content": "a"}] * 30_000}),
        ("/tokenize", {"content": "a" * 7_000_000}),
        ("/tokenize", {"content": "a" * 300_000, "with_pieces": True}),
        ("/detokenize", {"tokens": [97] * 1_000_000}),
        ("/apply-template", {"messages": [{"role": "user", "content": "a" * 7_000_000}]}),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_very_much_is_answered_or_refused_while_others_are_answered(
    big_url: str, path: str, fields: dict[str, Any]
) -> None:
    found: list[Answer] = []
    body = json.dumps({**(chat(max_tokens=2) if path == CHAT else {}), **fields}).encode()
    asking = threading.Thread(target=lambda: found.append(ask(big_url, "POST", path, body)))
    asking.start()
    longest = 0.0
    while asking.is_alive():
        started = time.monotonic()
        assert ask(big_url).status == 200
        longest = max(longest, time.monotonic() - started)
    asking.join()
    assert found[0].status in (200, 400)
    if found[0].status == 400 and path != "/v1/messages":
        assert found[0].error["type"] == "invalid_request_error"
    assert longest < 2.0
    works(big_url)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "item", "field"),
    [
        ("/v1/embeddings", "{}", "input"),
        ("/v1/completions", "{}", "prompt"),
        ("/v1/completions", "[{}]", "prompt"),
        (CHAT, "0", "messages"),
        (CHAT, "{}", "stop"),
        ("/v1/rerank", "0", "documents"),
        ("/detokenize", '""', "tokens"),
    ],
)
def test_a_mistake_many_times_over_takes_bounded_memory(big_url: str, path: str, item: str, field: str) -> None:
    before = peak_bytes()
    body = f'{{"{field}":[{",".join([item] * 300_000)}]}}'.encode()
    timed(big_url, path, body).refused(400, "invalid_value")
    assert peak_bytes() - before < 100 << 20
    works(big_url)


def test_more_connections_than_allowed_are_told_to_come_again(engine: FakeEngine) -> None:
    with running(engine, max_connections=2) as server:
        first, second = Connection(server.url), Connection(server.url)
        for one in (first, second):
            assert one.request("GET", "/health").read().status == 200
        with Connection(server.url) as third:
            answer = third.request("GET", "/health").read()
            error = answer.refused(503, "too_many_connections")
            assert (error["type"], answer.header("retry-after")) == ("server_error", "1")
            assert third.read_to_end() == b""
        assert first.request("GET", "/health").read().status == 200
        second.close()
        until(lambda: ask(server.url).status == 200)
        first.close()
