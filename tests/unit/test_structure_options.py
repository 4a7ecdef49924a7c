"""Structures as options of a request: at most one, on every method, and what a fake engine makes of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from inllama import LLM, AsyncLLM, GrammarError, InvalidRequestError, SamplingParams
from inllama.params import STRUCTURES
from inllama.testing import FakeEngine

MakeEngine = Callable[..., FakeEngine]
VALUES: dict[str, Any] = {
    "grammar": 'root ::= "yes" | "no"',
    "json_schema": {"enum": ["yes", "no"]},
    "regex": "yes|no",
    "choices": ["yes", "no"],
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_output_follows_the_structure(fake_engine: MakeEngine, name: str) -> None:
    quote = '"' if name == "json_schema" else ""
    llm = LLM(fake_engine(f"{quote}yes{quote}"))
    options = {name: VALUES[name]}
    assert llm.generate("?", **options).text == f"{quote}yes{quote}"
    assert "".join(chunk.text for chunk in llm.stream("?", **options)) == f"{quote}yes{quote}"
    assert [row.text for row in llm.map(["?", {"prompt": "!"}], **options)] == [f"{quote}yes{quote}"] * 2
    assert llm.generate(["?", "!"], SamplingParams(**options))[1].finish_reason == "stop"
    assert llm.stats().structured == 6
    assert llm.stats().sampler_grammars == 0


@pytest.mark.parametrize("name", STRUCTURES)
def test_async_output_follows_the_structure(fake_engine: MakeEngine, name: str) -> None:
    async def main() -> list[str]:
        llm = AsyncLLM(fake_engine("anything else"))
        options = {name: VALUES[name]}
        texts = [(await llm.generate("?", **options)).text]
        texts.append("".join([chunk.text async for chunk in llm.stream("?", **options)]))
        texts += [row.text async for row in llm.map([{"prompt": "?", **options}])]
        texts += [row.text for row in await llm.generate(["?", "?"], **options)]
        texts.append((await llm.generate("?", SamplingParams(**options))).text)
        return texts

    texts = asyncio.run(main())
    assert len(texts) == 6
    assert {text.strip() for text in texts} <= {"yes", "no", '"yes"', '"no"'}


def test_reply_that_leaves_the_structure_is_replaced(fake_engine: MakeEngine) -> None:
    assert LLM(fake_engine("hello")).generate("?", grammar='root ::= "x"').text == "x"
    assert LLM(
        fake_engine('{"a": "b'),
    ).generate("?", json_schema={"properties": {"a": {}}}, max_tokens=40)


def test_output_that_ends_inside_a_structure_says_so(fake_engine: MakeEngine) -> None:
    result = LLM(fake_engine("[1, 2, 3]")).generate("?", json_schema={"type": "array"}, max_tokens=4)
    assert (result.text, result.finish_reason) == ("[1, ", "length")


def test_structure_ends_the_output_before_min_tokens(fake_engine: MakeEngine) -> None:
    result = LLM(fake_engine("yes")).generate("?", choices=["yes", "no"], min_tokens=20)
    assert (result.text, result.finish_reason) == ("yes", "stop")


def test_several_outputs_share_a_structure(fake_engine: MakeEngine) -> None:
    result = LLM(fake_engine("no")).generate("?", choices=["yes", "no"], n=5)
    assert [choice.text for choice in result.choices] == ["no"] * 5


@pytest.mark.parametrize(("first", "second"), [(a, b) for i, a in enumerate(STRUCTURES) for b in STRUCTURES[i + 1 :]])
def test_two_structures_are_refused_by_name(fake_engine: MakeEngine, first: str, second: str) -> None:
    llm = LLM(fake_engine("yes"))
    with pytest.raises(InvalidRequestError, match=f"{second} and {first} are both given"):
        llm.generate("?", SamplingParams(**{first: VALUES[first]}), **{second: VALUES[second]})


@pytest.mark.parametrize("name", STRUCTURES)
def test_ignore_eos_excludes_a_structure(name: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"ignore_eos and {name} exclude each other"):
        SamplingParams(ignore_eos=True, **{name: VALUES[name]})


def test_structures_survive_json() -> None:
    for name in STRUCTURES:
        params = SamplingParams(**{name: VALUES[name]})
        assert SamplingParams.from_dict(json.loads(json.dumps(params.to_dict()))) == params


@pytest.mark.parametrize("value", [3, 1.5, [1], b"{}"])
def test_schema_of_another_type_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match="json_schema must be Mapping or str or bool or None"):
        SamplingParams(json_schema=value)


def test_choices_must_be_a_list_of_texts() -> None:
    with pytest.raises(TypeError, match="choices must be"):
        SamplingParams(choices="yes")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="each of choices must be str"):
        SamplingParams(choices=[1])  # type: ignore[arg-type]


def test_no_choices_are_refused(fake_engine: MakeEngine) -> None:
    with pytest.raises(GrammarError, match="choices is empty"):
        LLM(fake_engine("a")).generate("?", choices=[])


def test_choices_are_texts_and_not_patterns(fake_engine: MakeEngine) -> None:
    choices = ["a.b", '"\\n', "ä😀\n", "a"]
    structure = fake_engine().structure("choices", choices)
    assert all(structure.accepts(choice.encode()) for choice in choices)
    assert not structure.accepts(b"axb")


def test_broken_row_is_an_error_of_its_own(fake_engine: MakeEngine) -> None:
    rows = [{"prompt": "a", "regex": "("}, {"prompt": "b", "choices": ["x"]}]
    first, second = LLM(fake_engine("x")).map(rows, on_error="yield")
    assert isinstance(first, GrammarError)
    assert second.text == "x"


def test_logit_bias_against_the_structure_is_named(fake_engine: MakeEngine) -> None:
    # A fake engine has no logit_bias; a processor excludes the same.
    def forbid(token_ids: object, logits: Any) -> None:
        logits[:] = -1.0
        logits[ord("y")] = -float("inf")

    result = LLM(fake_engine("yes")).generate("?", choices=["yes", "no"], logits_processors=[forbid])
    assert result.text == "no"


def test_the_same_structure_is_compiled_once(fake_engine: MakeEngine) -> None:
    engine = fake_engine()
    schema = {"type": "array", "items": {"enum": list(range(500))}}
    first = engine.structure("json_schema", schema)
    assert engine.structure("json_schema", json.dumps(schema)).n_bytes == first.n_bytes
    assert first.n_bytes > 0
