"""What makes a prompt of messages and reads the answer, whatever it computes with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Content, reasoning, calls (name, arguments as JSON, id) and which of the first two goes on where the text ends, if it
# does for sure.
ParsedAnswer: TypeAlias = tuple[str, str, tuple[tuple[str, str, str], ...], Literal["content", "reasoning"] | None]


class ChatReader(Protocol):
    """Finds content, reasoning and calls in the text of an answer. Any thread.

    Attributes:
        marks: Characters with which begins all that may end content or reasoning. Text without them makes longer what
            goes on, and changes nothing else.
    """

    @property
    def marks(self) -> frozenset[str]: ...

    def parse(self, text: str, is_partial: bool) -> ParsedAnswer | None:
        """Return what the text says so far; ``None`` if it is not in the template's format."""


class ChatPrompt(Protocol):
    """Messages as a prompt.

    Attributes:
        text: The prompt.
        token_ids: Its tokens, ``(n_tokens,)``.
    """

    @property
    def text(self) -> str: ...
    @property
    def token_ids(self) -> NDArray[np.int32]: ...


class PreparedPrompt(ChatPrompt, Protocol):
    """A prompt with all that its answer needs.

    Attributes:
        parser: Reads the answer.
        grammar: GBNF of the calls, if there are tools.
        is_grammar_lazy: It begins where the answer has a trigger; otherwise with the generation prompt.
        triggers: ``("word" | "pattern" | "pattern_full" | "token", value)``.
        preserved_tokens: Control tokens that the parser must see.
        stops: Texts that end the answer.
        generation_prompt: What the prompt ends with: the beginning of the model's turn.
        supports_thinking: The template has tags around reasoning.
        thinking_start_tag: The one that opens it.
        thinking_end_tags: Those that close it.
        thinking_closing: One of them, with the white space that belongs to it.
    """

    @property
    def parser(self) -> ChatReader: ...
    @property
    def grammar(self) -> str | None: ...
    @property
    def is_grammar_lazy(self) -> bool: ...
    @property
    def triggers(self) -> Sequence[tuple[str, str | int]]: ...
    @property
    def preserved_tokens(self) -> Sequence[int]: ...
    @property
    def stops(self) -> Sequence[str]: ...
    @property
    def generation_prompt(self) -> str: ...
    @property
    def supports_thinking(self) -> bool: ...
    @property
    def thinking_start_tag(self) -> str: ...
    @property
    def thinking_end_tags(self) -> Sequence[str]: ...
    @property
    def thinking_closing(self) -> str: ...


class ChatFormat(Protocol):
    """A chat template.

    Attributes:
        source: Its text; empty for one that has none.
        variants: Names of the model's other templates.
        capabilities: What it can do.
    """

    @property
    def source(self) -> str: ...
    @property
    def variants(self) -> Sequence[str]: ...
    @property
    def capabilities(self) -> Mapping[str, bool]: ...

    def render(self, inputs: dict[str, object]) -> ChatPrompt:
        """Return the prompt."""

    def prepare(self, inputs: dict[str, object]) -> PreparedPrompt:
        """Return the prompt and all that its answer needs."""
