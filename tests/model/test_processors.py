"""Logits processors: what they are given, what they may return, and that only their own request waits or fails."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from engines import EXACT, PROMPT, is_idle, run

from inllama import (
    LLM,
    AsyncLLM,
    Completion,
    Engine,
    EngineClosedError,
    EngineError,
    InvalidRequestError,
    Model,
)

Logits = npt.NDArray[np.float32]
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 30, "ignore_eos": True}


def only(token: int) -> Callable[[Sequence[int], Logits], None]:
    """A processor that lets one token through."""

    def processor(token_ids: Sequence[int], logits: Logits) -> None:
        kept = logits[token]
        logits[:] = -np.inf
        logits[token] = kept

    return processor


class Seen:
    """A processor that remembers the tokens it was given and changes nothing."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, ...]] = []

    def __call__(self, token_ids: Sequence[int], logits: Logits) -> None:
        self.calls.append(tuple(token_ids))


# ------------------------------------------------------------------------------------------------- what they change


def test_processor_that_does_nothing_changes_nothing(llm: LLM) -> None:
    for options in (GREEDY, {"seed": 3, "max_tokens": 30}):
        expected = llm.generate(PROMPT, **options)
        assert llm.generate(PROMPT, **options, logits_processors=[Seen()]).token_ids == expected.token_ids


def test_logits_are_changed_in_place(llm: LLM) -> None:
    assert llm.generate(PROMPT, **GREEDY, logits_processors=[only(99)]).token_ids == (99,) * 30


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32])
def test_array_that_is_returned_takes_the_place_of_the_logits(llm: LLM, kind: type) -> None:
    def processor(token_ids: Sequence[int], logits: Logits) -> npt.NDArray[Any]:
        changed = np.zeros(2 * logits.size, kind)[::2]
        changed[len(token_ids)] = 1
        return changed

    result = llm.generate(PROMPT, **GREEDY, logits_processors=[processor])
    n_prompt = result.usage.prompt_tokens
    assert result.token_ids == tuple(range(n_prompt, n_prompt + 30))


def test_processors_are_called_in_their_order(llm: LLM) -> None:
    def double(token_ids: Sequence[int], logits: Logits) -> Logits:
        return logits * 2

    def expect_7(token_ids: Sequence[int], logits: Logits) -> None:
        assert (logits[7], logits[8]) == (14, 6)
        logits[8] = 100

    def start(token_ids: Sequence[int], logits: Logits) -> None:
        logits[:] = -1000
        logits[7], logits[8] = 7, 3

    result = llm.generate(PROMPT, **GREEDY, logits_processors=(start, double, expect_7))
    assert result.token_ids == (8,) * 30


def test_processors_come_before_the_sampling_options(llm: LLM) -> None:
    def flat(token_ids: Sequence[int], logits: Logits) -> None:
        logits[:] = 0

    result = llm.generate(PROMPT, temperature=0, max_tokens=5, logit_bias={99: 1.0}, logits_processors=[flat])
    assert result.token_ids == (99,) * 5
    result = llm.generate(PROMPT, grammar='root ::= "red"', logits_processors=[flat], max_tokens=20)
    assert result.text == "red"


def test_logits_belong_to_the_processor(llm: LLM) -> None:
    """It may keep and change them afterwards."""
    kept: list[Logits] = []

    def processor(token_ids: Sequence[int], logits: Logits) -> None:
        for row in kept:
            row[:] = np.nan
        kept.append(logits)

    expected = llm.generate(PROMPT, **GREEDY).token_ids
    assert llm.generate(PROMPT, **GREEDY, logits_processors=[processor]).token_ids == expected
    assert len(kept) == 30


# ---------------------------------------------------------------------------------------------- what they are given


def test_tokens_are_the_prompt_and_all_that_was_generated(llm: LLM) -> None:
    text = llm.generate(PROMPT, **GREEDY).text
    seen = Seen()
    # Text that may begin a stop string is held back; tokens are not.
    stop = text[10:20] + "never"
    result = llm.generate(PROMPT, **GREEDY, stop=stop, logits_processors=[seen])
    prompt = tuple(llm.engine.encode(PROMPT))
    assert result.text == text
    assert seen.calls == [prompt + result.token_ids[:i] for i in range(30)]


def test_each_output_has_tokens_of_its_own(llm: LLM) -> None:
    seen = Seen()
    result = llm.generate(PROMPT, n=3, seed=1, max_tokens=10, ignore_eos=True, logits_processors=[seen])
    prompt = tuple(llm.engine.encode(PROMPT))
    assert len({choice.token_ids for choice in result.choices}) == 3
    expected = [prompt + choice.token_ids[:i] for choice in result.choices for i in range(10)]
    assert sorted(seen.calls) == sorted(expected)


