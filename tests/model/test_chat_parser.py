"""Answers are split into content, reasoning and tool calls, whole and while they come."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chats import CLOCK, NO_TREE, QUESTION, TEMPLATES, WEATHER, inputs, user

from inllama import Model
from inllama._core import ChatParser, ChatTemplate
from inllama.model import demo_path

REASONED = "<think>\nOslo is in Norway.\n</think>\n\n"
CALLED = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 2}}\n</tool_call>'


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with Model(demo_path(), vocab_only=True) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def parser(model: Model) -> ChatParser:
    chat = ChatTemplate(model).prepare(inputs([QUESTION], tools=[WEATHER, CLOCK], parallel_tool_calls=True))
    return chat.parser


def test_an_answer_is_split_into_its_parts(parser: ChatParser) -> None:
    parsed = parser.parse(REASONED + CALLED, False)
    assert parsed is not None
    content, reasoning, calls, _ = parsed
    assert content.strip() == ""
    assert reasoning.strip() == "Oslo is in Norway."
    [(name, arguments, _)] = calls
    assert name == "get_weather"
    assert json.loads(arguments) == {"city": "Oslo", "days": 2}


def test_plain_content_is_content(parser: ChatParser) -> None:
    assert parser.parse("It is sunny.", False) == ("It is sunny.", "", (), None)


def test_each_beginning_of_an_answer_grows_into_the_whole(parser: ChatParser) -> None:
    text = REASONED + CALLED
    before = ("", "", "", "")
    for n in range(len(text) + 1):
        parsed = parser.parse(text[:n], True)
        if parsed is None:
            continue
        content, reasoning, calls, _ = parsed
        now = (content, reasoning, calls[0][0] if calls else "", calls[0][1] if calls else "")
        assert all(new.startswith(old.rstrip()) or not old.strip() for new, old in zip(now, before, strict=True)), n
        before = now
    assert json.loads(before[3]) == {"city": "Oslo", "days": 2}


@pytest.mark.parametrize(
    "text", ["<tool_call>\nnothing\n</tool_call>", '<tool_call>\n{"name": "unknown", "arguments": {}}\n</tool_call>']
)
def test_what_is_not_in_the_format_is_no_parse(parser: ChatParser, text: str) -> None:
    assert parser.parse(text, False) is None


@pytest.mark.parametrize("opening", ["[", '{"a":', "[{"])
def test_deep_nesting_in_an_answer_is_no_parse(parser: ChatParser, opening: str) -> None:
    text = '<tool_call>\n{"name": "get_weather", "arguments": {"city": ' + opening * 60000
    results: list[object] = []
    # The main thread's stack is the largest.
    thread = threading.Thread(target=lambda: results.append((parser.parse(text, True), parser.parse(text, False))))
    thread.start()
    thread.join()
    assert results
    assert parser.parse("fine", False) == ("fine", "", (), None)


def test_many_threads_share_a_parser(parser: ChatParser) -> None:
    expected = parser.parse(REASONED + CALLED, False)
    results: list[object] = []
    threads = [
        threading.Thread(target=lambda: results.extend(parser.parse(REASONED + CALLED, False) for _ in range(50)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 200
    assert all(result == expected for result in results)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_no_text_harms_the_parser_of_a_family(model: Model, path: Path) -> None:
    template = ChatTemplate(model, path.read_text(encoding="utf-8"))
    chat = template.prepare(inputs([QUESTION], tools=[WEATHER, CLOCK]))
    pieces = [*(str(value) for _, value in chat.triggers), *chat.thinking_end_tags, chat.thinking_start_tag]
    odd = ["{", "[", '"', "\\", "\0", "é", "get_weather", "<", ">", "\n", "</", "1e", "null", ":", ","]
    for text in ("", *pieces, *(piece + end for piece in pieces for end in odd), "".join(pieces + odd) * 20):
        for is_partial in (True, False):
            chat.parser.parse(text, is_partial)


def test_there_are_families_to_test() -> None:
    if not TEMPLATES:
        pytest.skip(NO_TREE)


@pytest.mark.slow
def test_parsing_each_chunk_takes_a_hundredth_of_the_time_of_decoding(model: Model) -> None:
    parser = ChatTemplate(model).prepare(inputs([QUESTION], tools=[WEATHER, CLOCK])).parser
    words = "word " * 1200
    text = f"<think>\n{words}\n</think>\n\n{words}" + CALLED.replace("Oslo", words)
    step = len(text) // 4096
    started = time.perf_counter()
    for n in range(4096):
        parser.parse(text[: (n + 1) * step], True)
    taken = time.perf_counter() - started
    assert taken < 2 * 0.01 * 4096 * 0.020  # twice the goal, for machines that do other things


def test_continuing_leaves_out_what_was_given(model: Model) -> None:
    messages = [QUESTION, {"role": "assistant", "content": "It is"}]
    chat = ChatTemplate(model).prepare(inputs(messages, continue_final_message=True))
    parsed = chat.parser.parse(" sunny.", False)
    assert parsed is not None
    assert parsed[0].strip() == "sunny."


def test_a_parser_outlives_its_template(model: Model) -> None:
    parser = ChatTemplate(model).prepare(user("Hi")).parser
    assert parser.parse("Hello", False) == ("Hello", "", (), None)
