"""From texts to what an engine makes vectors of, window by window."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from inllama.errors import ContextFullError, DeadlineError, InllamaError, InsufficientMemoryError, InvalidRequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors: TypeAlias = NDArray[np.float32]
    Tokens: TypeAlias = NDArray[np.int32] | Sequence[int]

Text: TypeAlias = str | Sequence[int]
Progress: TypeAlias = Callable[[int, int | None], object]
T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

# Tokens and texts that are handed over together: some steps' work, so that the engine never waits for Python.
_WINDOW_TOKENS = 1 << 14
_WINDOW_TEXTS = 1 << 10
# Texts that are tokenized together.
_READ_TEXTS = 64


class TextLimits(NamedTuple):
    """What an engine makes of texts.

    Attributes:
        pooling: How the vectors of tokens become one.
        n_values: Values of a vector.
        n_positions: Tokens that the model can compute in one text.
        n_rows: Tokens of one text for which there may be memory.
        bytes_per_row: Of that, for each token.
    """

    pooling: str
    n_values: int
    n_positions: int
    n_rows: int
    bytes_per_row: int


class TextEngine(Protocol):
    """What an engine tells and does for that."""

    def text_limits(self, pooling: str | None) -> TextLimits:
        """Return what it makes of texts with that pooling; ``None``: the model's own."""

    def encode_texts(self, texts: Sequence[str]) -> Sequence[Tokens]:
        """Return the tokens of each text, with those that the model puts around it."""

    def encode_pair(self, query: str, document: str) -> Tokens:
        """Return the tokens by which the model scores a document."""

    def check_usable(self) -> None:
        """Raise ``EngineClosedError`` once closed, ``ForkedEngineError`` in a child process."""


@dataclass(slots=True)
class PreparedTexts:
    """A window of texts as the native engine takes it.

    Attributes:
        texts: The tokens of each.
        first: Index of the first one among all texts of the call.
        limits: What is done with their vectors, and when.
        deadline: When it fails, by ``time.monotonic()``.
        started: When the call was made, by the same clock.
        waits: Whether it waits while the queue is full.
        is_reproducible: Whether nothing else may run with it.
    """

    texts: list[Any]
    first: int
    limits: dict[str, object]
    deadline: float | None
    started: float
    waits: bool = True
    is_reproducible: bool = False

    def current_limits(self) -> dict[str, object]:
        """Return ``limits`` with the time that is left.

        Raises:
            DeadlineError: None is left.
        """
        left = None if self.deadline is None else self.deadline - time.monotonic()
        if left is not None and left <= 0:
            elapsed = time.monotonic() - self.started
            raise DeadlineError(
                f"the time of the call was over after {elapsed:.3f} s; give a larger timeout_s", elapsed_s=elapsed
            )
        return {**self.limits, "timeout_s": left}


class Encoder(Protocol[T_contra]):
    """How what is given becomes tokens."""

    def encode(self, items: Sequence[T_contra]) -> Sequence[Tokens]:
        """Return the tokens of each item."""

    def cut(self, item: T_contra, tokens: Tokens, n_most: int) -> Tokens:
        """Return at most ``n_most`` tokens of an item that has more."""


class TextEncoder:
    """Texts, with a prefix before each, or token ids as they are."""

    def __init__(self, engine: TextEngine, prefix: str = "") -> None:
        self._engine = engine
        self._prefix = prefix
        self._tail: list[int] | None = None

    def encode(self, items: Sequence[Text]) -> Sequence[Tokens]:
        """Return the tokens of each text."""
        texts = [self._prefix + item for item in items if isinstance(item, str)]
        encoded = iter(self._engine.encode_texts(texts))
        return [next(encoded) if isinstance(item, str) else self._checked(item) for item in items]

    def cut(self, item: Text, tokens: Tokens, n_most: int) -> Tokens:
        """Cut the text, not what the model wants behind it."""
        tail = self._end_marks() if isinstance(item, str) else []
        return [*tokens[: max(0, n_most - len(tail))], *tail][:n_most]

    def _end_marks(self) -> list[int]:
        if self._tail is None:
            marks = [int(token) for token in self._engine.encode_texts([""])[0]]
            sample = [int(token) for token in self._engine.encode_texts(["a"])[0]]
            # What both end with, but not what both begin with.
            n_head = next((i for i, (a, b) in enumerate(zip(marks, sample, strict=False)) if a != b), len(marks))
            self._tail = marks[n_head:]
        return self._tail

    def _checked(self, item: Any) -> Tokens:
        check_text_type(item)
        if any(not hasattr(token, "__index__") for token in item):
            raise TypeError("a text of token ids must hold integers")
        if self._prefix:
            raise TypeError("prefix is put before texts, not before token ids")
        return item  # type: ignore[no-any-return]