def test_prefix_cache_and_streaming_change_nothing(llm: LLM) -> None:
    first, second, third = Seen(), Seen(), Seen()
    llm.generate(PROMPT, **GREEDY, logits_processors=[first])
    again = llm.generate(PROMPT, **GREEDY, logits_processors=[second])
    assert again.usage.cached_tokens > 0
    assert len(list(llm.stream(PROMPT, **GREEDY, logits_processors=[third]))) > 1
    assert first.calls == second.calls == third.calls


def test_preempted_outputs_go_on_where_they_were(exact_demo: Model) -> None:
    prompts = [[5 + i] * 20 for i in range(6)]
    options = {**GREEDY, "max_tokens": 100}
    with LLM(exact_demo, **EXACT) as large:
        expected = large.generate(prompts, **options)
    seen = Seen()
    with LLM(exact_demo, n_ctx=256, **EXACT) as small:
        found = small.generate(prompts, **options, logits_processors=[seen])
        assert small.stats().preemptions > 0
    assert [row.token_ids for row in found] == [row.token_ids for row in expected]
    calls = [(*prompt, *row.token_ids[:i]) for prompt, row in zip(prompts, found, strict=True) for i in range(100)]
    assert sorted(seen.calls) == sorted(calls)


def test_reproducible_requests_have_processors_too(llm: LLM) -> None:
    seen = Seen()
    options: dict[str, Any] = {"seed": 5, "max_tokens": 20, "reproducible": True}
    expected = llm.generate(PROMPT, **options).token_ids
    assert llm.generate(PROMPT, **options, logits_processors=[seen]).token_ids == expected
    assert len(seen.calls) >= len(expected)


def test_logprobs_are_those_before_the_processors(llm: LLM) -> None:
    plain = llm.generate(PROMPT, **GREEDY, logprobs=3)
    assert plain.logprobs is not None
    forced = llm.generate(PROMPT, temperature=0, max_tokens=1, logprobs=3, logits_processors=[only(99)])
    assert forced.logprobs is not None
    assert forced.token_ids == (99,)
    assert [one.token for one in forced.logprobs[0].top] == [one.token for one in plain.logprobs[0].top]
    assert forced.logprobs[0].top[0].logprob == pytest.approx(plain.logprobs[0].logprob, abs=1e-4)
    assert forced.logprobs[0].logprob < forced.logprobs[0].top[-1].logprob


# ---------------------------------------------------------------------------------------------------------- failures


class GoneError(Exception):
    pass


def raising(token_ids: Sequence[int], logits: Logits) -> None:
    raise GoneError("gone")


def nan(token_ids: Sequence[int], logits: Logits) -> None:
    logits[5] = np.nan


def infinite(token_ids: Sequence[int], logits: Logits) -> None:
    logits[5] = np.inf


def none_left(token_ids: Sequence[int], logits: Logits) -> None:
    logits[:] = -np.inf


def too_short(token_ids: Sequence[int], logits: Logits) -> Logits:
    return logits[:-1]


def two_rows(token_ids: Sequence[int], logits: Logits) -> Logits:
    return logits[None]


def text(token_ids: Sequence[int], logits: Logits) -> Any:
    return "text"


def leaving(token_ids: Sequence[int], logits: Logits) -> None:
    raise SystemExit(3)


def not_callable_so(logits: Logits) -> None:
    pass


