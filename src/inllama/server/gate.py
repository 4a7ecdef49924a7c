"""What every request passes first: its name, Host, Origin and key; and last: its error and its log line."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Collection, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inllama.server.event_text import to_text
from inllama.server.failures import Failure, anthropic_dict, failure_of, internal_failure
from inllama.server.json_body import Disconnected, header
from inllama.server.served import logger
from inllama.server.service import Service

access = logging.getLogger("inllama.access")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_KEY_HEADERS = (b"authorization", b"x-api-key")
_CORS_METHODS = b"GET, POST, DELETE"
_CORS_MAX_AGE = b"600"
_CORS_EXPOSED = b"retry-after, x-inllama-ignored, x-request-id"
_HEADER_NAMES = re.compile(rb"[A-Za-z0-9_-]+(, ?[A-Za-z0-9_-]+){0,99}")
# What a client that has gone away would have been told; nginx counts it so.
_CLOSED = 499


class Gate:
    """The outermost ASGI app.

    Args:
        app: What is behind it.
        service: What is served.
        public: Paths that need no key.
    """

    def __init__(self, app: ASGIApp, service: Service, public: Collection[str]) -> None:
        self._app = app
        self._service = service
        self._public = frozenset(public)
        self._origins = frozenset(origin.rstrip("/").encode() for origin in service.options.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever happens."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        scope["app"] = self  # with one, Starlette's router raises what it does not find
        sent = _Sent(send)
        scope["inllama.request_id"] = request_id = _request_id(scope)
        sent.headers.append((b"x-request-id", request_id.encode()))
        try:
            await self._pass(scope, receive, sent)
        except Disconnected:
            sent.status = _CLOSED
        except asyncio.CancelledError:
            sent.status = _CLOSED
            raise
        except Exception as error:
            await self._fail(error, scope, sent)
        finally:
            self._log(scope, sent.status, time.perf_counter() - started)

    async def _pass(self, scope: Scope, receive: Receive, sent: _Sent) -> None:
        self._check_host(scope)
        origin = header(scope, b"origin")
        if origin in self._origins:
            sent.headers += [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
            if scope["method"] == "OPTIONS":
                await self._preflight(scope, sent)
                return
            sent.headers.append((b"access-control-expose-headers", _CORS_EXPOSED))
        elif origin is not None and not _is_same(scope, origin):
            raise Failure(
                403, "requests of other web pages are refused; cors_origins lists those that may", code="origin"
            )
        if scope["path"] in self._public:
            scope["inllama.tenant"] = ""
        else:
            scope["inllama.tenant"] = self._tenant(scope)
        await self._app(scope, receive, sent)

    def _check_host(self, scope: Scope) -> None:
        # A name that an attacker owns could point here: DNS rebinding. Keys keep such a page out, and an address is
        # no name.
        allowed = self._service.options.allowed_hosts
        if "*" in allowed or (len(self._service.keys) and not allowed):
            return
        host = (header(scope, b"host") or b"").decode("latin-1").lower()
        name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
        if name in ("localhost", *map(str.lower, allowed)) or _is_address(name):
            return
        raise Failure(
            403, "this name in the Host header is not allowed; allowed_hosts lists those that are", code="host"
        )

    def _tenant(self, scope: Scope) -> str:
        keys = self._service.keys
        if not len(keys):
            return ""
        given = _given_keys(scope)
        found = [tenant for value in given if (tenant := keys.tenant(value)) is not None]
        if not found:
            text = "this API key is not accepted" if given else "an API key is needed: Authorization: Bearer KEY"
            raise Failure(
                401,
                text,
                code="invalid_api_key",
                kind="authentication_error",
                headers={"www-authenticate": "Bearer"},
            )
        return found[0]

    async def _preflight(self, scope: Scope, sent: _Sent) -> None:
        asked = header(scope, b"access-control-request-headers") or b""
        headers = [
            (b"access-control-allow-methods", _CORS_METHODS),
            # SDKs send many of their own, and this origin may send what it likes.
            (b"access-control-allow-headers", asked if _HEADER_NAMES.fullmatch(asked) else b"content-type"),
            (b"access-control-max-age", _CORS_MAX_AGE),
        ]
        await sent({"type": "http.response.start", "status": 204, "headers": headers})
        await sent({"type": "http.response.body", "body": b""})

    async def _fail(self, error: Exception, scope: Scope, sent: _Sent) -> None:
        request_id: str = scope["inllama.request_id"]
        failure = _http_failure(error) if isinstance(error, HTTPException) else failure_of(error)
        if failure is None:
            logger.error("request %s failed", request_id, exc_info=error)
            failure = internal_failure(request_id)
        self._service.metrics.rejected(failure.code)
        if sent.has_started:
            return  # the client sees an answer that has no end
        is_anthropic = scope["path"].startswith("/v1/messages")
        body = to_text(anthropic_dict(failure, request_id) if is_anthropic else failure.to_dict()).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.encode(), value.encode()) for name, value in failure.headers.items()]
        if failure.status in (408, 413, 415):
            headers.append((b"connection", b"close"))  # what is left of the body is not read
        await sent({"type": "http.response.start", "status": failure.status, "headers": headers})
        await sent({"type": "http.response.body", "body": body})

    def _log(self, scope: Scope, status: int, seconds: float) -> None:
        write_access_line(
            scope["inllama.request_id"], scope.get("client"), scope["method"], scope["path"], status, seconds
        )


def write_access_line(
    request_id: str, client: tuple[str, int] | None, method: str, path: str, status: int, seconds: float
) -> None:
    """Log one request; what is not known of it is ``"-"``."""
    host = "-" if client is None else client[0]
    # repr: a path may have line breaks and control characters.
    access.info("%s %s %s %r %d %.1f ms", request_id, host, method, path[:200], status, 1e3 * seconds)


class _Sent:
    """Sends an answer, with headers of its own, and knows how far it is."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.headers: list[tuple[bytes, bytes]] = [(b"x-content-type-options", b"nosniff")]
        self.status = 0
        self.has_started = False

    def __call__(self, message: Message) -> Awaitable[None]:
        # No coroutine of its own: a stream sends each of its chunks through here.
        if not self.has_started and message["type"] == "http.response.start":
            self.has_started = True
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.headers]
        return self._send(message)


def _request_id(scope: Scope) -> str:
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        return str(given[0], "ascii")
    return f"req_{uuid.uuid4().hex}"


def _given_keys(scope: Scope) -> list[bytes]:
    """Return the keys that a request has; a header that is there twice counts as none, whichever another would read."""
    bearers, others = ([value for key, value in scope["headers"] if key == name] for name in _KEY_HEADERS)
    given = []
    if len(bearers) == 1:
        scheme, _, key = bearers[0].partition(b" ")
        given += [key.strip()] if scheme.lower() == b"bearer" else []
    return given + (others if len(others) == 1 else [])


def _is_same(scope: MutableMapping[str, Any], origin: bytes) -> bool:
    host = header(scope, b"host") or b""
    return origin in (b"http://" + host, b"https://" + host)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _http_failure(error: HTTPException) -> Failure:
    codes = {404: "not_found", 405: "method_not_allowed"}
    texts = {404: "there is no such route; /openapi.json lists them", 405: "this route has other methods"}
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return Failure(
        error.status_code,
        texts.get(error.status_code, error.detail),
        code=codes.get(error.status_code, "http_error"),
        headers=headers,
    )
