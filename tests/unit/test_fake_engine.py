"""FakeEngine: its replies, delays and errors, and that the rest is the real engine."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inllama import (
    LLM,
    AsyncLLM,
    ContextFullError,
    DeadlineError,
    DecodeError,
    EngineClosedError,
    InvalidRequestError,
    QueueFullError,
    UnsupportedError,
)
from inllama.testing import FakeEngine, Reply

MakeEngine = Callable[..., FakeEngine]
PROMPT = "Once upon a time"


class GoneError(Exception):
    """An error that inllama does not know."""


def read(stream: Any) -> Iterator[str]:
    return (chunk.text for chunk in stream)


# ---------------------------------------------------------------------------------------------------------- replies


def test_reply_is_the_text(fake_engine: MakeEngine) -> None:
    result = LLM(fake_engine("Hello, world!")).generate("Hi")
    assert result.text == "Hello, world!"
    assert result.finish_reason == "stop"
    assert result.model == "fake"
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (2, 13)


def test_default_reply_says_that_it_is_one(fake_engine: MakeEngine) -> None:
    assert LLM(fake_engine()).generate(PROMPT).text == "This is a fake reply."


def test_empty_reply_ends_at_once(fake_engine: MakeEngine) -> None:
    result = LLM(fake_engine("")).generate(PROMPT)
    assert (result.text, result.finish_reason, result.token_ids) == ("", "stop", ())


def test_each_byte_is_a_chunk_and_characters_come_whole(fake_engine: MakeEngine) -> None:
    chunks = list(LLM(fake_engine("aé😀")).stream(PROMPT))
    assert [chunk.text for chunk in chunks] == ["a", "é", "😀", ""]
    assert [len(chunk.token_ids) for chunk in chunks] == [1, 2, 4, 0]
    assert chunks[-1].finish_reason == "stop"


def test_function_is_given_the_prompt(fake_engine: MakeEngine) -> None:
    llm = LLM(fake_engine(lambda prompt: prompt[::-1]))
    assert llm.generate("abc é").text == "é cba"
    assert llm.generate(["ab", "cd"])[1].text == "dc"
    assert llm.generate(list(b"a\xffb")).text == "b\ufffda"


def test_function_is_called_once_per_request_also_when_it_waits(fake_engine: MakeEngine) -> None:
    prompts: list[str] = []

    def reply(prompt: str) -> str:
        prompts.append(prompt)
        return prompt

    llm = LLM(fake_engine(reply, max_running=1, max_queue=0))
    rows = [f"row {i}" for i in range(20)]
    assert [row.text for row in llm.map(rows)] == rows
    with ThreadPoolExecutor(4) as pool:
        assert [result.text for result in pool.map(llm.generate, rows)] == rows
    assert sorted(prompts) == sorted(rows * 2)


def test_requests_at_the_same_time_have_their_own_replies(fake_engine: MakeEngine) -> None:
    engine = fake_engine(lambda prompt: f"<{prompt}>", max_running=4)
    with ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(lambda i: LLM(engine).generate(f"prompt {i}").text, range(200)))
    assert texts == [f"<prompt {i}>" for i in range(200)]


def test_outputs_of_a_request_are_all_the_reply(fake_engine: MakeEngine) -> None:
    result = LLM(fake_engine("yes")).generate(PROMPT, n=3, seed=1)
    assert [(choice.text, choice.seed) for choice in result.choices] == [("yes", 1), ("yes", 2), ("yes", 3)]


# ------------------------------------------------------------------------------------------------------- the output


def test_max_tokens_counts_bytes(fake_engine: MakeEngine) -> None:
    result = LLM(fake_engine("abcdef")).generate(PROMPT, max_tokens=4)
    assert (result.text, result.finish_reason) == ("abcd", "length")


def test_output_is_cut_between_characters(fake_engine: MakeEngine) -> None:
    assert LLM(fake_engine("aé")).generate(PROMPT, max_tokens=2).text == "a\ufffd"


def test_min_tokens_adds_spaces(fake_engine: MakeEngine) -> None:
    result = LLM(fake_engine("ab")).generate(PROMPT, min_tokens=5)
    assert (result.text, result.finish_reason) == ("ab   ", "stop")


def test_ignore_eos_goes_on_with_spaces(fake_engine: MakeEngine) -> None:
    result = LLM(fake_engine("ab")).generate(PROMPT, ignore_eos=True, max_tokens=5)
    assert (result.text, result.finish_reason) == ("ab   ", "length")


@pytest.mark.parametrize("stop", ["END", "é!", "😀"])
def test_stop_string_ends_the_text_and_is_never_shown(fake_engine: MakeEngine, stop: str) -> None:
    llm = LLM(fake_engine(f"some Eé text{stop}more"))
    result = llm.generate(PROMPT, stop=[stop])
    assert (result.text, result.finish_reason, result.stop) == ("some Eé text", "stop", stop)
    assert "".join(read(llm.stream(PROMPT, stop=[stop]))) == "some Eé text"


def test_stop_token_is_a_byte(fake_engine: MakeEngine) -> None:
    result = LLM(fake_engine("one, two")).generate(PROMPT, stop_token_ids=[ord(",")])
    assert (result.text, result.stop) == ("one", ord(","))


def test_logprobs_are_all_alike(fake_engine: MakeEngine) -> None:
    logprobs = LLM(fake_engine("hi")).generate(PROMPT, logprobs=2).logprobs
    assert logprobs is not None
    assert [one.piece for one in logprobs] == [b"h", b"i"]
    for one in logprobs:
        assert one.logprob == pytest.approx(-math.log(257))
        assert len(one.top) == 2


def test_options_that_choose_tokens_change_nothing(fake_engine: MakeEngine) -> None:
    options: dict[str, Any] = {"temperature": 2.0, "top_k": 1, "repeat_penalty": 2.0}
    assert LLM(fake_engine("hello")).generate(PROMPT, **options).text == "hello"
    with pytest.raises(InvalidRequestError, match="temperature"):
        LLM(fake_engine("hello")).generate(PROMPT, temperature=-1)


def test_processor_replaces_and_excludes_tokens(fake_engine: MakeEngine) -> None:
    seen: list[bytes] = []

    def processor(tokens: Sequence[int], logits: NDArray[np.float32]) -> None:
        assert logits.shape == (257,)
        assert not logits.any()
        seen.append(bytes(tokens))
        logits[ord("l")] = -np.inf
        if len(tokens) == 3:
            logits[ord("J")] = 1

    llm = LLM(fake_engine("hello"))
    assert llm.generate("abc", logits_processors=[processor]).text == "Je  o"
    assert seen[0] == b"abc"
    assert seen[-1] == b"abcJe  o"
    assert llm.generate("abc").text == "hello"


# ----------------------------------------------------------------------------------------------------------- errors


def test_exception_is_what_a_request_fails_with(fake_engine: MakeEngine) -> None:
    error = GoneError("gone")
    with pytest.raises(GoneError) as raised:
        LLM(fake_engine(error)).generate(PROMPT)
    assert raised.value is error


def test_error_comes_after_the_text_before_it(fake_engine: MakeEngine) -> None:
    stream = LLM(fake_engine(Reply("It was a", error=GoneError("gone"), error_after=6))).stream(PROMPT)
    texts: list[str] = []
    with pytest.raises(GoneError, match="gone"):
        texts.extend(read(stream))
    assert "".join(texts) == "It was"


def test_error_of_inllama_has_the_text_until_then(fake_engine: MakeEngine) -> None:
    reply = Reply("It was", error=DecodeError("broken"), error_after=6)
    with pytest.raises(DecodeError, match="broken") as raised:
        LLM(fake_engine(reply)).generate(PROMPT)
    assert raised.value.partial == "It was"


def test_error_of_one_request_is_its_own(fake_engine: MakeEngine) -> None:
    def reply(prompt: str) -> str | Exception:
        return GoneError(prompt) if prompt == "bad" else prompt

    rows = LLM(fake_engine(reply)).generate(["one", "bad", "two"], on_error="return")
    assert [row if isinstance(row, Exception) else row.text for row in rows] == ["one", rows[1], "two"]
    assert isinstance(rows[1], GoneError)


def test_error_of_one_output_ends_the_request(fake_engine: MakeEngine) -> None:
    with pytest.raises(GoneError):
        LLM(fake_engine(Reply("abc", error=GoneError(), error_after=2))).generate(PROMPT, n=3)


def test_what_the_function_raises_is_the_reply(fake_engine: MakeEngine) -> None:
    def reply(prompt: str) -> str:
        raise GoneError(prompt)

    llm = LLM(fake_engine(reply))
    with pytest.raises(GoneError, match=PROMPT):
        llm.generate(PROMPT)
    rows = list(llm.map(["a", "b"], on_error="yield"))
    assert [type(row) for row in rows] == [GoneError, GoneError]


def test_function_whose_replies_are_used_up_fails_the_request(fake_engine: MakeEngine) -> None:
    replies = iter(["one"])
    llm = LLM(fake_engine(lambda _: next(replies)))
    assert "".join(read(llm.stream(PROMPT))) == "one"
    with pytest.raises(RuntimeError, match="the function that replies raised StopIteration"):
        list(llm.stream(PROMPT))


def test_function_that_gives_no_reply_fails_the_request(fake_engine: MakeEngine) -> None:
    with pytest.raises(TypeError, match="a reply must be str, Reply or an exception, not int"):
        LLM(fake_engine(lambda _: 5)).generate(PROMPT)


def test_deadline_comes_before_the_scripted_error(fake_engine: MakeEngine) -> None:
    engine = fake_engine(Reply("x" * 100, error=GoneError(), error_after=100), step_s=0.02)
    with pytest.raises(DeadlineError) as raised:
        LLM(engine).generate(PROMPT, timeout_s=0.1)
    assert raised.value.partial.startswith("x")
    assert engine.stats().running == 0


def test_error_of_a_processor_comes_before_the_scripted_one(fake_engine: MakeEngine) -> None:
    def processor(tokens: Sequence[int], logits: NDArray[np.float32]) -> None:
        raise ZeroDivisionError

    engine = fake_engine(Reply("ab", error=GoneError(), error_after=2))
    with pytest.raises(ZeroDivisionError):
        LLM(engine).generate(PROMPT, logits_processors=[processor])


# ----------------------------------------------------------------------------------------------------- failed steps


@pytest.mark.parametrize("status", ["failed", "no_room", "no_memory", "aborted"])
def test_step_that_fails_once_changes_no_output(fake_engine: MakeEngine, status: Any) -> None:
    engine = fake_engine("hello")
    engine.fail_steps(status=status)
    assert LLM(engine).generate(PROMPT).text == "hello"
    assert engine.stats().failed_steps == 1


def test_request_that_fails_alone_twice_ends_with_decode_error(fake_engine: MakeEngine) -> None:
    engine = fake_engine("hello")
    engine.fail_steps(2)
    with pytest.raises(DecodeError):
        LLM(engine).generate(PROMPT)
    assert LLM(engine).generate(PROMPT).text == "hello"


@pytest.mark.parametrize("n", [8, 9])
def test_step_without_memory_is_tried_again_with_fewer_tokens(fake_engine: MakeEngine, n: int) -> None:
    engine = fake_engine("hello")
    engine.fail_steps(n, "no_memory")
    (row,) = LLM(engine).generate([PROMPT], on_error="return")
    assert isinstance(row, DecodeError) == (n == 9)


def test_memory_without_room_is_an_error_of_the_request(fake_engine: MakeEngine) -> None:
    engine = fake_engine("hello")
    engine.fail_steps(2, "no_room")
    with pytest.raises(ContextFullError):
        LLM(engine).generate(PROMPT)


def test_failed_steps_reach_reproducible_requests(fake_engine: MakeEngine) -> None:
    engine = fake_engine("hello")
    assert LLM(engine).generate(PROMPT, reproducible=True).text == "hello"
    engine.fail_steps(2)
    with pytest.raises(DecodeError):
        LLM(engine).generate(PROMPT, reproducible=True)


def test_failed_steps_that_are_not_possible_are_refused(fake_engine: MakeEngine) -> None:
    engine = fake_engine("hello")
    with pytest.raises(InvalidRequestError, match="n is 0 but must be at least 1"):
        engine.fail_steps(0)
    with pytest.raises(InvalidRequestError, match="status is 'slow'; use one of failed, no_room"):
        engine.fail_steps(1, "slow")  # type: ignore[arg-type]
    assert LLM(engine).generate(PROMPT).text == "hello"


# ------------------------------------------------------------------------------------------------- the real engine


def test_step_takes_its_time(fake_engine: MakeEngine) -> None:
    result = LLM(fake_engine("abcd", step_s=0.01)).generate(PROMPT)
    assert result.timings.first_token_s >= 0.01
    assert result.timings.total_s >= 0.05  # one of them for the end token


def test_requests_share_steps(fake_engine: MakeEngine) -> None:
    engine = fake_engine("x" * 50, max_running=8, step_s=0.001)
    LLM(engine).generate([f"{i}" for i in range(8)])
    assert engine.stats().steps < 100


def test_cancelled_stream_ends(fake_engine: MakeEngine) -> None:
    engine = fake_engine("x", step_s=0.001)
    stream = LLM(engine).stream(PROMPT, ignore_eos=True)
    next(stream)
    stream.cancel()
    result = stream.result()
    assert result.finish_reason == "cancelled"
    assert result.text.startswith("x")


def test_queue_that_is_full_is_an_error_without_waiting(fake_engine: MakeEngine) -> None:
    llm = LLM(fake_engine("x", max_running=1, max_queue=1))
    streams = [llm.stream(PROMPT, ignore_eos=True, wait=False) for _ in range(2)]
    with pytest.raises(QueueFullError):
        llm.stream(PROMPT, wait=False)
    for stream in streams:
        stream.cancel()
        assert stream.result().finish_reason == "cancelled"


def test_prompt_that_is_too_long_is_refused(fake_engine: MakeEngine) -> None:
    engine = fake_engine("x", n_ctx=10)
    assert engine.n_ctx == 10
    with pytest.raises(ContextFullError) as raised:
        LLM(engine).generate("a" * 10)
    assert (raised.value.n_prompt, raised.value.n_ctx) == (10, 10)
    assert LLM(engine).generate("a" * 9).finish_reason == "length"


def test_prompt_that_was_computed_is_cached(fake_engine: MakeEngine) -> None:
    llm = LLM(fake_engine("hello"))
    assert llm.generate(PROMPT).usage.cached_tokens == 0
    assert llm.generate(PROMPT).usage.cached_tokens == len(PROMPT) - 1
    assert llm.generate(PROMPT, cache_salt="other").usage.cached_tokens == 0


@pytest.mark.parametrize("options", [{"kv_mode": "split"}, {"prefix_cache": False}], ids=str)
def test_nothing_is_cached_if_nothing_is_shared(fake_engine: MakeEngine, options: dict[str, Any]) -> None:
    engine = fake_engine("hello", n_ctx=1600, **options)
    for _ in range(2):
        result = LLM(engine).generate(PROMPT)
        assert (result.text, result.usage.cached_tokens) == ("hello", 0)
    assert engine.n_ctx == (100 if "kv_mode" in options else 1600)


def test_memory_that_is_too_small_for_all_makes_them_take_turns(fake_engine: MakeEngine) -> None:
    engine = fake_engine(lambda prompt: prompt * 4, n_ctx=64, max_running=4)
    prompts = [f"prompt {i}" for i in range(12)]
    assert [row.text for row in LLM(engine).generate(prompts)] == [prompt * 4 for prompt in prompts]


@pytest.mark.parametrize("ordered", [True, False])
def test_map_takes_any_number_of_rows(fake_engine: MakeEngine, ordered: bool) -> None:
    n_open = 0
    most = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal n_open, most
        for i in range(1000):
            n_open += 1
            most = max(most, n_open)
            yield {"prompt": f"row {i}", "max_tokens": 5 + i % 3}

    texts: list[str] = []
    for result in LLM(fake_engine(lambda prompt: prompt)).map(rows(), ordered=ordered, window=10):
        n_open -= 1
        texts.append(result.text)
    expected = [f"row {i}"[: 5 + i % 3] for i in range(1000)]
    assert (texts if ordered else sorted(texts)) == (expected if ordered else sorted(expected))
    assert most <= 10


def test_event_loop_reads_many_streams(fake_engine: MakeEngine) -> None:
    engine = fake_engine(lambda prompt: f"<{prompt}>", max_running=8)

    async def read_one(aio: AsyncLLM, i: int) -> str:
        return "".join([chunk.text async for chunk in aio.stream(f"prompt {i}")])

    async def read_all() -> list[str]:
        async with AsyncLLM(engine) as aio:
            return await asyncio.gather(*(read_one(aio, i) for i in range(50)))

    assert asyncio.run(read_all()) == [f"<prompt {i}>" for i in range(50)]
    assert not engine.closed


def test_cancelled_task_frees_its_place(fake_engine: MakeEngine) -> None:
    engine = fake_engine("x", max_running=1)

    async def run() -> str:
        aio = AsyncLLM(engine)
        task = asyncio.create_task(aio.generate(PROMPT, ignore_eos=True))
        while engine.stats().running == 0:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return (await aio.generate(PROMPT)).text

    assert asyncio.run(run()) == "x"


def test_error_reaches_the_task_that_asked(fake_engine: MakeEngine) -> None:
    engine = fake_engine(lambda prompt: GoneError(prompt) if prompt == "bad" else prompt)

    async def run() -> list[Any]:
        aio = AsyncLLM(engine)
        return await asyncio.gather(*(aio.generate(one) for one in ("good", "bad")), return_exceptions=True)

    good, bad = asyncio.run(run())
    assert good.text == "good"
    assert isinstance(bad, GoneError)


def test_stats_count_what_was_done(fake_engine: MakeEngine) -> None:
    engine = fake_engine("four")
    LLM(engine).generate(["a", "b"])
    stats = engine.stats()
    assert (stats.finished, stats.completion_tokens, stats.running) == (2, 8, 0)
    assert stats.kv_cells == 1 << 20


def test_close_ends_what_runs(fake_engine: MakeEngine) -> None:
    engine = fake_engine("x", step_s=0.001)
    stream = LLM(engine).stream(PROMPT, ignore_eos=True)
    next(stream)
    closing = threading.Thread(target=engine.close)
    closing.start()
    with pytest.raises(EngineClosedError):
        stream.result()
    closing.join()
    with pytest.raises(EngineClosedError):
        LLM(engine).generate(PROMPT)


# ------------------------------------------------------------------------------------------------------- the object


def test_engine_without_a_model_says_so(fake_engine: MakeEngine) -> None:
    engine = fake_engine()
    with pytest.raises(UnsupportedError, match="without a model"):
        _ = engine.model
    assert repr(engine) == "FakeEngine('fake')"
    assert "fake" in repr(LLM(engine))
    assert "fake" in repr(AsyncLLM(engine))
    engine.close()
    assert repr(engine) == "FakeEngine('fake', closed)"


def test_tokens_are_bytes(fake_engine: MakeEngine) -> None:
    engine = fake_engine()
    assert engine.encode("é") == [0xC3, 0xA9]
    assert [engine.piece(token) for token in (0, 255, 256)] == [b"\0", b"\xff", b""]
    with pytest.raises(InvalidRequestError, match="token 257 is not in the vocabulary of 257 tokens"):
        engine.piece(257)
    with pytest.raises(InvalidRequestError, match="token 257 is not in the vocabulary of 257 tokens"):
        LLM(engine).generate([1, 257])
    with pytest.raises(InvalidRequestError, match="lone surrogate at character 1"):
        LLM(engine).generate("a\ud800")


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"reply": 5}, TypeError, "a reply must be str, Reply or an exception, not int"),
        ({"reply": "\ud800"}, InvalidRequestError, "lone surrogate at character 0"),
        ({"step_s": -1}, InvalidRequestError, "step_s is -1 but must be 0 to 60 seconds"),
        ({"step_s": math.nan}, InvalidRequestError, "step_s is nan"),
        ({"step_s": "1"}, TypeError, "step_s must be float, not str"),
        ({"max_runing": 2}, TypeError, "did you mean 'max_running'"),
        ({"gpu_layers": 2}, TypeError, "unknown option 'gpu_layers'"),
        ({"max_running": 0}, InvalidRequestError, "max_running is 0 but must be 1 to 256"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        FakeEngine(**arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"text": b"a"}, TypeError, "text must be str, not bytes"),
        ({"error": "gone"}, TypeError, "error must be an exception, not str"),
        ({"error": KeyboardInterrupt()}, TypeError, "error must be an exception, not KeyboardInterrupt"),
        ({"text": "é", "error_after": 3}, InvalidRequestError, "error_after is 3 but must be 0 to 2, the bytes"),
        ({"error_after": 1.0}, TypeError, "error_after must be int, not float"),
    ],
    ids=str,
)
def test_bad_replies_are_refused(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Reply(**arguments)


def test_most_that_can_run_is_256(fake_engine: MakeEngine) -> None:
    llm = LLM(fake_engine(lambda prompt: prompt, max_running=256))
    prompts = [f"prompt {i}" for i in range(300)]
    assert [row.text for row in llm.generate(prompts)] == prompts


# ------------------------------------------------------------------------------------------------------ the fixture


def test_fixture_closes_its_engines(tmp_path: Path) -> None:
    tests = tmp_path / "test_app.py"
    tests.write_text(
        """
from inllama import LLM

made = []

def test_reply(fake_engine):
    made.append(fake_engine("hello"))
    made.append(fake_engine(reply="there", max_running=2))
    assert [LLM(engine).generate("x").text for engine in made] == ["hello", "there"]

def test_closed():
    assert [engine.closed for engine in made] == [True, True]
"""
    )
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(tests)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_plugin_does_not_load_the_package() -> None:
    (entry,) = (one for one in metadata.entry_points(group="pytest11") if one.name == "inllama")
    code = f"import {entry.value}, sys; assert not [name for name in sys.modules if name.split('.')[0] == 'inllama']"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_package_does_not_load_its_fakes() -> None:
    code = "import inllama, sys; assert not {'inllama.testing', 'pytest', 'asyncio'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
