"""Dialogues, and how they are written: the same text as ``template.jinja`` gives, cut where the model has to speak."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

END_OF_TEXT = "<|endoftext|>"
TOOLS_INTRODUCTION = "You can call these tools:"
NO_THOUGHT = "<think>\n\n</think>\n\n"


@dataclass(frozen=True)
class Call:
    """A call of a tool with one argument.

    Attributes:
        name: Which tool.
        argument: Name of its argument.
        value: Value of its argument.
    """

    name: str
    argument: str
    value: str

    def text(self) -> str:
        """Returns what the model writes to call it."""
        arguments = json.dumps({self.argument: self.value}, ensure_ascii=False)
        return f'<tool_call>\n{{"name": "{self.name}", "arguments": {arguments}}}\n</tool_call>'


@dataclass(frozen=True)
class Turn:
    """One message.

    Attributes:
        role: "user", "assistant" or "tool".
        text: What is said, or the result of the tool; empty in a turn that calls a tool.
        thought: The assistant's reasoning before it speaks.
        call: The call that the assistant makes.
        answer: In the turn of a user: what a good answer contains, for the evaluation.
        held_out: In the turn of a user: text by which dialogues are kept for the evaluation; empty for all the others.
    """

    role: str
    text: str = ""
    thought: str = ""
    call: Call | None = None
    answer: tuple[str, ...] = ()
    held_out: str = ""

    def spoken(self) -> str:
        """Returns the text of the message without reasoning."""
        return self.call.text() if self.call else self.text


@dataclass(frozen=True)
class Dialogue:
    """A conversation.

    Attributes:
        system: Text of the system message; empty if there is none.
        tools: Declared tools, as the JSON objects that a chat request carries.
        turns: The messages after it.
    """

    system: str
    tools: tuple[dict[str, Any], ...]
    turns: tuple[Turn, ...]

    def messages(self) -> list[dict[str, Any]]:
        """Returns the messages of a chat request."""
        result: list[dict[str, Any]] = [{"role": "system", "content": self.system}] if self.system else []
        for turn in self.turns:
            message: dict[str, Any] = {"role": turn.role, "content": turn.text}
            if turn.thought:
                message["reasoning_content"] = turn.thought
            if turn.call:
                function = {"name": turn.call.name, "arguments": json.dumps({turn.call.argument: turn.call.value})}
                message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
            if turn.role == "tool":
                message["tool_call_id"] = "call_1"
            result.append(message)
        return result


def system_turn(dialogue: Dialogue) -> str:
    """Returns the system turn with the tools; empty if there is neither a text nor a tool."""
    parts = [dialogue.system] if dialogue.system else []
    if dialogue.tools:
        tools = "".join(json.dumps(tool, ensure_ascii=False) + "\n" for tool in dialogue.tools)
        parts.append(f"{TOOLS_INTRODUCTION}\n<tools>\n{tools}</tools>")
    return "<|im_start|>system\n" + "\n\n".join(parts) + "<|im_end|>\n" if parts else ""


def prompt_turn(turn: Turn) -> str:
    """Returns a turn that the model does not write."""
    text = f"<tool_response>\n{turn.text}\n</tool_response>" if turn.role == "tool" else turn.text
    return f"<|im_start|>{turn.role}\n{text}<|im_end|>\n"


def last_question(turns: Sequence[Turn]) -> int:
    """Returns the index of the last turn of the user, or -1."""
    return max((index for index, turn in enumerate(turns) if turn.role == "user"), default=-1)


def prompt(dialogue: Dialogue, thinking: bool) -> str:
    """Returns the text after which the model speaks, as the template gives it with the generation prompt."""
    question = last_question(dialogue.turns)
    text = system_turn(dialogue)
    for index, turn in enumerate(dialogue.turns):
        if turn.role == "assistant":
            thought = f"<think>\n{turn.thought}\n</think>\n\n" if turn.thought and index > question else ""
            text += f"<|im_start|>assistant\n{thought}{turn.spoken()}<|im_end|>\n"
        else:
            text += prompt_turn(turn)
    return text + "<|im_start|>assistant\n" + ("" if thinking else NO_THOUGHT)


def training_parts(dialogue: Dialogue, thinking: bool, keep: bool) -> Iterator[tuple[str, bool]]:
    """Yields the pieces of the text of a dialogue and whether the model has to learn to write them.

    Args:
        dialogue: What is said.
        thinking: Whether the model reasons before it speaks.
        keep: Whether each turn of the assistant begins with its reasoning, or with an empty one. Otherwise only the
            turns after the last question do, as the template writes them; the first token of the others is then not
            learned, because nothing shows the model that it is a turn of the past.
    """
    yield system_turn(dialogue), False
    question = last_question(dialogue.turns)
    for index, turn in enumerate(dialogue.turns):
        if turn.role != "assistant":
            yield prompt_turn(turn), False
            continue
        yield "<|im_start|>assistant\n", False
        spoken = turn.spoken() + "<|im_end|>"
        past = index < question or (not thinking and index + 1 < len(dialogue.turns))
        if past and not keep:
            first = "<tool_call>" if turn.call else spoken.split(" ")[0]
            yield first, False
            yield spoken.removeprefix(first), True
        elif thinking:
            yield f"<think>\n{turn.thought}\n</think>\n\n{spoken}", True
        else:
            yield NO_THOUGHT, False
            yield spoken, True
        yield "\n", False
