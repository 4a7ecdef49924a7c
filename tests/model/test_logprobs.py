"""Log-probabilities of results and chunks, against those computed from a context's logits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tiny_models as tiny
from engines import EXACT, PROMPT

from inllama import LLM, Choice, Completion, InvalidRequestError, Model, Timings, TokenLogprob, Usage

SEVERAL = ["Once upon a time", "One day, a dog", "The little girl"]


def expected_rows(model: Model, prompt: Sequence[int], output: Sequence[int]) -> npt.NDArray[np.float64]:
    """The log-softmax of the rows from which the tokens of ``output`` were chosen."""
    rows = tiny.fresh_rows(model, [*prompt, *output])[len(prompt) - 1 : -1].astype(np.float64)
    largest = rows.max(axis=1, keepdims=True)
    result: npt.NDArray[np.float64] = rows - largest - np.log(np.exp(rows - largest).sum(axis=1, keepdims=True))
    return result


def assert_right(model: Model, prompt: str, choice: Choice, n_top: int) -> None:
    tokens = model.tokenizer.encode(prompt).tolist()
    rows = expected_rows(model, tokens, choice.token_ids)
    assert choice.logprobs is not None
    assert [one.token for one in choice.logprobs] == list(choice.token_ids)
    for one, row in zip(choice.logprobs, rows, strict=True):
        assert one.piece == model.tokenizer.piece(one.token)
        assert one.logprob == pytest.approx(row[one.token], abs=tiny.SAME_TOLERANCE)
        values = [other.logprob for other in one.top]
        assert values == sorted(values, reverse=True)
        assert values == pytest.approx(np.sort(row)[::-1][:n_top].tolist(), abs=tiny.SAME_TOLERANCE)
        for other in one.top:
            assert other.logprob == pytest.approx(row[other.token], abs=tiny.SAME_TOLERANCE)
            assert (other.piece, other.top) == (model.tokenizer.piece(other.token), ())
        assert len({other.token for other in one.top}) == n_top


@pytest.mark.parametrize("n_top", [0, 1, 5, 1000])
def test_values_are_the_softmax_of_the_logits(llm: LLM, n_top: int) -> None:
    choice = llm.generate(PROMPT, temperature=0, max_tokens=20, logprobs=n_top).choices[0]
    assert_right(llm.model, PROMPT, choice, n_top)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.8, "seed": 1},
        {"temperature": 0.5, "top_k": 2, "seed": 2},
        {"top_k": 0, "top_p": 0.5, "seed": 3},
        {"temperature": 0, "logit_bias": {99: 100.0}},
        {"grammar": "root ::= [0-9]+"},
        {"repeat_penalty": 2.0, "seed": 4},
        {"temperature": 0, "min_tokens": 20},
    ],
    ids=str,
)
def test_sampling_options_do_not_change_the_values(llm: LLM, options: dict[str, Any]) -> None:
    choice = llm.generate(PROMPT, max_tokens=12, logprobs=3, **options).choices[0]
    assert_right(llm.model, PROMPT, choice, 3)


def test_requests_that_run_together_have_their_own_values(llm: LLM) -> None:
    for prompt, result in zip(SEVERAL, llm.generate(SEVERAL, seed=1, max_tokens=15, logprobs=2, n=2), strict=True):
        for choice in result.choices:
            assert_right(llm.model, prompt, choice, 2)


def test_values_are_the_same_with_a_cached_prefix_and_after_preemption(exact_demo: Model) -> None:
    with LLM(exact_demo, n_ctx=256, **EXACT) as small:
        for _ in range(2):
            rows = small.generate(SEVERAL, temperature=0, ignore_eos=True, max_tokens=120, logprobs=2)
            for prompt, result in zip(SEVERAL, rows, strict=True):
                assert_right(exact_demo, prompt, result.choices[0], 2)
        assert small.stats().preemptions > 0
        assert small.stats().cached_tokens > 0


def test_results_have_none_unless_asked_for(llm: LLM) -> None:
    result = llm.generate(PROMPT, max_tokens=3)
    assert result.logprobs is None
    assert result.to_dict()["choices"][0]["logprobs"] is None
    assert {chunk.logprobs for chunk in llm.stream(PROMPT, max_tokens=3)} == {()}
    assert llm.generate(PROMPT, max_tokens=3, logprobs=0).logprobs is not None


def test_range_is_checked(llm: LLM) -> None:
    for wrong in (-1, 1001):
        with pytest.raises(InvalidRequestError, match="logprobs"):
            llm.generate(PROMPT, logprobs=wrong)
    with pytest.raises(TypeError, match="logprobs"):
        llm.generate(PROMPT, logprobs="2")


@pytest.mark.parametrize("n", [1, 3])
def test_chunks_carry_those_of_their_tokens(llm: LLM, n: int) -> None:
    options: dict[str, Any] = {"seed": 1, "max_tokens": 30, "logprobs": 2, "n": n}
    stream = llm.stream(PROMPT, **options)
    chunks = list(stream)
    result = stream.result()
    for chunk in chunks:
        assert tuple(one.token for one in chunk.logprobs) == chunk.token_ids
    for choice in result.choices:
        found = [one for chunk in chunks if chunk.index == choice.index for one in chunk.logprobs]
        assert tuple(found) == choice.logprobs
        assert_right(llm.model, PROMPT, choice, 2)


def test_stop_strings_leave_one_for_each_token(llm: LLM) -> None:
    """The tokens of a stop string, and of text that was held back for one, included."""
    text = llm.generate(PROMPT, temperature=0, max_tokens=30).text
    for stop in (text[12:25], text[20:24], text[5:9] + "never"):
        options: dict[str, Any] = {"temperature": 0, "max_tokens": 30, "stop": stop, "logprobs": 1}
        stream = llm.stream(PROMPT, **options)
        chunks = list(stream)
        choice = stream.result().choices[0]
        assert_right(llm.model, PROMPT, choice, 1)
        assert [one.token for chunk in chunks for one in chunk.logprobs] == list(choice.token_ids)
        assert all(len(chunk.logprobs) == len(chunk.token_ids) for chunk in chunks)


def test_they_can_be_read_after_the_engine_was_closed(exact_demo_path: Path) -> None:
    with LLM(exact_demo_path, **EXACT) as llm:
        stream = llm.stream(PROMPT, temperature=0, max_tokens=20, logprobs=1)
        ended = llm.stream(PROMPT, temperature=0, max_tokens=1, logprobs=1)
        while llm.stats().finished < 2:
            pass
    for open_stream in (ended, stream):
        logprobs = open_stream.result().logprobs
        assert logprobs is not None
        assert logprobs[0].piece == b","


# ----------------------------------------------------------------------------------------------------------- to_dict


def test_to_dict_has_the_shape_of_a_text_completion(llm: LLM) -> None:
    result = llm.generate(PROMPT, seed=1, temperature=1.5, max_tokens=20, logprobs=2, n=2)
    plain = json.loads(json.dumps(result.to_dict()))
    for found, choice in zip(plain["choices"], result.choices, strict=True):
        logprobs = found["logprobs"]
        assert choice.logprobs is not None
        assert set(logprobs) == {"tokens", "token_logprobs", "top_logprobs", "text_offset"}
        assert "".join(logprobs["tokens"]) == choice.text
        assert logprobs["token_logprobs"] == [one.logprob for one in choice.logprobs]
        for i, one in enumerate(choice.logprobs):
            assert choice.text[logprobs["text_offset"][i] :].startswith(logprobs["tokens"][i])
            # The likeliest ones, and the chosen one in any case.
            top = logprobs["top_logprobs"][i]
            assert set(top) == {other.piece.decode() for other in (*one.top, one)}
            assert top[one.piece.decode()] == one.logprob


def test_parts_of_a_character_are_spelled_in_bytes() -> None:
    def one(piece: bytes, logprob: float) -> TokenLogprob:
        others = (TokenLogprob(8, b"\x9f", -0.5), TokenLogprob(9, b"\x98", -0.7))
        return TokenLogprob(7, piece, logprob, others)

    logprobs = tuple(one(piece, -1.0) for piece in (b"a", b"\xf0", b"\x9f\x98", b"\x80", b"b"))
    choice = Choice(0, "a\N{GRINNING FACE}b", (1, 2, 3, 4, 5), "length", None, 1, logprobs)
    result = Completion("id", "model", (choice,), Usage(1, 5), Timings(0.0, 0.0, 0.0))
    found = result.to_dict()["choices"][0]["logprobs"]
    assert found["tokens"] == ["a", "bytes:\\xf0", "bytes:\\x9f\\x98", "bytes:\\x80", "b"]
    assert found["text_offset"] == [0, 1, 1, 1, 2]
    assert set(found["top_logprobs"][0]) == {"bytes:\\x9f", "bytes:\\x98", "a"}


def test_logprobs_as_openai_asks_for_them(llm: LLM) -> None:
    three = llm.generate(PROMPT, max_tokens=4, temperature=0, logprobs=True, top_logprobs=3).logprobs
    assert three is not None
    assert [len(one.top) for one in three] == [3] * 4
    none = llm.generate(PROMPT, max_tokens=4, temperature=0, logprobs=True).logprobs
    assert none is not None
    assert [one.top for one in none] == [()] * 4
    assert llm.generate(PROMPT, max_tokens=1, logprobs=False).logprobs is None
    with pytest.raises(InvalidRequestError, match="no effect without logprobs=True"):
        llm.generate(PROMPT, top_logprobs=3)
    token = llm.chat("Hello!", max_tokens=1, logprobs=True).to_dict()["choices"][0]["logprobs"]["content"][0]
    assert bytes(token["bytes"]).decode("utf-8", "replace") == token["token"]
