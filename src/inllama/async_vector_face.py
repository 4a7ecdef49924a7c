"""What ``AsyncLLM`` makes of texts besides generating: vectors, scores and labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload

from inllama.async_vectors import run_async
from inllama.embedding import EmbedCall, EmbedTokensCall
from inllama.engine import Engine
from inllama.off_loop import off_loop
from inllama.ranking import Classification, ClassifyCall, Ranked, RerankCall
from inllama.texts import Progress, Text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class AsyncVectorFace(ABC):
    """A part of ``AsyncLLM``."""

    @abstractmethod
    async def start(self) -> Engine:
        """Load the model, unless that is done, and return the engine."""

    async def embed(
        self,
        texts: Text | Iterable[Text],
        *,
        out: NDArray[np.float32] | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> NDArray[np.float32]:
        """Return what texts mean, as vectors; arguments, result and errors as ``LLM.embed``."""
        engine = await self.start()
        call = await off_loop(lambda: EmbedCall(engine, texts, options, out, progress))
        await run_async(call, engine)
        return call.result()

    @overload
    async def embed_tokens(self, texts: str | Sequence[int], **options: Any) -> NDArray[np.float32]: ...

    @overload
    async def embed_tokens(
        self, texts: Sequence[str] | Sequence[Sequence[int]], **options: Any
    ) -> list[NDArray[np.float32]]: ...

    async def embed_tokens(
        self, texts: Text | Iterable[Text], **options: Any
    ) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        """Return a vector for each token of texts; arguments and errors as ``LLM.embed_tokens``."""
        engine = await self.start()
        call = await off_loop(lambda: EmbedTokensCall(engine, texts, options))
        await run_async(call, engine)
        return call.result()

    async def rerank(
        self, query: str, documents: Iterable[str], *, top_n: int | None = None, **options: Any
    ) -> list[Ranked]:
        """Return documents by how well they answer a query; arguments and errors as ``LLM.rerank``."""
        engine = await self.start()
        call = await off_loop(lambda: RerankCall(engine, query, documents, options, top_n))
        await run_async(call, engine)
        return call.ranked()

    async def rerank_scores(self, query: str, documents: Iterable[str], **options: Any) -> NDArray[np.float32]:
        """Return how well each document answers a query; arguments and errors as ``LLM.rerank_scores``."""
        engine = await self.start()
        call = await off_loop(lambda: RerankCall(engine, query, documents, options))
        await run_async(call, engine)
        return call.scores()

    @overload
    async def classify(self, texts: str | Sequence[int], **options: Any) -> Classification: ...

    @overload
    async def classify(
        self, texts: Sequence[str] | Sequence[Sequence[int]], **options: Any
    ) -> list[Classification]: ...

    async def classify(self, texts: Text | Iterable[Text], **options: Any) -> Classification | list[Classification]:
        """Return which of the model's labels each text has; arguments and errors as ``LLM.classify``."""
        engine = await self.start()
        call = await off_loop(lambda: ClassifyCall(engine, texts, options))
        await run_async(call, engine)
        return call.result()
