"""Every grammar that llama.cpp's chat layer writes for its templates becomes masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chats import CLOCK, QUESTION, TEMPLATES, WEATHER, inputs

from inllama import Engine, TemplateError
from inllama._core import ChatTemplate, Structure

ASKED: dict[str, dict[str, Any]] = {
    "auto": inputs([QUESTION], tools=[WEATHER, CLOCK]),
    "several": inputs([QUESTION], tools=[WEATHER, CLOCK], parallel_tool_calls=True),
    "required": inputs([QUESTION], tools=[WEATHER, CLOCK], tool_choice="required"),
    "schema": inputs([QUESTION], json_schema={"type": "object", "properties": {"a": {"type": "integer"}}}),
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine("demo", n_ctx=256, max_running=1) as started:
        yield started


def structures(engine: Engine, path: Path) -> Iterator[tuple[str, Structure]]:
    """Yield what becomes of the chat layer's grammars for a template, by what was asked for."""
    template = ChatTemplate(engine.model, path.read_text(encoding="utf-8"))
    for name, asked in ASKED.items():
        try:
            prepared = template.prepare(asked)
        except TemplateError:
            continue  # it refuses such a conversation
        if prepared.grammar is not None:
            yield name, engine.structure("grammar", prepared.grammar, spelled=prepared.preserved_tokens)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_every_grammar_of_a_template_becomes_masks(engine: Engine, path: Path) -> None:
    found = dict(structures(engine, path))
    for name, structure in found.items():
        assert structure.is_compiled, name
        assert structure.start().fill().any(), name
    assert found
