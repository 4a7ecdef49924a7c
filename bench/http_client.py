"""Requests over HTTP in OpenAI's shape: one client for every server, so that what it costs is the same on all sides."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

TIMEOUT_S = 600.0


class HttpClient:
    """Asks a server on this machine; each request has a connection of its own.

    Args:
        port: Of the server.
        greedy: Fields of a request that always takes the largest logit and never ends before ``max_tokens``.
    """

    def __init__(self, port: int, greedy: Mapping[str, object]) -> None:
        self._port = port
        self._greedy = greedy

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)

    def answers(self, path: str) -> bool:
        """Return whether the server answers a GET with 200."""
        connection = self._connect()
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _post(
        self, connection: http.client.HTTPConnection, path: str, body: Mapping[str, object]
    ) -> http.client.HTTPResponse:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200, response.read()
        return response

    def _answer(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        connection = self._connect()
        try:
            answer: dict[str, Any] = json.loads(self._post(connection, path, body).read())
        finally:
            connection.close()
        return answer

    def _events(self, path: str, body: Mapping[str, object]) -> Generator[bytes, None, None]:
        """Yield the data of each event of a stream but ``[DONE]``, and check at its end how many tokens it had."""
        connection = self._connect()
        rest = last = b""
        try:
            response = self._post(connection, path, {**body, "stream": True, "stream_options": {"include_usage": True}})
            while received := response.read1():
                *events, rest = (rest + received).split(b"\n\n")
                for event in events:
                    if event.startswith(b"data: ") and event != b"data: [DONE]":
                        last = event[6:]
                        yield last
        finally:
            connection.close()
        usage = json.loads(last or b"{}").get("usage") or {}
        assert usage.get("completion_tokens") == body["max_tokens"], last

    def complete(self, prompt: list[int], n_new: int) -> dict[str, Any]:
        """Return the answer to a prompt."""
        answer = self._answer("/v1/completions", {"prompt": prompt, "max_tokens": n_new, **self._greedy})
        assert answer["usage"]["completion_tokens"] == n_new, answer
        return answer

    def stream(self, prompt: list[int], n_new: int) -> Generator[bytes, None, None]:
        """Yield each chunk of the answer to a prompt, as JSON."""
        return self._events("/v1/completions", {"prompt": prompt, "max_tokens": n_new, **self._greedy})

    def stream_chat(self, text: str, n_new: int) -> Generator[bytes, None, None]:
        """Yield each chunk of the answer to a message, as JSON."""
        messages = [{"role": "user", "content": text}]
        return self._events("/v1/chat/completions", {"messages": messages, "max_tokens": n_new, **self._greedy})

    def complete_all_s(self, prompts: list[list[int]], n_new: int) -> float:
        """Return the seconds in which all prompts, each on a connection and thread of its own, are answered."""
        return self._all_s(lambda prompt: self.complete(prompt, n_new), prompts)

    def stream_all_s(self, prompts: list[list[int]], n_new: int) -> float:
        """Return the same for answers that are streamed, to the end of each."""
        return self._all_s(lambda prompt: count(self.stream(prompt, n_new)), prompts)

    def _all_s(self, ask: Callable[[list[int]], object], prompts: list[list[int]]) -> float:
        with ThreadPoolExecutor(len(prompts)) as pool:
            started = time.perf_counter()
            for future in [pool.submit(ask, prompt) for prompt in prompts]:
                future.result()
            return time.perf_counter() - started

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts, from one request."""
        answer = self._answer("/v1/embeddings", {"input": texts})
        return [row["embedding"] for row in sorted(answer["data"], key=lambda row: row["index"])]

    def embed_all(self, texts: list[str], n_connections: int) -> list[list[float]]:
        """Return the vectors of texts, over so many connections at once."""
        n_each = -(-len(texts) // n_connections)
        parts = [texts[begin : begin + n_each] for begin in range(0, len(texts), n_each)]
        with ThreadPoolExecutor(len(parts)) as pool:
            return [vector for rows in pool.map(self.embed, parts) for vector in rows]


def count(chunks: Generator[bytes, None, None]) -> int:
    """Read a stream to its end and return the number of its chunks."""
    return sum(1 for _ in chunks)
