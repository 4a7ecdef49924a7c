"""What ``LLM`` makes of texts besides generating: vectors, scores and labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload

from inllama.embedding import EmbedCall, EmbedTokensCall
from inllama.engine import Engine
from inllama.ranking import Classification, ClassifyCall, Ranked, RerankCall
from inllama.texts import Progress, Text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class VectorFace:
    """A part of ``LLM``."""

    _engine: Engine

    def embed(
        self,
        texts: Text | Iterable[Text],
        *,
        out: NDArray[np.float32] | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> NDArray[np.float32]:
        """Return what texts mean, as vectors: those of like texts are alike.

        Args:
            texts: A text, token ids, or an iterable of those, which is read as it is needed: memory stays flat.
            out: A float32 array ``(n, n_values)`` to be filled, such as a ``numpy.memmap``; with room for all texts.
            progress: Called with the number of texts that are done, and of all, or ``None`` if that is not known.
            **options: Fields of ``EmbedOptions``.

        Returns:
            float32 ``(n, n_values)``, or ``(n_values,)`` for one text; contiguous and the caller's, or the filled part
            of ``out``.

        Raises:
            ContextFullError: A text is too long for the model; ``.index`` says which.
            InsufficientMemoryError: A text is too long for ``embed_memory``; ``.index`` says which.
            InvalidRequestError: An option has a value that is not possible, or a text has no tokens.
            UnsupportedError: The model file names no pooling; give ``pooling``.
            DeadlineError: ``timeout_s`` is over.
            DecodeError: A text could not be computed.
            TypeError: An option that does not exist, or something else than texts.
        """
        call = EmbedCall(self._engine, texts, options, out, progress)
        call.run(self._engine)
        return call.result()

    @overload
    def embed_tokens(self, texts: str | Sequence[int], **options: Any) -> NDArray[np.float32]: ...

    @overload
    def embed_tokens(
        self, texts: Sequence[str] | Sequence[Sequence[int]], **options: Any
    ) -> list[NDArray[np.float32]]: ...

    def embed_tokens(
        self, texts: Text | Iterable[Text], **options: Any
    ) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        """Return a vector for each token of texts, ``(n_tokens, n_values)``; arguments and errors as ``embed``."""
        call = EmbedTokensCall(self._engine, texts, options)
        call.run(self._engine)
        return call.result()

    def rerank(self, query: str, documents: Iterable[str], *, top_n: int | None = None, **options: Any) -> list[Ranked]:
        """Return documents by how well they answer a query, the best first.

        Args:
            query: What is looked for.
            documents: Texts.
            top_n: Return so many.
            **options: Fields of ``RankOptions``.

        Raises:
            UnsupportedError: The model scores no texts.
            ContextFullError: Query and document are too long for the model; ``.index`` says which document.
            TypeError: An option that does not exist, or something else than texts.
        """
        call = RerankCall(self._engine, query, documents, options, top_n)
        call.run(self._engine)
        return call.ranked()

    def rerank_scores(self, query: str, documents: Iterable[str], **options: Any) -> NDArray[np.float32]:
        """Return how well each document answers a query, float32 ``(n,)``; arguments and errors as ``rerank``."""
        call = RerankCall(self._engine, query, documents, options)
        call.run(self._engine)
        return call.scores()

    @overload
    def classify(self, texts: str | Sequence[int], **options: Any) -> Classification: ...

    @overload
    def classify(self, texts: Sequence[str] | Sequence[Sequence[int]], **options: Any) -> list[Classification]: ...

    def classify(self, texts: Text | Iterable[Text], **options: Any) -> Classification | list[Classification]:
        """Return which of the model's labels each text has; options and errors as ``rerank``."""
        call = ClassifyCall(self._engine, texts, options)
        call.run(self._engine)
        return call.result()
