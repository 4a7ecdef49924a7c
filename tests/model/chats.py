"""Conversations and templates for the tests of chat templates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Look up the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Its name."},
                "days": {"type": "integer"},
            },
            "required": ["city"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "Tell the time.", "parameters": {}}}

QUESTION = {"role": "user", "content": "How is the weather in Oslo?"}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"type": "function", "id": "call00001", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
    ],
}
RESULT = {"role": "tool", "tool_call_id": "call00001", "name": "get_weather", "content": '{"sky": "clear"}'}
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi there."},
    {"role": "user", "content": "What is 2 + 2?"},
]


def inputs(messages: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """Return what ``ChatTemplate.render`` takes; lists and dicts become JSON."""
    made: dict[str, Any] = {
        "messages": messages,
        "tools": None,
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "add_generation_prompt": True,
        "continue_final_message": False,
        "enable_thinking": None,
        "reasoning": True,
        "kwargs": {},
        "documents": None,
        "json_schema": None,
        "parse_special_content": False,
    }
    unknown = set(changes) - set(made)
    assert not unknown, unknown
    made.update(changes)
    for name in ("messages", "tools", "documents", "json_schema"):
        if made[name] is not None and not isinstance(made[name], str):
            made[name] = json.dumps(made[name], ensure_ascii=False)
    made["kwargs"] = {name: json.dumps(value) for name, value in made["kwargs"].items()}
    return made


def user(content: str, **changes: Any) -> dict[str, Any]:
    """Return the inputs of one message of the user."""
    return inputs([{"role": "user", "content": content}], **changes)


def llama_tree() -> Path | None:
    """Return the pinned llama.cpp tree if this machine has it."""
    named = os.environ.get("LLAMA_CPP_SOURCE_DIR")
    if named:
        return Path(named)
    command = [sys.executable, str(ROOT / "tools" / "llama_source.py")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return Path(found.stdout.strip()) if found.returncode == 0 else None


TREE = llama_tree()
TEMPLATES = sorted(TREE.glob("models/templates/*.jinja")) if TREE else []
VOCABULARIES = sorted(TREE.glob("models/ggml-vocab-*.gguf")) if TREE else []
NO_TREE = "no llama.cpp tree: set LLAMA_CPP_SOURCE_DIR, or let 'make install' fetch it"