@pytest.mark.parametrize(
    ("processor", "kind", "words"),
    [
        (raising, GoneError, "gone"),
        (nan, InvalidRequestError, "NaN"),
        (infinite, InvalidRequestError, "infinite"),
        (none_left, InvalidRequestError, "excluded every token"),
        (too_short, InvalidRequestError, r"shape \(\d+,\)"),
        (two_rows, InvalidRequestError, r"shape \(1, \d+\)"),
        (text, ValueError, "text"),
        (leaving, EngineError, r"SystemExit\(3\)"),
        (not_callable_so, TypeError, "argument"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_failing_processor_ends_its_request_alone(
    llm: LLM, processor: Callable[..., Any], kind: type[Exception], words: str
) -> None:
    expected = llm.generate(PROMPT, **GREEDY).token_ids

    def late(token_ids: Sequence[int], logits: Logits) -> Any:
        return processor(token_ids, logits) if len(token_ids) > 10 else None

    if processor is not_callable_so:
        late = not_callable_so  # type: ignore[assignment]
    good = llm.stream(PROMPT, **GREEDY, logits_processors=[Seen()])
    with pytest.raises(kind, match=words):
        llm.generate(PROMPT, **GREEDY, n=2, logits_processors=[late])
    assert good.result().token_ids == expected
    assert is_idle(llm.engine)
    assert llm.generate(PROMPT, **GREEDY, logits_processors=[Seen()]).token_ids == expected


def test_exception_is_the_very_one_that_was_raised(llm: LLM) -> None:
    raised: list[Exception] = []

    def processor(token_ids: Sequence[int], logits: Logits) -> None:
        if len(token_ids) > 8:
            raised.append(GoneError("gone"))
            raise raised[0]

    stream = llm.stream(PROMPT, **GREEDY, logits_processors=[processor])
    with pytest.raises(GoneError) as caught:
        list(stream)
    assert caught.value is raised[0]
    with pytest.raises(GoneError):
        stream.result()
    rows = llm.generate([PROMPT, PROMPT], **GREEDY, on_error="return", logits_processors=[raising])
    assert [type(row) for row in rows] == [GoneError, GoneError]


def test_what_is_no_tuple_of_functions_is_a_type_error(llm: LLM) -> None:
    for wrong in (Seen(), [7], "text", [None]):
        with pytest.raises(TypeError, match="logits_processors"):
            llm.generate(PROMPT, logits_processors=wrong)


# ------------------------------------------------------------------------------------------------- others go on, ends


class Held:
    """A processor that waits until it is released."""

    def __init__(self) -> None:
        self.is_called = threading.Event()
        self.may_go_on = threading.Event()

    def __call__(self, token_ids: Sequence[int], logits: Logits) -> None:
        self.is_called.set()
        assert self.may_go_on.wait(20)


def test_others_go_on_while_a_processor_takes_its_time(llm: LLM) -> None:
    expected = llm.generate(PROMPT, **GREEDY).token_ids
    held = Held()
    stream = llm.stream(PROMPT, **GREEDY, logits_processors=[held])
    assert held.is_called.wait(20)
    for _ in range(3):
        assert llm.generate(PROMPT, **GREEDY).token_ids == expected
    assert llm.stats().running == 1
    held.may_go_on.set()
    assert stream.result().token_ids == expected


def test_output_whose_row_is_out_is_cancelled_at_once(llm: LLM) -> None:
    held = Held()
    stream = llm.stream(PROMPT, **GREEDY, logits_processors=[held])
    assert held.is_called.wait(20)
    stream.cancel()
    result = stream.result()
    assert (result.finish_reason, result.token_ids) == ("cancelled", ())
    assert is_idle(llm.engine)
    held.may_go_on.set()
    assert isinstance(llm.generate(PROMPT, **GREEDY, logits_processors=[Seen()]), Completion)


def test_closing_does_not_wait_for_a_processor(exact_demo: Model) -> None:
    held = Held()
    with Engine(exact_demo, **EXACT) as engine:
        stream = LLM(engine).stream(PROMPT, **GREEDY, logits_processors=[held])
        assert held.is_called.wait(20)
    with pytest.raises(EngineClosedError):
        stream.result()
    held.may_go_on.set()


def test_event_loop_goes_on_while_a_processor_takes_its_time(exact_engine: Engine) -> None:
    async def main() -> None:
        llm, held = AsyncLLM(exact_engine), Held()
        waiting = asyncio.create_task(llm.generate(PROMPT, **GREEDY, logits_processors=[held]))
        while not held.is_called.is_set():
            await asyncio.sleep(0)
        expected = await llm.generate(PROMPT, **GREEDY)
        held.may_go_on.set()
        assert (await waiting).token_ids == expected.token_ids
        with pytest.raises(GoneError):
            await llm.generate(PROMPT, **GREEDY, logits_processors=[raising])

    run(main())


def test_thread_of_the_processors_ends_with_the_engine(exact_demo: Model) -> None:
    threads: set[threading.Thread] = set()

    def processor(token_ids: Sequence[int], logits: Logits) -> None:
        threads.add(threading.current_thread())

    with Engine(exact_demo, **EXACT) as engine:
        LLM(engine).generate([PROMPT] * 3, **GREEDY, logits_processors=[processor])
    (thread,) = threads
    thread.join(10)
    assert not thread.is_alive()


LEAVING = """
import sys, threading, time, inllama
llm = inllama.LLM(n_threads=1)
called = threading.Event()

def slow(token_ids, logits):
    called.set()
    {body}

stream = llm.stream("Once upon a time", logits_processors=[slow])
called.wait()
time.sleep(float(sys.argv[1]))
"""


@pytest.mark.parametrize("body", ["time.sleep(60)", "time.sleep(0.02)", "logits[1] = 0"])
def test_interpreter_ends_while_a_processor_runs(body: str) -> None:
    for seconds in ("0", "0.1"):
        child = [sys.executable, "-W", "error", "-X", "faulthandler", "-c", LEAVING.replace("{body}", body), seconds]
        done = subprocess.run(child, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        assert "Fatal" not in done.stderr
        assert "Traceback" not in done.stderr
