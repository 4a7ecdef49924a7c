"""The chat template of a ``FakeEngine``: ChatML, with reasoning and calls in tags."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal

from inllama.chat_format import ParsedAnswer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_THINK = re.compile(r"\s*<think>(.*?)(?:</think>\s*|\Z)", re.DOTALL)
_CALL = re.compile(r"\s*<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
# Whether a reply calls what is required is the test's affair.
_ANYTHING = r"root ::= [\x00-\U0010FFFF]*"


class FakePrompt:
    """What messages become; as ``inllama._core.PreparedChat``."""

    is_grammar_lazy = False
    triggers: tuple[tuple[str, str | int], ...] = ()
    preserved_tokens: tuple[int, ...] = ()
    stops: tuple[str, ...] = ()
    supports_thinking = True
    thinking_start_tag = "<think>"
    thinking_end_tags = ("</think>",)
    thinking_closing = "</think>"

    def __init__(self, text: str, generation_prompt: str, grammar: str | None = None) -> None:
        self.grammar = grammar
        self.text = text + generation_prompt
        self.generation_prompt = generation_prompt
        self.parser = FakeParser()

    @property
    def token_ids(self) -> NDArray[np.int32]:
        """The bytes of the text."""
        import numpy as np  # with the first chat: it takes a while

        return np.frombuffer(self.text.encode(), dtype=np.uint8).astype(np.int32)


class FakeParser:
    """Finds ``<think>...</think>`` and ``<tool_call>{"name": ..., "arguments": ...}</tool_call>`` in a reply."""

    marks = frozenset("<")

    def parse(self, text: str, is_partial: bool) -> ParsedAnswer | None:
        """Return content, reasoning, calls and what goes on; ``None`` for a call that is no JSON."""
        goes_on: Literal["content"] | None = None
        if is_partial and text and "<" not in text:
            goes_on = "content"
        if is_partial:
            text = text[: len(text) - _held_back(text)]
        reasoning = ""
        if found := _THINK.match(text):
            reasoning, text = found[1].strip(), text[found.end() :]
        calls: list[tuple[str, str, str]] = []
        for found in _CALL.finditer(text):
            try:
                call = json.loads(found[1])
                calls.append((call["name"], json.dumps(call.get("arguments", {}), ensure_ascii=False), ""))
            except (ValueError, TypeError, KeyError):
                if not is_partial:
                    return None
        return _CALL.sub("", text), reasoning, tuple(calls), goes_on


def _held_back(text: str) -> int:
    """Return how many characters at the end may become a tag."""
    tags = ("<think>", "</think>", "<tool_call>", "</tool_call>")
    sizes = range(max(map(len, tags)) - 1, 0, -1)
    return next((n for n in sizes if any(len(tag) > n and text.endswith(tag[:n]) for tag in tags)), 0)


class FakeTemplate:
    """Renders messages; as ``inllama._core.ChatTemplate``."""

    source = ""
    variants: tuple[str, ...] = ()
    capabilities = {  # noqa: RUF012 - never changed
        "enable_thinking": True,
        "supports_tools": True,
        "supports_tool_calls": True,
        "supports_system_role": True,
        "supports_parallel_tool_calls": True,
    }

    def render(self, inputs: dict[str, Any]) -> FakePrompt:
        """Return the prompt."""
        messages = json.loads(inputs["messages"])
        grammar = _ANYTHING if inputs["tool_choice"] == "required" else None
        parts = [f"{name}\n{inputs[name]}" for name in ("tools", "documents") if inputs[name]]
        parts += [f"{message['role']}\n{_shown(message)}" for message in messages]
        if inputs["continue_final_message"]:
            return FakePrompt("".join(f"<|{part}|>\n" for part in parts[:-1]) + f"<|{parts[-1]}", "", grammar)
        generation = "<|assistant\n" if inputs["add_generation_prompt"] else ""
        return FakePrompt("".join(f"<|{part}|>\n" for part in parts), generation, grammar)

    def prepare(self, inputs: dict[str, Any]) -> FakePrompt:
        """The same."""
        return self.render(inputs)


def _shown(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, list):
        content = "".join(part["text"] for part in content)
    calls = [
        f"<tool_call>{json.dumps(call['function'], ensure_ascii=False)}</tool_call>"
        for call in message.get("tool_calls") or ()
    ]
    return "".join([content, *calls])
