"""``/``: the chat page and its files, which say nothing about the model and need no key."""

from __future__ import annotations

from functools import cache
from importlib import resources

from starlette.types import Receive, Scope, Send

from inllama.server.failures import Failure

# Nothing that a model writes can load or run anything: not from here, and not from elsewhere.
_POLICY = (
    b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
]
_TYPES = {
    "css": b"text/css; charset=utf-8",
    "html": b"text/html; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}


@cache
def page_files() -> dict[str, bytes]:
    """Return the files of the page by name."""
    folder = resources.files("inllama.server").joinpath("page")
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in _TYPES}


def page_paths() -> list[str]:
    """Return the paths of the page and its files."""
    return ["/", *(f"/page/{name}" for name in page_files() if name != "index.html")]


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    """Send one of them."""
    name = scope["path"].removeprefix("/page/").removeprefix("/") or "index.html"
    content = page_files().get(name)
    if content is None:
        raise Failure(404, "the page has no such file", code="not_found")
    headers = [(b"content-type", _TYPES[name.rpartition(".")[2]]), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": [*headers, *_HEADERS]})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})
