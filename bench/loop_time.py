"""Microseconds that a chunk of a stream costs the event loop of ``inllama serve``."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from bench.http_client import count
from bench.inllama_server import SERVING, InllamaServer
from bench.measure import SETTLE_S, Case, interleave
from bench.workload import Prompts, settings

N_STREAMS = 8
N_PROMPT = 32
N_NEW = 256
TARGET_US = 60.0
MESSAGE = "Tell me a long story about a lighthouse and the people who live there."

# Starts the stream of that number.
Start = Callable[[int], Generator[bytes, None, None]]


def main_thread_s(pid: int) -> float:
    """Return the seconds that the main thread of a process has been on a processor."""
    # The first number is in nanoseconds: Documentation/scheduler/sched-stats.rst in the Linux tree.
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


class Loop:
    """The event loop of a server, which runs on its main thread; the engine and ggml have threads of their own."""

    def __init__(self, server: InllamaServer) -> None:
        self._server = server
        self._prompts = Prompts()

    def chunk_us(self, start: Start, n_streams: int) -> float:
        """Return microseconds per chunk that clients receive, less those of an idle loop in the same time."""
        n_chunks = 0

        def run() -> None:
            nonlocal n_chunks
            with ThreadPoolExecutor(n_streams) as pool:
                n_chunks = sum(pool.map(count, [start(index) for index in range(n_streams)]))

        started = time.perf_counter()
        busy = self._spent_s(run)
        elapsed = time.perf_counter() - started
        time.sleep(SETTLE_S)
        idle = self._spent_s(lambda: time.sleep(elapsed))
        return (busy - idle) / n_chunks * 1e6

    def _spent_s(self, run: Callable[[], None]) -> float:
        before = main_thread_s(self._server.pid)
        run()
        return main_thread_s(self._server.pid) - before

    def completion(self, index: int) -> Generator[bytes, None, None]:
        """Start a stream of a random prompt."""
        return self._server.client.stream(self._prompts.one(N_PROMPT), N_NEW)

    def chat(self, index: int) -> Generator[bytes, None, None]:
        """Start a stream of the answer to a message."""
        return self._server.client.stream_chat(f"{index}. {MESSAGE}", N_NEW)


def measure_loop(n_rounds: int) -> list[Case]:
    """Measure the processor time of the loop."""
    cases = []
    with InllamaServer() as server:
        loop = Loop(server)
        for path, start in (("/v1/chat/completions", loop.chat), ("/v1/completions", loop.completion)):
            count(start(N_STREAMS))  # warms up
            together, alone = f"{N_STREAMS} streams", "alone"
            series = interleave(
                {
                    together: partial(loop.chunk_us, start, N_STREAMS),
                    alone: partial(loop.chunk_us, start, 1),
                },
                n_rounds,
            )
            cases.append(
                Case(
                    name=f"server, loop time per chunk, {path}",
                    method=(
                        f"{N_STREAMS} streams at once of {N_NEW} new tokens each. The time that the main thread of "
                        "the server, where the event loop runs, was on a processor, in Python, in native code and in "
                        "the kernel, less that of an equally long time without requests, over the chunks that the "
                        "clients received. What a request costs besides is in it. Beside it, one stream alone, whose "
                        "chunks each wake the loop."
                    ),
                    series=series,
                    unit="us/chunk",
                    figure=series[together],
                    figure_unit="us",
                    target=TARGET_US,
                    at_least=False,
                    notes=settings(inllama_flags=SERVING, n_streams=N_STREAMS, n_new=N_NEW),
                )
            )
    return cases
