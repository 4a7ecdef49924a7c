"""What the demo model was trained to write is what llama.cpp's chat layer renders and reads."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from inllama import LLM

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "demo_model"))

from check_format import requests
from dialogue import Dialogue, Turn, prompt


def answers() -> list[tuple[Dialogue, int, Turn, bool]]:
    """Return turns of the assistant in dialogues of the corpus, with what comes before them."""
    found: list[tuple[Dialogue, int, Turn, bool]] = []
    for dialogue, thinking in requests(60):
        for at, turn in enumerate(dialogue.turns):
            if turn.role == "assistant" and bool(turn.thought) == thinking:
                found.append((dialogue, at, turn, thinking))
    return found


def inputs(dialogue: Dialogue, end: int, thinking: bool) -> dict[str, Any]:
    before = Dialogue(dialogue.system, dialogue.tools, dialogue.turns[:end])
    return {
        "messages": json.dumps(before.messages()),
        "tools": json.dumps(list(dialogue.tools)) if dialogue.tools else None,
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "add_generation_prompt": True,
        "continue_final_message": False,
        "enable_thinking": thinking,
        "reasoning": True,
        "kwargs": {},
        "documents": None,
        "json_schema": None,
        "parse_special_content": False,
    }


@pytest.fixture(scope="module")
def turns() -> list[tuple[Dialogue, int, Turn, bool]]:
    found = answers()
    assert len(found) >= 60
    assert sum(turn.call is not None for _, _, turn, _ in found) >= 10
    assert sum(bool(turn.thought) for _, _, turn, _ in found) >= 20
    return found


def test_turns_of_the_corpus_are_read_as_they_were_meant(
    llm: LLM, turns: list[tuple[Dialogue, int, Turn, bool]]
) -> None:
    template = llm.engine.chat_template(None)
    for dialogue, at, turn, thinking in turns:
        parser = template.prepare(inputs(dialogue, at, thinking)).parser
        written = f"<think>\n{turn.thought}\n</think>\n\n{turn.spoken()}" if turn.thought else turn.spoken()
        parsed = parser.parse(written, False)
        assert parsed is not None, written
        content, reasoning, calls, _ = parsed
        assert reasoning.strip() == turn.thought
        assert content.strip() == turn.text
        expected = [] if turn.call is None else [(turn.call.name, {turn.call.argument: turn.call.value})]
        assert [(name, json.loads(arguments)) for name, arguments, _ in calls] == expected


def test_prompts_of_the_corpus_are_those_of_the_template(
    llm: LLM, turns: list[tuple[Dialogue, int, Turn, bool]]
) -> None:
    template = llm.engine.chat_template(None)
    for dialogue, at, _, thinking in turns:
        before = Dialogue(dialogue.system, dialogue.tools, dialogue.turns[:at])
        rendered = template.render(inputs(dialogue, at, thinking)).text
        assert rendered.removeprefix("<|endoftext|>") == prompt(before, thinking).removeprefix("<|endoftext|>")
