"""Where a parser says that content or reasoning goes on, reading on gives what parsing everything again gives."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chats import CALL, QUESTION, TEMPLATES, WEATHER, inputs

from inllama import Model
from inllama._core import ChatParser, ChatTemplate
from inllama.chat_format import ParsedAnswer
from inllama.errors import InllamaError
from inllama.model import demo_path

CONTENT = 'Fine, 5 < 7 > 3.\n\n- "one" [two] {three: 3}\n- `four` \\ five ünd → six\n\n\tEnd of it. '
ANSWERS: list[dict[str, Any]] = [
    {"role": "assistant", "content": CONTENT},
    {"role": "assistant", "content": CONTENT, "reasoning_content": "\n Clouds?\n\nOr [none], <maybe>. \n"},
    CALL,
    {**CALL, "content": "I look.", "reasoning_content": "It wants a tool."},
]
# What may begin something in some family, pieces of it, and what begins nothing.
PIECES = ["<think>", "</think>", "<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<|", "|>", "<"]
PIECES += ["\n", "\n\n", " ", "  ", "\t", "{", "}", '{"city": "Oslo"}', '"', "'", "`", "[", "]", "(", ")", "\\"]
PIECES += ["a", "Oslo", " the", "ü", "→", "0"]


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with Model(demo_path(), vocab_only=True) as loaded:
        yield loaded


def longer(answer: ParsedAnswer, text: str) -> ParsedAnswer:
    content, reasoning, calls, goes_on = answer
    if goes_on == "content":
        return content + text, reasoning, calls, goes_on
    return content, reasoning + text, calls, goes_on


def read_on(parser: ChatParser, text: str, chance: random.Random) -> int:
    """Parse each beginning of a text; returns behind how many of them a parser need not read again."""
    n_open = 0
    before: ParsedAnswer | None = None
    plain = [piece for piece in PIECES if parser.marks.isdisjoint(piece)]
    for n in range(len(text) + 1):
        answer = parser.parse(text[:n], True)
        if before is not None and before[3] is not None and text[n - 1] not in parser.marks:
            assert answer == longer(before, text[n - 1]), text[:n]
            n_open += 1
        if answer is not None and answer[3] is not None:
            more = "".join(chance.choices(plain, k=3))
            assert parser.parse(text[:n] + more, True) == longer(answer, more), (text[:n], more)
        before = answer
    return n_open


def texts_of(chat: ChatTemplate, asked_text: str, tools: list[Any] | None) -> list[str]:
    """Return what models of the family write, as far as the template shows it."""
    texts = [CONTENT, "\n Hm.\n</think>\n\n" + CONTENT]
    for message in ANSWERS:
        try:
            whole = chat.render(inputs([QUESTION, message], tools=tools, add_generation_prompt=False)).text
        except InllamaError:
            continue  # it has no calls
        n_same = next((i for i, (a, b) in enumerate(zip(asked_text, whole, strict=False)) if a != b), len(asked_text))
        texts.append(whole[n_same:])
    return texts


@pytest.mark.parametrize("with_tools", [False, True], ids=["plain", "tools"])
@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: Path(path).stem)
def test_reading_on_is_the_same_as_reading_again(model: Model, path: Path, with_tools: bool) -> None:
    chance = random.Random(path.stem)
    chat = ChatTemplate(model, Path(path).read_text(encoding="utf-8"))
    tools = [WEATHER] if with_tools else None
    try:
        asked = chat.prepare(inputs([QUESTION], tools=tools))
    except InllamaError as error:
        pytest.skip(f"this template is not for such a request: {error}")
    n_open = sum(read_on(asked.parser, text, chance) for text in texts_of(chat, asked.text, tools))
    for _ in range(5):
        n_open += read_on(asked.parser, "".join(chance.choices(PIECES, k=40)), chance)
    # That family has JSON in place of an answer, once there are tools.
    if not (with_tools and path.stem == "CohereForAI-c4ai-command-r-plus-tool_use"):
        assert n_open > 20, "every piece would be parsed from the beginning"


def test_content_that_is_checked_is_read_again(model: Model) -> None:
    chat = ChatTemplate(model, Path(next(p for p in TEMPLATES if p.stem == "Qwen-Qwen3-0.6B")).read_text("utf-8"))
    asked = chat.prepare(inputs([QUESTION], json_schema={"type": "object"}, enable_thinking=False))
    answer = asked.parser.parse('{"city": "Os', True)
    assert answer is not None
    assert answer[3] is None


def test_white_space_is_no_reasoning_yet(model: Model) -> None:
    chat = ChatTemplate(model, Path(next(p for p in TEMPLATES if p.stem == "Qwen-Qwen3-0.6B")).read_text("utf-8"))
    parser = chat.prepare(inputs([QUESTION])).parser
    assert parser.parse("<think>\n ", True) == ("", "", (), None)
    assert parser.parse("<think>\n a", True) == ("", " a", (), "reasoning")
