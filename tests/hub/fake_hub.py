"""As much of the Hub as huggingface_hub asks for, on loopback, with the faults that networks and servers have."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40
OTHER_COMMIT = "b" * 40
_RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_API = re.compile(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class FakeRepo:
    """A repository: files by commit, and what branches and tags point at."""

    commits: dict[str, dict[str, bytes]]
    refs: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    small: set[str] = field(default_factory=set)  # those that are in git itself
    token: str | None = None  # without which nobody sees it
    gated: bool = False


@dataclass
class Seen:
    method: str
    path: str
    host: str
    authorization: str | None
    range: str | None


Rewrite = Callable[[dict[str, Any]], None]


class FakeHub:
    """Serves ``repos``; attributes make the next answers go wrong."""

    def __init__(self) -> None:
        self.repos: dict[str, FakeRepo] = {}
        self.seen: list[Seen] = []
        self.break_after: list[int] = []  # bytes after which the next downloads break off
        self.ignores_range = False
        self.serves: dict[str, bytes] = {}  # other bytes than the list says, by file
        self.status: dict[str, tuple[int, dict[str, str]]] = {}  # by the beginning of the path
        self.rewrite: Rewrite = lambda info: None
        self.redirects = False  # downloads go to storage under another name
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub._answer(self)

            do_HEAD = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        # A client that goes away is part of the tests.
        self._server.handle_error = lambda request, client: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, repo: str, files: dict[str, bytes], **options: Any) -> FakeRepo:
        made = self.repos[repo] = FakeRepo({COMMIT: files}, **options)
        return made

    @property
    def downloads(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == "GET" and "/resolve/" in seen.path]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # ---------------------------------------------------------------------------------------------------- answers

    def _answer(self, call: BaseHTTPRequestHandler) -> None:
        path = urlsplit(call.path).path
        headers = call.headers
        self.seen.append(
            Seen(call.command, path, headers["Host"].partition(":")[0], headers["Authorization"], headers["Range"])
        )
        for beginning, (status, more) in self.status.items():
            if path.startswith(beginning):
                _send(call, status, b"", more)
                return
        api, resolve = _API.fullmatch(path), _RESOLVE.fullmatch(path)
        found = api or resolve
        repo = self.repos.get(found[1]) if found else None
        if found is None or repo is None:
            _send(call, 401 if found else 404, b"", {"X-Error-Code": "RepoNotFound"} if found else {})
            return
        is_storage = headers["Host"].startswith("localhost")
        if repo.token is not None and not is_storage and headers["Authorization"] != f"Bearer {repo.token}":
            given = headers["Authorization"]
            wrong = {"X-Error-Message": "Invalid credentials in Authorization header"}
            _send(call, 401, b"", wrong if given else {"X-Error-Code": "RepoNotFound"})
            return
        revision = unquote(found[2] or "main")
        commit = repo.refs.get(revision, revision)
        if commit not in repo.commits:
            _send(call, 404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif api:
            self._send_info(call, repo, commit)
        elif repo.gated:
            _send(call, 403, b"", {"X-Error-Code": "GatedRepo"})
        else:
            self._send_file(call, repo, commit, unquote(resolve[3]))  # type: ignore[index]

    def _send_info(self, call: BaseHTTPRequestHandler, repo: FakeRepo, commit: str) -> None:
        siblings = []
        for name, data in repo.commits[commit].items():
            entry: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": git_id(data)}
            if name not in repo.small:
                entry["lfs"] = {"size": len(data), "sha256": sha256(data), "pointerSize": 134}
            siblings.append(entry)
        info = {"id": "x", "sha": commit, "siblings": siblings}
        self.rewrite(info)
        _send(call, 200, json.dumps(info).encode(), {"Content-Type": "application/json"})

    def _send_file(self, call: BaseHTTPRequestHandler, repo: FakeRepo, commit: str, name: str) -> None:
        files = repo.commits[commit]
        if name not in files:
            _send(call, 404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        data = self.serves.get(name, files[name])
        etag = git_id(files[name]) if name in repo.small else sha256(files[name])
        headers = {
            "ETag": f'"{etag}"',
            "X-Repo-Commit": commit,
            "X-Linked-Etag": f'"{etag}"',
            "X-Linked-Size": str(len(files[name])),
            "Accept-Ranges": "bytes",
        }
        if self.redirects and not call.headers["Host"].startswith("localhost"):
            where = f"http://localhost:{self.port}{call.path}?Signature=secret-signature"
            _send(call, 302, b"", headers | {"Location": where})
            return
        begin, status = 0, 200
        wanted = re.fullmatch(r"bytes=(\d+)-", call.headers["Range"] or "")
        if wanted and not self.ignores_range:
            begin, status = int(wanted[1]), 206
            headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        breaks = self.break_after.pop(0) if self.break_after and call.command == "GET" else None
        _send(call, status, data[begin:], headers, breaks)


def _send(
    call: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str], breaks: int | None = None
) -> None:
    call.send_response(status)
    for name, value in headers.items():
        call.send_header(name, value)
    call.send_header("Content-Length", str(len(body)))
    call.end_headers()
    if call.command != "HEAD":
        call.wfile.write(body if breaks is None else body[:breaks])
