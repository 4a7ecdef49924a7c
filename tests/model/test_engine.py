"""Engine: many threads, its end, and the end of the process with work in flight."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import EXACT, PROMPT, PROMPTS, wait_until_idle

from inllama import (
    LLM,
    ContextFullError,
    Engine,
    EngineClosedError,
    ForkedEngineError,
    GrammarError,
    InllamaError,
    Model,
)


@pytest.fixture
def engine(exact_demo_path: Path) -> Iterator[Engine]:
    with Engine(exact_demo_path, **EXACT) as made:
        yield made


def test_threads_are_computed_together(engine: Engine) -> None:
    llm = LLM(engine)
    prompts = [
        f"{PROMPT} there was a {animal}" for animal in ("fox", "dog", "cat", "duck", "bear", "owl", "frog", "pony")
    ]
    alone = [llm.generate(prompt, temperature=0, max_tokens=60).text for prompt in prompts]
    n_steps = engine.stats().steps
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda prompt: llm.generate(prompt, temperature=0, max_tokens=60).text, prompts))
    assert together == alone
    assert engine.stats().steps - n_steps < n_steps / 2


def test_queue_that_is_full_makes_callers_wait(exact_demo_path: Path) -> None:
    with Engine(exact_demo_path, n_threads=1, max_running=1, max_queue=1) as engine:
        llm = LLM(engine)
        with ThreadPoolExecutor(6) as pool:
            results = list(pool.map(lambda i: llm.generate(PROMPT, seed=i, max_tokens=20), range(12)))
        assert all(result.usage.completion_tokens > 0 for result in results)
        assert engine.stats().rejected_queue_full == 0  # who waits is not rejected
        rows = llm.generate([PROMPT] * 9, max_tokens=5)
        assert len(rows) == 9


def test_stream_that_nobody_keeps_is_cancelled(engine: Engine) -> None:
    stream = LLM(engine).stream(PROMPT, ignore_eos=True)
    next(stream)
    del stream
    gc.collect()
    wait_until_idle(engine)
    assert engine.stats().completion_tokens < 500


def test_leaving_a_loop_over_a_stream_frees_its_place(engine: Engine) -> None:
    with LLM(engine).stream(PROMPT, ignore_eos=True) as stream:
        for _ in stream:
            break
    wait_until_idle(engine)
    # What it computed is there for the next one.
    again = LLM(engine).generate(PROMPT, max_tokens=1)
    assert again.usage.cached_tokens == again.usage.prompt_tokens - 1


def test_stream_that_is_not_read_pauses_itself_alone(engine: Engine) -> None:
    llm = LLM(engine)
    slow = llm.stream(PROMPT, ignore_eos=True, seed=1)
    assert llm.generate(PROMPT, max_tokens=300, ignore_eos=True).usage.completion_tokens == 300
    stats = engine.stats()
    assert stats.running + stats.waiting == 1
    assert slow.result().usage.total_tokens == 2048


def test_broken_requests_hurt_nobody_else(engine: Engine) -> None:
    llm = LLM(engine)
    good = llm.stream(PROMPT, temperature=0, max_tokens=100)
    with pytest.raises(GrammarError):
        llm.stream(PROMPT, grammar="root ::= (")
    with pytest.raises(ContextFullError):
        llm.stream("long " * 3000)
    stuck = llm.stream(PROMPT, grammar='root ::= "Z"', logit_bias={}, max_tokens=10)
    assert stuck.result().text == "Z"
    text = good.result().text
    assert llm.generate(PROMPT, temperature=0, max_tokens=100).text == text


def test_closing_wakes_every_thread_that_waits(exact_demo_path: Path) -> None:
    engine = Engine(exact_demo_path, n_threads=1, max_running=1, max_queue=1)
    llm = LLM(engine)
    caught: list[Exception] = []

    def work() -> None:
        try:
            while True:
                llm.generate(PROMPT, ignore_eos=True)
        except InllamaError as error:
            caught.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    engine.close()
    for thread in threads:
        thread.join(timeout=20)
        assert not thread.is_alive()
    assert [type(error) for error in caught] == [EngineClosedError] * 6


def test_child_of_a_fork_is_told_to_make_its_own_engine(engine: Engine) -> None:
    child = os.fork()
    if child == 0:
        n_refused = 0
        for options in ({}, {"reproducible": True}, {"logits_processors": [print]}):
            try:
                LLM(engine).generate(PROMPT, max_tokens=1, **options)
            except ForkedEngineError:
                n_refused += 1
        os._exit(7 if n_refused == 3 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert LLM(engine).generate(PROMPT, max_tokens=1).usage.completion_tokens == 1


# ---------------------------------------------------------------------------------------- many requests at a time


@pytest.fixture
def alone(llm: LLM) -> list[str]:
    """The greedy continuation of each of ``PROMPTS``, computed one after the other."""
    return [llm.generate(prompt, temperature=0, max_tokens=40).text for prompt in PROMPTS]


def test_interleaved_streams_give_the_same_as_alone(llm: LLM, alone: list[str]) -> None:
    streams = [llm.stream(prompt, temperature=0, max_tokens=40) for prompt in PROMPTS]
    texts = [""] * len(streams)
    running = list(range(len(streams)))
    while running:
        for i in list(running):
            chunk = next(streams[i], None)
            if chunk is None:
                running.remove(i)
            else:
                texts[i] += chunk.text
    assert texts == alone


def test_four_threads_give_the_same_as_alone(llm: LLM, alone: list[str]) -> None:
    def generate(i: int) -> str:
        return llm.generate(PROMPTS[i % len(PROMPTS)], temperature=0, max_tokens=40).text

    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(generate, range(16)))
    assert texts == alone * 4


def test_stream_is_read_by_another_thread_than_the_one_that_made_it(llm: LLM, alone: list[str]) -> None:
    stream = llm.stream(PROMPTS[0], temperature=0, max_tokens=40)
    first = next(stream).text
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(lambda: "".join(chunk.text for chunk in stream)).result()
    assert first + rest == alone[0]


def test_abandoned_streams_give_their_context_back(llm: LLM, alone: list[str]) -> None:
    for _ in range(30):
        next(llm.stream(PROMPTS[1], max_tokens=40))
    gc.collect()
    with llm.stream(PROMPTS[0], max_tokens=40) as stream:
        next(stream)
    assert list(stream) == []
    assert llm.generate(PROMPTS[0], temperature=0, max_tokens=40).text == alone[0]


# -------------------------------------------------------------------------------------------------------- the engine


@pytest.mark.parametrize("n", [2, 16, 64])
def test_prefix_of_many_requests_is_computed_once(llm: LLM, n: int) -> None:
    shared = llm.generate(PROMPT, ignore_eos=True, seed=3, max_tokens=200).token_ids
    prompts = [[*shared, 100 + i, 5] for i in range(n)]
    with LLM(llm.model, **EXACT) as engine:
        results = engine.generate(prompts, temperature=0, max_tokens=4)
        assert engine.stats().prefill_tokens == len(shared) + 2 * n
        assert sum(result.usage.cached_tokens for result in results) == len(shared) * (n - 1)


def test_prefix_cache_changes_no_text(llm: LLM) -> None:
    prompts = [f"Once upon a time there was a {animal} who liked to" for animal in ("fox", "dog", "fox", "cat", "dog")]
    with LLM(llm.model, prefix_cache=False, **EXACT) as plain:
        expected = [plain.generate(prompt, temperature=0, max_tokens=30).text for prompt in prompts]
        assert plain.stats().cached_tokens == 0
    for step_tokens in (16, 64, 512):
        with LLM(llm.model, step_tokens=step_tokens, **EXACT) as shared:
            together = shared.generate(prompts, temperature=0, max_tokens=30)
            assert [result.text for result in together] == expected
            assert [shared.generate(prompt, temperature=0, max_tokens=30).text for prompt in prompts] == expected
            assert shared.stats().cached_tokens > 0


@pytest.mark.parametrize("name", ["moe", "gemma", "mamba", "hybrid"])
def test_every_kind_of_memory_shares_without_changing_a_token(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    first = np.random.default_rng(4).integers(3, 250, 60).tolist()
    prompts = [[*first, *range(20 + i, 30 + i)] for i in range(5)] + [[*first[:30], 7, 8, 9]]
    options: dict[str, Any] = {"temperature": 0, "max_tokens": 20, "ignore_eos": True}
    with LLM(model, prefix_cache=False, n_ctx=1024, **EXACT) as plain:
        expected = [plain.generate(prompt, **options).token_ids for prompt in prompts]
    with LLM(model, n_ctx=1024, **EXACT) as shared:
        assert [result.token_ids for result in shared.generate(prompts, **options)] == expected
        assert [shared.generate(prompt, **options).token_ids for prompt in prompts] == expected
        assert shared.stats().cached_tokens > 0


def test_encoder_decoder_generates_one_request_after_the_other(t5: Model) -> None:
    prompts = [list(range(10 + i, 30 + i)) for i in range(4)]
    options: dict[str, Any] = {"temperature": 0, "max_tokens": 10, "ignore_eos": True}
    with LLM(t5, n_ctx=256, **EXACT) as llm:
        expected = [llm.generate(prompt, **options).token_ids for prompt in prompts]
        assert [result.token_ids for result in llm.generate(prompts, **options)] == expected
        assert len(set(expected)) > 1


def test_engine_has_several_faces(llm: LLM) -> None:
    with Engine(llm.model, **EXACT) as engine:
        with LLM(engine) as first:
            expected = first.generate(PROMPT, temperature=0, max_tokens=5).text
        assert not engine.closed
        assert LLM(engine).generate(PROMPT, temperature=0, max_tokens=5).text == expected
        with pytest.raises(TypeError, match="n_ctx"):
            LLM(engine, n_ctx=256)
    with pytest.raises(EngineClosedError):
        LLM(engine).generate(PROMPT)


def test_memory_that_is_full_makes_requests_wait(llm: LLM) -> None:
    with LLM(llm.model, n_ctx=256, **EXACT) as small:
        prompts = [[5 + i] * 100 for i in range(5)]
        results = small.generate(prompts, temperature=0, max_tokens=100, ignore_eos=True)
        assert [result.usage.completion_tokens for result in results] == [100] * 5
        alone = [llm.generate(prompt, temperature=0, max_tokens=100, ignore_eos=True) for prompt in prompts]
        assert [result.token_ids for result in results] == [result.token_ids for result in alone]


# ----------------------------------------------------------------------------------------------- the end of the process


INTERRUPTED = """
import signal
import inllama
from inllama.waiting import wait_for
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
llm = inllama.LLM(n_threads=1, max_running=1, max_queue=0)
running = llm.stream("Once upon a time", ignore_eos=True)
waits = {
    "for events": lambda: wait_for(inllama._core.EventQueue()),
    "for room": lambda: llm.generate("One day"),
}
for name, wait in waits.items():
    for _ in range(3):
        print("ready", flush=True)
        try:
            wait()
        except KeyboardInterrupt:
            print(name, flush=True)
