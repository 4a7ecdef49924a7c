"""How long running streams wait while a long prompt arrives."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise

import numpy as np

from bench.http_client import HttpClient
from bench.llama_server import LlamaServer
from bench.measure import Case, interleave
from bench.native import model_path
from bench.workload import GREEDY, Prompts, new_engine, settings
from inllama import LLM, Engine, Model

N_STREAMS = 8
N_PROMPT = 32
N_LONG = 4096
N_BEFORE = 40  # tokens of each stream before the long prompt arrives
N_MAX = 4000
TARGET = 4.0

# Starts a stream of so many tokens, which gives something whenever some come.
Start = Callable[[list[int], int], Generator[object, None, None]]


class Readers:
    """Streams that are read by a thread each until they are stopped."""

    def __init__(self, start: Start, prompts: Sequence[list[int]]) -> None:
        self._is_stopped = threading.Event()
        self._times: list[list[float]] = [[] for _ in prompts]
        self._pool = ThreadPoolExecutor(len(prompts))
        self._reading = [
            self._pool.submit(self._read, start, prompt, times)
            for prompt, times in zip(prompts, self._times, strict=True)
        ]

    def _read(self, start: Start, prompt: list[int], times: list[float]) -> None:
        with closing(start(prompt, N_MAX)) as chunks:
            for _ in chunks:
                times.append(time.perf_counter())
                if self._is_stopped.is_set():
                    return
        raise RuntimeError(f"a stream ended after {len(times)} chunks, before the long prompt was computed")

    def wait(self, n_chunks: int) -> None:
        """Wait until every stream has had so many chunks."""
        self._wait_for(lambda times: len(times) >= n_chunks)

    def wait_past(self, moment: float) -> None:
        """Wait until every stream has had a chunk after ``moment``."""
        self._wait_for(lambda times: times[-1] > moment)

    def _wait_for(self, is_there: Callable[[list[float]], bool]) -> None:
        while not all(is_there(times) for times in self._times):
            time.sleep(0.01)
            for reading in self._reading:
                if reading.done():
                    reading.result()  # raises

    def stop(self) -> None:
        """End all streams."""
        self._is_stopped.set()
        with self._pool:
            for reading in self._reading:
                reading.result()

    def gaps(self, begin: float, end: float) -> list[float]:
        """Return the times between chunks of one stream that overlap the time from ``begin`` to ``end``."""
        return [
            later - earlier
            for times in self._times
            for earlier, later in pairwise(times)
            if later > begin and earlier < end
        ]


def measure_gaps(start: Start, complete: Callable[[list[int]], object], prompts: Prompts) -> tuple[float, float]:
    """Return the median gap before, and the 99th percentile of all gaps while the long prompt is computed."""
    readers = Readers(start, prompts.many(N_STREAMS, N_PROMPT))
    try:
        readers.wait(2)
        begin = time.perf_counter()
        readers.wait(N_BEFORE)
        arrival = time.perf_counter()
        complete(prompts.one(N_LONG))
        ended = time.perf_counter()
        readers.wait_past(ended)  # the last gap is whole
    finally:
        readers.stop()
    before = statistics.median(readers.gaps(begin, arrival))
    return before, float(np.percentile(readers.gaps(arrival, ended), 99))


class Sides:
    """Our engine and llama-server."""

    def __init__(self, model: Model, server: HttpClient) -> None:
        self._model = model
        self._server = server
        self._prompts = Prompts()
        self.before: dict[str, list[float]] = {"inllama": [], "llama-server": []}

    def ours(self) -> float:
        """Return the gap in a new engine, in ms."""
        with new_engine(self._model) as engine:
            llm = LLM(engine)
            return self._measure(
                "inllama",
                lambda prompt, n_new: _stream(engine, prompt, n_new),
                lambda prompt: llm.generate(prompt, max_tokens=1, **GREEDY),
            )

    def server(self) -> float:
        """Return the gap of the server, in ms."""
        return self._measure("llama-server", self._server.stream, lambda prompt: self._server.complete(prompt, 1))

    def _measure(self, name: str, start: Start, complete: Callable[[list[int]], object]) -> float:
        before, during = measure_gaps(start, complete, self._prompts)
        self.before[name].append(before * 1e3)
        return during * 1e3


def _stream(engine: Engine, prompt: list[int], n_new: int) -> Generator[int, None, None]:
    with closing(LLM(engine).stream(prompt, max_tokens=n_new, **GREEDY)) as stream:
        for chunk in stream:
            yield len(chunk.token_ids)


def measure_latency(n_rounds: int) -> list[Case]:
    """Measure the gaps between tokens."""
    with Model(model_path()) as model, LlamaServer() as server:
        sides = Sides(model, server.client)
        during = interleave({"inllama": sides.ours, "llama-server": sides.server}, n_rounds)
    before = sides.before
    times = {name: [p99 / median for p99, median in zip(during[name], before[name], strict=True)] for name in during}
    return [
        Case(
            name=f"{N_STREAMS} streams, a prompt of {N_LONG}",
            method=(
                f"{N_STREAMS} streams of random prompts, each read by a thread of its own. Before: the median time "
                f"between two chunks of a stream while only they run, {N_BEFORE} tokens. During: the 99th percentile "
                f"of the same, of all streams, from the arrival of a random prompt of {N_LONG} tokens to its first "
                "new token. inllama: engine defaults, a new engine per round. llama-server: its defaults, over HTTP. "
                "The figure is inllama's during over its before; llama-server's is in the notes."
            ),
            series={
                "during": during["inllama"],
                "before": before["inllama"],
                "llama-server during": during["llama-server"],
                "llama-server before": before["llama-server"],
            },
            unit="ms",
            figure=times["inllama"],
            figure_unit="x",
            target=TARGET,
            at_least=False,
            notes=settings(llama_server_x=times["llama-server"]),
        )
    ]
