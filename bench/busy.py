"""Decode speed while another Python thread computes: the engine's thread does not need the GIL."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.measure import Case, interleave, ratios
from bench.native import model_path
from bench.workload import GREEDY, new_engine, settings
from inllama import LLM, Model

N_NEW = 64
# Others that end meanwhile: what Python gave the engine for them is let go of then.
N_NEW_OTHERS = (8, 16, 24, 32)
RUNS_PER_ROUND = 2
TARGET = 0.95


def decode_speed(llm: LLM) -> float:
    """Return streamed tokens per second of one request, from the first chunk to the last."""
    n_tokens = n_first = 0
    started = ended = 0.0
    stream = llm.stream([1], max_tokens=N_NEW, **GREEDY)
    others = [llm.stream([2 + i], max_tokens=n, **GREEDY) for i, n in enumerate(N_NEW_OTHERS)]
    for chunk in stream:
        ended = time.perf_counter()
        n_tokens += len(chunk.token_ids)
        if not started:
            started, n_first = ended, n_tokens
    assert n_tokens == N_NEW, n_tokens
    assert [len(other.result().token_ids) for other in others] == list(N_NEW_OTHERS)
    return (n_tokens - n_first) / (ended - started)


@contextmanager
def busy_thread() -> Iterator[None]:
    """Compute in a Python thread, which always wants the GIL."""
    is_over = False

    def loop() -> None:
        while not is_over:
            pass

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        is_over = True
        thread.join()


@contextmanager
def busy_process() -> Iterator[None]:
    """Compute in another process, which shares only the machine."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        time.sleep(0.2)  # Python starts
        try:
            yield
        finally:
            process.kill()


def measure_busy(n_rounds: int) -> list[Case]:
    """Measure one stream beside a busy loop."""
    with Model(model_path()) as model, new_engine(model, n_threads=1, prefix_cache=False) as engine:
        llm = LLM(engine)

        def beside_thread() -> float:
            with busy_thread():
                return decode_speed(llm)

        def beside_process() -> float:
            with busy_process():
                return decode_speed(llm)

        sides = {"alone": lambda: decode_speed(llm), "thread": beside_thread, "process": beside_process}
        series = interleave(sides, n_rounds * RUNS_PER_ROUND)
    return [
        Case(
            name="decode beside a busy thread",
            method=(
                f"LLM.stream of {N_NEW} tokens with n_threads=1, tokens per second from the first chunk to the last, "
                f"while {len(N_NEW_OTHERS)} other requests end after {N_NEW_OTHERS} tokens: "
                "alone; while a Python thread of the same process runs an empty loop; and, beside it, while another "
                "process does, which shows what the processor loses when two cores work."
            ),
            series=series,
            unit="tokens/s",
            figure=ratios(series["thread"], series["alone"]),
            figure_unit="x",
            target=TARGET,
            at_least=True,
            notes=settings(
                n_threads=1, runs_per_round=RUNS_PER_ROUND, process_x=ratios(series["process"], series["alone"])
            ),
        )
    ]
