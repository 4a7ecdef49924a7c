"""A server as a child process."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from bench.http_client import HttpClient

START_S = 120.0
STOP_S = 60.0


class ServerProcess:
    """A server that listens on this machine, from when it is ready until it is closed.

    Args:
        command: Starts it; host and port are added.
        ready_path: What it answers with 200 once it can be asked.
        greedy: See ``HttpClient``.
    """

    def __init__(self, command: Sequence[str], ready_path: str, greedy: Mapping[str, object]) -> None:
        port = _free_port()
        self.client = HttpClient(port, greedy)
        self._command = [*command, "--host", "127.0.0.1", "--port", str(port)]
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._wait(ready_path)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def _wait(self, ready_path: str) -> None:
        deadline = time.monotonic() + START_S
        while not self.client.answers(ready_path):
            if self._process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"'{' '.join(self._command)}' did not start; it returned {self._process.poll()}")
            time.sleep(0.1)

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
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