def check_text_type(text: Any) -> None:
    """Raise ``TypeError`` unless ``text`` can be a text or token ids."""
    if isinstance(text, (bytes, bytearray, memoryview)):
        raise TypeError(f"a text must be str or token ids, not {type(text).__name__}; decode it first")
    if not isinstance(text, (str, Sequence)) and not hasattr(text, "__array__"):
        raise TypeError(f"a text must be str or token ids, not {type(text).__name__}")


class PairEncoder:
    """Documents, each with the query before it."""

    def __init__(self, engine: TextEngine, query: str) -> None:
        if not isinstance(query, str):
            raise TypeError(f"query must be str, not {type(query).__name__}")
        self._engine = engine
        self._query = query

    def encode(self, items: Sequence[str]) -> Sequence[Tokens]:
        """Return the tokens of each pair."""
        for item in items:
            if not isinstance(item, str):
                raise TypeError(f"a document must be str, not {type(item).__name__}")
        return [self._engine.encode_pair(self._query, item) for item in items]

    def cut(self, item: str, tokens: Tokens, n_most: int) -> Tokens:
        """Cut the document, to as many characters as fit."""
        low, high = 0, len(item)
        best = self._engine.encode_pair(self._query, "")
        if len(best) > n_most:
            return tokens  # the query alone is too long
        while low < high:
            middle = (low + high + 1) // 2
            made = self._engine.encode_pair(self._query, item[:middle])
            if len(made) <= n_most:
                low, best = middle, made
            else:
                high = middle - 1
        return best


class TextWindows(Generic[T]):
    """The items of one call, read as they are wanted.

    Args:
        encoder: How an item becomes tokens.
        items: Any number.
        limits: What the engine makes of texts.
        truncate: Whether items that are too long are cut.
        request: What the engine is asked to do with the vectors.
        timeout_s: For all of them.
    """

    def __init__(
        self,
        encoder: Encoder[T],
        items: Iterable[T],
        limits: TextLimits,
        request: dict[str, object],
        *,
        truncate: bool,
        timeout_s: float | None,
    ) -> None:
        self._encoder = encoder
        self._items: Iterator[T] = iter(items)
        self._limits = limits
        self._request = {**request, "pooling": limits.pooling}
        self._truncate = truncate
        self._left: list[tuple[T, Tokens]] = []
        self._started = time.monotonic()
        self._deadline = None if timeout_s is None else self._started + timeout_s
        self.n_taken = 0

    def next(self) -> PreparedTexts | None:
        """Return the next window; ``None``: there is no more.

        Raises:
            ContextFullError: A text is too long for the model; ``.index`` says which.
            InsufficientMemoryError: A text is too long for ``embed_memory``; ``.index`` says which.
            InvalidRequestError: A text has no tokens; ``.index`` says which.
        """
        texts: list[Tokens] = []
        n_tokens = 0
        first = self.n_taken
        while len(texts) < _WINDOW_TEXTS and n_tokens < _WINDOW_TOKENS:
            if not self._left and not self._read():
                break
            item, tokens = self._left.pop(0)
            fitting = self._fitting(item, tokens)
            texts.append(fitting)
            n_tokens += len(fitting)
            self.n_taken += 1
        if not texts:
            return None
        return PreparedTexts(texts, first, self._request, self._deadline, self._started)

    def _read(self) -> bool:
        items = list(islice(self._items, _READ_TEXTS))
        try:
            self._left = list(zip(items, self._encoder.encode(items), strict=True))
        except InllamaError:
            self._blame(items)
            raise
        return bool(items)

    def _blame(self, items: Sequence[T]) -> None:
        for offset, item in enumerate(items):
            try:
                self._encoder.encode([item])
            except InllamaError as error:
                raise _indexed(error, self.n_taken + offset) from None

    def _fitting(self, item: T, tokens: Tokens) -> Tokens:
        limits = self._limits
        n_most = min(limits.n_positions, limits.n_rows)
        if len(tokens) > n_most and self._truncate:
            tokens = self._encoder.cut(item, tokens, n_most)
        index, n_tokens = self.n_taken, len(tokens)
        if n_tokens == 0:
            raise _indexed(InvalidRequestError(f"text {index} has no tokens; leave it out"), index)
        if n_tokens > limits.n_positions:
            remedy = "what is before it is too long already" if self._truncate else "shorten it, or give truncate=True"
            raise ContextFullError(
                f"text {index} has {n_tokens} tokens but the model takes {limits.n_positions}; {remedy}",
                index=index,
                n_prompt=n_tokens,
                n_ctx=limits.n_positions,
            )
        if n_tokens > limits.n_rows:
            needed = n_tokens * limits.bytes_per_row
            raise InsufficientMemoryError(
                f"text {index} has {n_tokens} tokens, which take {needed} bytes, and embed_memory has room for "
                f"{limits.n_rows}; shorten it, give truncate=True, or a larger embed_memory",
                index=index,
                n_tokens=n_tokens,
                needed_bytes=needed,
                limit_bytes=limits.n_rows * limits.bytes_per_row,
            )
        return tokens


def _indexed(error: InllamaError, index: int) -> InllamaError:
    error.fields.setdefault("index", index)
    return error
