"""How outputs end: tokens, stop strings, cancelling, deadlines and closing."""

from __future__ import annotations

import threading
import time

import pytest
from engines import PROMPT

from inllama import (
    LLM,
    Chunk,
    DeadlineError,
    EngineClosedError,
    Model,
)
from inllama.model import demo_path

DEMO = demo_path()


def text_of(chunks: list[Chunk], index: int = 0) -> str:
    return "".join(chunk.text for chunk in chunks if chunk.index == index)


# ------------------------------------------------------------------------------------------------------ the end


@pytest.mark.parametrize("max_tokens", [1, 2, 7, 33])
def test_max_tokens_is_exact(llm: LLM, max_tokens: int) -> None:
    result = llm.generate(PROMPT, ignore_eos=True, seed=1, max_tokens=max_tokens)
    assert len(result.token_ids) == max_tokens
    assert result.usage.completion_tokens == max_tokens
    assert result.finish_reason == "length"
    assert result.stop is None


def test_model_ends_by_itself(llm: LLM) -> None:
    result = llm.generate(PROMPT, temperature=0)
    assert result.finish_reason == "stop"
    assert result.stop is None
    assert result.text.endswith((".", "!", "?", '"'))
    assert not set(result.token_ids) & set(llm.model.tokenizer.end_tokens.tolist())


def test_without_max_tokens_the_context_is_the_limit(llm: LLM) -> None:
    result = llm.generate(PROMPT, ignore_eos=True, seed=1)
    assert result.finish_reason == "length"
    assert result.usage.total_tokens == 2048


def test_max_tokens_beyond_the_context_ends_at_the_context(llm: LLM) -> None:
    result = llm.generate(PROMPT, ignore_eos=True, seed=1, max_tokens=10**9)
    assert result.finish_reason == "length"
    assert result.usage.total_tokens == 2048


def test_prompt_that_leaves_room_for_one_token(llm: LLM) -> None:
    result = llm.generate([1] * 2047, ignore_eos=True)
    assert result.finish_reason == "length"
    assert result.usage.prompt_tokens == 2047
    assert result.usage.completion_tokens == 1


def every_stop(text: str) -> list[str]:
    return [text[begin:end] for begin in range(20, 44, 3) for end in range(begin + 1, min(begin + 14, len(text)), 4)]


def test_stop_string_is_cut_off_wherever_tokens_end(llm: LLM) -> None:
    text = llm.generate(PROMPT, temperature=0, max_tokens=40).text
    for stop in every_stop(text):
        result = llm.generate(PROMPT, temperature=0, max_tokens=40, stop=stop)
        assert result.text == text[: text.index(stop)], stop
        assert result.finish_reason == "stop"
        assert result.stop == stop


def test_stream_never_publishes_a_part_of_the_stop_string(llm: LLM) -> None:
    text = llm.generate(PROMPT, temperature=0, max_tokens=40).text
    for stop in every_stop(text):
        chunks = list(llm.stream(PROMPT, temperature=0, max_tokens=40, stop=["never to be seen", stop]))
        assert text_of(chunks) == text[: text.index(stop)], stop
        assert chunks[-1].finish_reason == "stop"
        assert chunks[-1].stop == stop


def test_first_match_wins_among_stop_strings(llm: LLM) -> None:
    text = llm.generate(PROMPT, temperature=0, max_tokens=40).text
    early, late = text[10:14], text[30:36]
    result = llm.generate(PROMPT, temperature=0, max_tokens=40, stop=[late, early])
    assert result.stop == early
    assert result.text == text[: text.index(early)]


def test_held_back_beginning_of_a_stop_string_is_given_at_the_end(llm: LLM) -> None:
    text = llm.generate(PROMPT, temperature=0, max_tokens=12).text
    result = llm.generate(PROMPT, temperature=0, max_tokens=12, stop=text[-3:] + "never")
    assert result.text == text
    assert result.finish_reason == "length"
    assert result.stop is None


def test_stop_string_matches_only_the_output(llm: LLM) -> None:
    expected = llm.generate(PROMPT, temperature=0, max_tokens=10).text
    assert llm.generate(PROMPT, temperature=0, max_tokens=10, stop="Once upon").text == expected


def test_stop_token_ends_the_output_and_is_not_in_it(llm: LLM) -> None:
    tokens = llm.generate(PROMPT, temperature=0, max_tokens=40).token_ids
    token = tokens[15]
    result = llm.generate(PROMPT, temperature=0, max_tokens=40, stop_token_ids=[token])
    assert result.token_ids == tokens[: tokens.index(token)]
    assert result.finish_reason == "stop"
    assert result.stop == token


def test_end_token_as_stop_token_is_reported(llm: LLM) -> None:
    end = llm.model.tokenizer.bos  # it begins and ends a story; the end-of-turn token ends what is said in a chat
    assert end is not None
    result = llm.generate(PROMPT, temperature=0, stop_token_ids=[end])
    assert (result.finish_reason, result.stop) == ("stop", end)


def test_ignore_eos_goes_on(llm: LLM) -> None:
    ended = llm.generate(PROMPT, temperature=0)
    longer = llm.generate(PROMPT, temperature=0, ignore_eos=True, max_tokens=ended.usage.completion_tokens + 20)
    assert longer.finish_reason == "length"
    assert longer.text.startswith(ended.text)
    assert longer.usage.completion_tokens == ended.usage.completion_tokens + 20