"""


def test_ctrl_c_ends_a_wait_within_a_quarter_of_a_second() -> None:
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for name in ("for events", "for room"):
            took: list[float] = []
            for _ in range(3):
                assert child.stdout.readline() == "ready\n"
                time.sleep(0.05)
                sent = time.monotonic()
                child.send_signal(signal.SIGINT)
                assert child.stdout.readline() == f"{name}\n"
                took.append(time.monotonic() - sent)
            assert min(took) <= 0.25  # of several: other processes may take the machine for a while
        assert child.wait(timeout=60) == 0


def test_ctrl_c_cancels_the_request_whose_result_is_awaited(engine: Engine) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        stream = LLM(engine).stream(PROMPT, ignore_eos=True, n=1024)
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            stream.result()
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
    wait_until_idle(engine)
    assert stream.result().finish_reason == "cancelled"


EXITING = """
import sys, threading, time, inllama
llm = inllama.LLM(n_threads=1, max_running=2)
streams = [llm.stream("Once upon a time", ignore_eos=True) for _ in range(4)]
def work():
    while True:
        llm.generate("Once upon a time", ignore_eos=True)
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(float(sys.argv[1]))
"""


@pytest.mark.slow
def test_interpreter_ends_with_work_in_flight() -> None:
    for i in range(20):
        child = [sys.executable, "-X", "faulthandler", "-c", EXITING, str(i * 0.01)]
        done = subprocess.run(child, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        # Daemon threads may say that their engine was closed, and nothing else.
        assert "Fatal" not in done.stderr
