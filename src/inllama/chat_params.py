"""The options of a chat, besides those of every request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inllama.options import Options, option


@dataclass(frozen=True, kw_only=True)
class ChatOptions(Options):
    """How messages become a prompt, and what the model may answer with."""

    tools: tuple[Any, ...] = option(
        "What the model can call: Python functions with type hints, or OpenAI-shaped mappings. Nothing is executed.",
        (),
    )
    tool_choice: str | Mapping[str, Any] = option(
        "Whether it calls one: 'auto', 'none', 'required', a tool's name, or OpenAI's mapping with one.", "auto"
    )
    parallel_tool_calls: bool | None = option(
        "Let it call several at once; by default if the template can show that.", None
    )
    reasoning: bool | None = option(
        "Let the model reason before it answers, or not; by default as its template does. Reasoning is never part of "
        "the content.",
        None,
    )
    reasoning_budget: int | None = option(
        "Longest reasoning; it is closed then, and the answer begins.", None, low=0, high=1 << 30, unit="tokens"
    )
    chat_template: str | None = option(
        "Name of one of the model's templates, or the text of another one (Jinja); by default the model's own.", None
    )
    chat_template_kwargs: Mapping[str, Any] = option("More variables for the template.", {})
    documents: tuple[Any, ...] = option("Documents for templates that show some: mappings.", ())
    add_generation_prompt: bool = option("End the prompt with the beginning of the model's turn.", True)
    continue_final_message: bool = option("Go on with the last message, which is the assistant's.", False)
    parse_special_content: bool = option(
        "Turn the spelling of control tokens inside of messages into those tokens: only for messages that you trust.",
        False,
    )