# ------------------------------------------------------------------------------------------------ cancel and time


def test_cancel_between_chunks_ends_the_stream(llm: LLM) -> None:
    expected = llm.generate(PROMPT, seed=1, ignore_eos=True, max_tokens=300).text
    stream = llm.stream(PROMPT, seed=1, ignore_eos=True, max_tokens=300)
    chunks = []
    for chunk in stream:
        chunks.append(chunk)
        if len(chunks) == 3:
            stream.cancel()
    assert chunks[-1].finish_reason == "cancelled"
    assert len(chunks) < 10
    result = stream.result()
    assert result.finish_reason == "cancelled"
    assert result.text == text_of(chunks)
    assert expected.startswith(result.text)
    assert llm.generate(PROMPT, seed=1, ignore_eos=True, max_tokens=300).text == expected


def test_cancel_from_another_thread_ends_generate(llm: LLM) -> None:
    stream = llm.stream(PROMPT, ignore_eos=True, n=1024)
    timer = threading.Timer(0.1, stream.cancel)
    timer.start()
    started = time.monotonic()
    result = stream.result()
    timer.join()
    assert result.choices[-1].finish_reason == "cancelled"
    assert time.monotonic() - started < 20


def test_cancel_at_once_ends_the_stream_early(llm: LLM) -> None:
    stream = llm.stream(PROMPT, ignore_eos=True)
    stream.cancel()
    result = stream.result()
    assert result.finish_reason == "cancelled"
    assert result.usage.total_tokens < 2048


def test_cancel_after_the_end_changes_nothing(llm: LLM) -> None:
    stream = llm.stream(PROMPT, temperature=0, max_tokens=5)
    before = stream.result()
    stream.cancel()
    assert stream.result().choices == before.choices


def test_cancel_ends_all_outputs(llm: LLM) -> None:
    stream = llm.stream(PROMPT, ignore_eos=True, n=3, max_tokens=50)
    next(stream)
    stream.cancel()
    reasons = [choice.finish_reason for choice in stream.result().choices]
    assert reasons == ["cancelled"] * 3


def test_deadline_raises_with_what_was_generated(llm: LLM) -> None:
    with pytest.raises(DeadlineError) as caught:
        llm.generate(PROMPT, seed=1, ignore_eos=True, n=1024, timeout_s=0.2)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value.partial, str)
    assert caught.value.elapsed_s >= 0.15
    assert llm.generate(PROMPT, max_tokens=1).usage.completion_tokens == 1


def test_deadline_of_a_slow_reader_carries_the_text(llm: LLM) -> None:
    stream = llm.stream(PROMPT, seed=1, ignore_eos=True, max_tokens=400, timeout_s=0.3)
    read = next(stream).text
    time.sleep(0.35)
    with pytest.raises(DeadlineError) as caught:
        list(stream)
    assert caught.value.partial.startswith(read)
    with pytest.raises(DeadlineError):
        stream.result()


def test_no_time_at_all_is_a_deadline_error(llm: LLM) -> None:
    with pytest.raises(DeadlineError) as caught:
        llm.generate(PROMPT, timeout_s=0)
    assert caught.value.partial == ""


# ------------------------------------------------------------------------------------------------------- closing


def test_closing_while_streaming_fails_the_stream() -> None:
    llm = LLM(n_threads=1)
    stream = llm.stream(PROMPT, ignore_eos=True, max_tokens=300)
    read = next(stream).text
    llm.close()
    with pytest.raises(EngineClosedError) as caught:
        list(stream)
    assert caught.value.partial.startswith(read)
    with pytest.raises(EngineClosedError):
        stream.result()


def test_closing_from_another_thread_ends_generate() -> None:
    llm = LLM(n_threads=1)
    timer = threading.Timer(0.1, llm.close)
    timer.start()
    with pytest.raises(EngineClosedError):
        llm.generate(PROMPT, ignore_eos=True, n=1024)
    timer.join()


def test_closing_ends_streams_that_run_or_wait() -> None:
    llm = LLM(n_threads=1, max_running=1)
    streams = [llm.stream(PROMPT, ignore_eos=True) for _ in range(3)]
    llm.close()
    for stream in streams:
        with pytest.raises(EngineClosedError):
            list(stream)
        with pytest.raises(EngineClosedError):
            stream.result()


def test_closed_llm_refuses_requests_and_closes_again() -> None:
    llm = LLM(n_threads=1)
    llm.close()
    llm.close()
    assert llm.model.closed
    for call in (llm.generate, llm.stream):
        with pytest.raises(EngineClosedError, match="closed"):
            call(PROMPT)


def test_with_block_closes() -> None:
    with LLM(n_threads=1) as llm:
        assert not llm.model.closed
    assert llm.model.closed


def test_llm_of_a_model_does_not_close_it() -> None:
    with Model(DEMO) as model:
        with LLM(model, n_threads=1) as first:
            expected = first.generate(PROMPT, temperature=0, max_tokens=5).text
        assert not model.closed
        with LLM(model, n_threads=1) as second:
            assert second.model is model
            assert second.generate(PROMPT, temperature=0, max_tokens=5).text == expected


def test_model_none_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="None"):
        LLM(None)  # type: ignore[arg-type]
