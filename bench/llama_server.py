"""llama-server as a child process, and its completions over HTTP."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from bench.native import model_path, tool
from bench.workload import N_CTX, N_RUNNING, N_THREADS, N_UBATCH

START_S = 120.0
TIMEOUT_S = 600.0
# The cheapest way to the largest logit.
GREEDY = {"temperature": 0.0, "top_k": 1, "samplers": ["top_k"], "ignore_eos": True}


# As many slots as the engine runs outputs, and one memory of the same size for all of them; else the defaults.
# ``--cache-ram 0`` was tried: without the copies of idle slots there, they stay in the memory that all share, and each
# later burst of new prompts takes longer.
GENERATING = ("-c", str(N_CTX), "-np", str(N_RUNNING), "-kvu", "-fa", "on", "-ub", str(N_UBATCH))


class LlamaServer:
    """A server over a model, by default the one that the benchmarks generate with."""

    def __init__(self, model: str | None = None, flags: Sequence[str] = GENERATING) -> None:
        self._port = _free_port()
        command = [tool("llama-server"), "-m", model or model_path(), "--host", "127.0.0.1"]
        command += ["--port", str(self._port), "-t", str(N_THREADS), *flags]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"llama-server did not start; it returned {self._process.poll()}")
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        connection = self._connect()
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)

    def _ask(
        self, connection: http.client.HTTPConnection, prompt: list[int], n_new: int, *, stream: bool
    ) -> http.client.HTTPResponse:
        body = {"prompt": prompt, "n_predict": n_new, "stream": stream, "cache_prompt": True, **GREEDY}
        connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200, response.read()
        return response

    def complete(self, prompt: list[int], n_new: int) -> dict[str, Any]:
        """Return the answer to one request."""
        connection = self._connect()
        try:
            answer: dict[str, Any] = json.loads(self._ask(connection, prompt, n_new, stream=False).read())
        finally:
            connection.close()
        assert answer["tokens_predicted"] == n_new, answer
        return answer

    def complete_all_s(self, prompts: list[list[int]], n_new: int) -> float:
        """Return the seconds in which all prompts, each on a connection and thread of its own, are answered."""
        with ThreadPoolExecutor(len(prompts)) as pool:
            started = time.perf_counter()
            for future in [pool.submit(self.complete, prompt, n_new) for prompt in prompts]:
                future.result()
            return time.perf_counter() - started

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts, from one request in OpenAI's shape."""
        connection = self._connect()
        try:
            connection.request(
                "POST", "/v1/embeddings", json.dumps({"input": texts}), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            answer = json.loads(response.read())
            assert response.status == 200, answer
        finally:
            connection.close()
        return [row["embedding"] for row in sorted(answer["data"], key=lambda row: row["index"])]

    def embed_all(self, texts: list[str], n_connections: int) -> list[list[float]]:
        """Return the vectors of texts, over so many connections at once."""
        n_each = -(-len(texts) // n_connections)
        parts = [texts[begin : begin + n_each] for begin in range(0, len(texts), n_each)]
        with ThreadPoolExecutor(len(parts)) as pool:
            return [vector for rows in pool.map(self.embed, parts) for vector in rows]

    def stream(self, prompt: list[int], n_new: int) -> Generator[int, None, None]:
        """Yield the number of new tokens whenever some come."""
        connection = self._connect()
        n_seen = 0
        try:
            for line in self._ask(connection, prompt, n_new, stream=True):
                if line.startswith(b"data: "):
                    n_tokens = json.loads(line[6:])["tokens_predicted"]
                    if n_tokens > n_seen:
                        yield n_tokens - n_seen
                    n_seen = n_tokens
        finally:
            connection.close()

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
