"""Texts to vectors: the calls ``embed`` and ``embed_tokens``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from inllama.errors import InvalidRequestError, UnsupportedError
from inllama.options import split_keywords
from inllama.params import EmbedOptions
from inllama.request import is_one
from inllama.texts import Progress, Text, TextEncoder, TextLimits, TextWindows, check_text_type
from inllama.vectors import TokenRows, VectorCall, VectorRows

if TYPE_CHECKING:
    from inllama.engine import Engine
    from inllama.texts import Vectors


class EmbedCall(VectorCall):
    """A call of ``embed``, with ``result``.

    Raises:
        EngineClosedError: ``close()`` was called.
        InvalidRequestError: An option has a value that is not possible.
        TypeError: An option that does not exist, or something else than texts.
        UnsupportedError: The model names no pooling, and none is given.
    """

    def __init__(
        self,
        engine: Engine,
        texts: Text | Iterable[Text],
        options: Mapping[str, Any],
        out: Any = None,
        progress: Progress | None = None,
    ) -> None:
        asked = _asked(options)
        engine.check_usable()
        self._is_one, items = _items(texts)
        limits = engine.text_limits(asked.pooling)
        if limits.pooling == "rank":
            raise UnsupportedError(
                "this model scores texts: use rerank() or classify(), or give pooling='mean', 'cls' or 'last'"
            )
        width = _width(asked, limits.n_values)
        self._rows = VectorRows(width, items, out)
        super().__init__(_windows(engine, asked, items, limits, width), self._rows, items, progress)

    def result(self) -> Vectors:
        """Return the vectors, ``(n, n_values)``; of one text, ``(n_values,)``."""
        rows = self._rows.result()
        return cast("Vectors", rows[0]) if self._is_one else rows


class EmbedTokensCall(VectorCall):
    """A call of ``embed_tokens``, with ``result``; raises as ``EmbedCall``."""

    def __init__(self, engine: Engine, texts: Text | Iterable[Text], options: Mapping[str, Any]) -> None:
        asked = _asked(options)
        if asked.pooling is not None:
            raise TypeError("'pooling' has no effect where each token has a vector")
        engine.check_usable()
        self._is_one, items = _items(texts)
        limits = engine.text_limits("none")
        width = _width(asked, limits.n_values)
        self._rows = TokenRows(width)
        super().__init__(_windows(engine, asked, items, limits, width), self._rows, items, None)

    def result(self) -> Vectors | list[Vectors]:
        """Return an array for each text, ``(n_tokens, n_values)``; of one text, the array."""
        arrays = self._rows.result()
        return arrays[0] if self._is_one else arrays


def _asked(options: Mapping[str, Any]) -> EmbedOptions:
    (asked,) = split_keywords(options, EmbedOptions)
    return EmbedOptions.from_keywords(asked)


def _items(texts: Any) -> tuple[bool, Iterable[Text]]:
    """Return whether it is one text, and the texts."""
    if isinstance(texts, (bytes, bytearray, memoryview)):
        check_text_type(texts)
    if isinstance(texts, Mapping) or not isinstance(texts, Iterable):
        raise TypeError(f"texts must be text, token ids or an iterable of those, not {type(texts).__name__}")
    is_row = isinstance(texts, str) or hasattr(texts, "__getitem__")
    return (True, [cast("Text", texts)]) if is_row and is_one(texts) else (False, texts)


def _width(asked: EmbedOptions, n_values: int) -> int:
    if asked.dimensions is not None and asked.dimensions > n_values:
        raise InvalidRequestError(
            f"dimensions is {asked.dimensions} but the vectors have {n_values} values",
            option="dimensions",
            value=asked.dimensions,
            limit=n_values,
        )
    return asked.dimensions or n_values


def _windows(
    engine: Engine, asked: EmbedOptions, items: Iterable[Text], limits: TextLimits, width: int
) -> TextWindows[Text]:
    return TextWindows(
        TextEncoder(engine, asked.prefix),
        items,
        limits,
        {"dimensions": width, "normalize": asked.normalize, "priority": asked.priority},
        truncate=asked.truncate,
        timeout_s=asked.timeout_s,
    )
