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

import pytest

from inllama import LLM, ContextFullError, Engine, EngineClosedError, ForkedEngineError, GrammarError, InllamaError

PROMPT = "Once upon a time"


@pytest.fixture
def engine(exact_demo_path: Path) -> Iterator[Engine]:
    with Engine(exact_demo_path, n_threads=1, flash_attention="off", kv_type_k="f32", kv_type_v="f32") as made:
        yield made


def wait_until_idle(engine: Engine) -> None:
    end = time.monotonic() + 20
    while engine.stats().running + engine.stats().waiting > 0:
        assert time.monotonic() < end
        time.sleep(0.005)


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
        assert engine.stats().rejected_queue_full > 0
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
        try:
            LLM(engine).generate(PROMPT, max_tokens=1)
        except ForkedEngineError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert LLM(engine).generate(PROMPT, max_tokens=1).usage.completion_tokens == 1


INTERRUPTED = """
import signal
import inllama
from inllama.engine import wait_for
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
running = inllama.LLM(n_threads=1).stream("Once upon a time", ignore_eos=True)
print("ready", flush=True)
try:
    wait_for(inllama._core.EventQueue())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_ends_a_wait() -> None:
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.05)
        sent = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "interrupted\n"
        assert time.monotonic() - sent < 5  # 0.1 s on a machine that is not busy
        assert child.wait(timeout=60) == 0


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
