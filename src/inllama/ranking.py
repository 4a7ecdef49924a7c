"""Texts to scores: the calls ``rerank``, ``rerank_scores`` and ``classify``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inllama.errors import InvalidRequestError
from inllama.options import split_keywords
from inllama.params import RankOptions
from inllama.request import is_one
from inllama.texts import Encoder, PairEncoder, Text, TextEncoder, TextWindows
from inllama.vectors import VectorCall, VectorRows

if TYPE_CHECKING:
    from inllama.engine import Engine
    from inllama.texts import Vectors


@dataclass(frozen=True, slots=True)
class Ranked:
    """A document's place.

    Attributes:
        index: Of the document among those that were given.
        score: The larger, the better it answers the query; in the model's own unit.
    """

    index: int
    score: float


@dataclass(frozen=True, slots=True)
class Classification:
    """What a model says a text is.

    Attributes:
        label: The most probable label.
        probabilities: Of each label.
    """

    label: str
    probabilities: Mapping[str, float]


class _ScoreCall(VectorCall):
    """Texts or pairs, each with a score for each label."""

    def __init__(self, engine: Engine, encoder: Encoder[Any], items: Iterable[Any], options: Mapping[str, Any]) -> None:
        (asked,) = split_keywords(options, RankOptions)
        checked = RankOptions.from_keywords(asked)
        limits = engine.text_limits("rank")
        self._rows = VectorRows(limits.n_values, items)
        windows = TextWindows(
            encoder,
            items,
            limits,
            {"dimensions": limits.n_values, "normalize": "none", "priority": checked.priority},
            truncate=checked.truncate,
            timeout_s=checked.timeout_s,
        )
        super().__init__(windows, self._rows, items, None)


class RerankCall(_ScoreCall):
    """A call of ``rerank`` or ``rerank_scores``.

    Raises:
        InvalidRequestError: An option has a value that is not possible.
        TypeError: An option that does not exist, or something else than texts.
        UnsupportedError: The model scores no texts.
    """

    def __init__(
        self,
        engine: Engine,
        query: str,
        documents: Iterable[str],
        options: Mapping[str, Any],
        top_n: int | None = None,
    ) -> None:
        engine.check_usable()
        if isinstance(documents, (str, Mapping)) or not isinstance(documents, Iterable):
            raise TypeError(f"documents must be an iterable of texts, not {type(documents).__name__}")
        if top_n is not None and (isinstance(top_n, bool) or not isinstance(top_n, int)):
            raise TypeError(f"top_n must be int, not {type(top_n).__name__}")
        if top_n is not None and top_n < 1:
            raise InvalidRequestError(f"top_n is {top_n} but must be at least 1", option="top_n", value=top_n)
        self._top_n = top_n
        super().__init__(engine, PairEncoder(engine, query), documents, options)

    def scores(self) -> Vectors:
        """Return the score of each document, ``(n,)``: the one of the model's first label."""
        import numpy as np

        return np.ascontiguousarray(self._rows.result()[:, 0])

    def ranked(self) -> list[Ranked]:
        """Return the documents, the best first; of those with the same score, the earlier first."""
        scores = self.scores().tolist()
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        return [Ranked(index, scores[index]) for index in order[: self._top_n]]


class ClassifyCall(_ScoreCall):
    """A call of ``classify``; raises as ``RerankCall``."""

    def __init__(self, engine: Engine, texts: Text | Iterable[Text], options: Mapping[str, Any]) -> None:
        engine.check_usable()
        if isinstance(texts, Mapping) or not isinstance(texts, Iterable):
            raise TypeError(f"texts must be text, token ids or an iterable of those, not {type(texts).__name__}")
        self._is_one = (isinstance(texts, str) or hasattr(texts, "__getitem__")) and is_one(texts)
        super().__init__(engine, TextEncoder(engine), [texts] if self._is_one else texts, options)
        self._labels = engine.labels
        self._gives_probabilities = engine.gives_probabilities

    def result(self) -> Classification | list[Classification]:
        """Return what each text is."""
        made = [self._classification(row) for row in self._rows.result().tolist()]
        return made[0] if self._is_one else made

    def _classification(self, row: Sequence[float]) -> Classification:
        values = list(row) if self._gives_probabilities else _probabilities(row)
        labels = self._labels or tuple(f"LABEL_{index}" for index in range(len(values)))
        best = max(range(len(values)), key=values.__getitem__)
        return Classification(labels[best], dict(zip(labels, values, strict=True)))


def _probabilities(logits: Sequence[float]) -> list[float]:
    if len(logits) == 1:  # how likely it is, or not
        return [1 / (1 + math.exp(-max(-700.0, min(700.0, logits[0]))))]
    largest = max(logits)
    parts = [math.exp(value - largest) for value in logits]
    return [part / sum(parts) for part in parts]
