"""Structures of answers that a model's family writes inside of something, and control tokens in what surrounds them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chats import NO_TREE, QUESTION, TEMPLATES, WEATHER

from inllama import LLM, Engine, UnsupportedError
from inllama._core import MaskSource, Structure
from inllama.chat_request import ChatCall, ChatRequest

SCHEMA = {"type": "object", "properties": {"sky": {"enum": ["clear", "grey"]}}, "required": ["sky"]}
ANSWER = '{"sky": "clear"}'
# What each family writes around an answer, by the name of its template.
FRAMES = {
    "openai-gpt-oss-120b": [
        f"<|channel|>final<|message|>{ANSWER}",
        f"<|channel|>final <|constrain|>json<|message|>{ANSWER}",
        f"<|channel|>analysis<|message|>Clouds?<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}",
    ],
    "Cohere2MoE": [f"Clouds?<|END_THINKING|><|START_TEXT|>{ANSWER}<|END_TEXT|>"],
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": [f"<|START_THINKING|>Clouds?<|END_THINKING|>{ANSWER}"],
    "muse-glimmer": [
        f" to=user<|message|>{ANSWER}",
        f" to=self<|message|>Hm<|eom|><|start|>assistant<|message|>{ANSWER}",
    ],
    "LFM2-8B-A1B": [ANSWER],
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine("demo", n_ctx=1024, max_running=1) as started:
        yield started


def template(name: str) -> str:
    found = [path for path in TEMPLATES if path.stem == name]
    if not found:
        pytest.skip(NO_TREE)
    return Path(found[0]).read_text(encoding="utf-8")


def chat(engine: Engine, name: str, **options: Any) -> ChatRequest:
    options = {"chat_template": template(name), "json_schema": SCHEMA, **options}
    return ChatCall(engine, None, options, is_streaming=False).prepare([QUESTION])


@pytest.mark.parametrize(("name", "written"), [(name, text) for name, texts in FRAMES.items() for text in texts])
def test_an_answer_in_a_frame_follows_its_schema(engine: Engine, name: str, written: str) -> None:
    made = chat(engine, name)
    structure, prefix = made.request.limits["structure"], made.prompt.generation_prompt
    assert isinstance(structure, Structure)
    assert made.request.limits["structure_start"] == {"prefix": prefix}
    assert made.prompt.text.endswith(prefix)
    assert structure.accepts((prefix + written).encode())
    assert not structure.accepts((prefix + written.replace("clear", "blue")).encode())
    assert not structure.accepts((prefix + written.replace(ANSWER, "Clear.")).encode())
    parsed = made.parser.parse(written, False)
    assert parsed is not None
    assert json.loads(parsed[0]) == {"sky": "clear"}


def test_a_model_writes_its_answer_into_the_frame(engine: Engine) -> None:
    for seed in range(4):
        options = {"chat_template": template("LFM2-8B-A1B"), "json_schema": SCHEMA, "max_tokens": 100}
        reply = LLM(engine).chat([QUESTION], seed=seed, **options)
        assert reply.choices[0].finish_reason == "stop"
        assert json.loads(reply.text)["sky"] in {"clear", "grey"}


@pytest.mark.parametrize("options", [{"json_schema": None, "regex": "[a-z]+"}, {"tools": [WEATHER]}])
def test_what_a_frame_cannot_have_inside_is_refused(engine: Engine, options: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="format of their own"):
        chat(engine, "openai-gpt-oss-120b", **options)


def test_a_family_without_a_grammar_for_answers_is_refused(engine: Engine) -> None:
    with pytest.raises(UnsupportedError, match="cannot have a structure inside"):
        chat(engine, "meetkai-functionary-medium-v3.2")


def test_control_tokens_of_the_format_can_be_written_as_such(engine: Engine) -> None:
    (token,) = engine.encode("<|im_start|>", parse_special=True, add_special=False)
    assert engine.model.tokenizer.is_control(token)
    grammar = 'root ::= "<|im_start|>" [a-z<>|_]* "!"'

    def is_allowed(source: MaskSource) -> bool:
        mask = source.fill()
        assert mask is not None
        return bool(np.unpackbits(mask.view(np.uint8), bitorder="little")[token])

    assert not is_allowed(engine.structure("grammar", grammar).start())
    for begin in (lambda source: source.accept(token), lambda source: source.accept_bytes(b"<|im_start|>")):
        source = engine.structure("grammar", grammar, spelled=[token]).start()
        assert is_allowed(source)
        assert begin(source)
        assert not is_allowed(source)  # in other text it is none
        assert source.accept_bytes(b"a!")
        assert source.can_end
