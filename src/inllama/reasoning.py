"""Where reasoning begins and ends in the output of a model, by its chat template."""

from __future__ import annotations

from dataclasses import dataclass

from inllama.chat_format import PreparedPrompt


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How a template marks reasoning, and where its prompt ends.

    Attributes:
        start: The tag that opens it.
        ends: The tags that close it.
        closing: One of them, with the white space that belongs to it.
        is_open: The prompt ends inside of reasoning.
        is_possible: The model can open it.
    """

    start: str
    ends: tuple[str, ...]
    closing: str
    is_open: bool
    is_possible: bool

    @classmethod
    def of(cls, prepared: PreparedPrompt) -> Reasoning | None:
        """Return what the template says; ``None`` for one without such tags."""
        start, ends = prepared.thinking_start_tag, tuple(prepared.thinking_end_tags)
        if not prepared.supports_thinking or not start or not ends:
            return None
        opened = prepared.generation_prompt.rfind(start)
        closed = max(prepared.generation_prompt.rfind(end) for end in ends)
        return cls(
            start, ends, prepared.thinking_closing, is_open=opened > closed, is_possible=opened < 0 and closed < 0
        )

    def structure_start(self) -> dict[str, object] | None:
        """Return where a structure of the answer begins; ``None``: at once."""
        return {"after": list(self.ends)} if self.is_open else None
