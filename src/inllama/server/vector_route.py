"""``/v1/embeddings`` and ``/v1/rerank``."""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from inllama.async_vectors import run_async
from inllama.embedding import EmbedCall
from inllama.off_loop import off_loop
from inllama.ranking import RerankCall
from inllama.request import is_one
from inllama.server.body import Body, Items
from inllama.server.call import Answer, Call, JsonAnswer
from inllama.server.failures import Failure


class EmbeddingBody(Body):
    """Texts that shall become vectors, in OpenAI's shape."""

    HINTS: ClassVar[frozenset[str]] = frozenset({"user"})

    input: str | Items[str] | Items[int] | Items[Items[int]] = Field(
        description="A text, token ids, or a list of those."
    )
    encoding_format: Literal["float", "base64"] | None = Field(None, description="Of the vectors: float32.")
    dimensions: int | None = Field(None, ge=1, description="Keep so many first values.")
    pooling: Literal["mean", "cls", "last"] | None = Field(None, description="By default as the model file says.")
    normalize: Literal["l2", "max_abs", "none"] | None = Field(None, description="How vectors are scaled.")
    prefix: str | None = Field(None, description="Text put before each text.")
    truncate: bool | None = Field(None, description="Cut texts that are too long; otherwise they are an error.")
    timeout_s: float | None = Field(None, ge=0, description="Time after which the request fails [seconds].")


class RerankBody(Body):
    """Documents that shall be ordered by how well they answer a query."""

    HINTS: ClassVar[frozenset[str]] = frozenset({"user"})

    query: str
    documents: Items[str | dict[str, Any]] = Field(description="Texts, or objects with a text.")
    top_n: int | None = Field(None, ge=1, description="Return so many of the best.")
    return_documents: bool | None = Field(None, description="Return the texts too.")
    truncate: bool | None = Field(None, description="Cut documents that are too long; otherwise they are an error.")
    timeout_s: float | None = Field(None, ge=0, description="Time after which the request fails [seconds].")


_EMBED = frozenset({"dimensions", "pooling", "normalize", "prefix", "truncate", "timeout_s"})
_RANK = frozenset({"truncate", "timeout_s"})


async def embeddings(call: Call, body: EmbeddingBody) -> Answer:
    """Turn texts into vectors."""
    if not body.input:
        raise Failure(400, "the input is empty; give it some text", code="invalid_value", param="input")
    texts: list[Any] = [body.input] if is_one(body.input) else list(body.input)
    _check_count(call, texts, "input")
    if body.prefix and not all(isinstance(text, str) for text in texts):
        raise Failure(400, "prefix is put before texts, not before token ids", code="invalid_value", param="prefix")
    options = _options(call, body, _EMBED)
    work = await off_loop(lambda: EmbedCall(call.engine, texts, options))
    await run_async(work, call.engine)
    vectors, n_tokens = work.result(), work.n_tokens
    if body.encoding_format == "base64":
        shown: list[Any] = [base64.b64encode(row.tobytes()).decode() for row in vectors.astype("<f4", copy=False)]
    else:
        shown = vectors.tolist()
    return JsonAnswer(
        {
            "object": "list",
            "model": call.model,
            "data": [{"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(shown)],
            "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
        }
    )


async def rerank(call: Call, body: RerankBody) -> Answer:
    """Order documents by how well they answer a query."""
    texts = [_document(one, index) for index, one in enumerate(body.documents)]
    if not texts:
        raise Failure(400, "documents is empty; give at least one", code="invalid_value", param="documents")
    _check_count(call, texts, "documents")
    options = _options(call, body, _RANK)
    work = await off_loop(lambda: RerankCall(call.engine, body.query, texts, options, body.top_n))
    await run_async(work, call.engine)
    results: list[dict[str, Any]] = [{"index": one.index, "relevance_score": one.score} for one in work.ranked()]
    if body.return_documents:
        for result in results:
            result["document"] = {"text": texts[result["index"]]}
    usage = {"prompt_tokens": work.n_tokens, "total_tokens": work.n_tokens}
    return JsonAnswer({"object": "list", "model": call.model, "results": results, "usage": usage})


def _document(one: str | dict[str, Any], index: int) -> str:
    text = one.get("text") if isinstance(one, dict) else one
    if not isinstance(text, str):
        raise Failure(400, f"documents[{index}] has no text", code="invalid_value", param="documents")
    return text


def _check_count(call: Call, texts: Sequence[object], param: str) -> None:
    limit = call.service.options.max_texts
    if len(texts) > limit:
        raise Failure(
            400,
            f"{param} has {len(texts)} texts, and at most {limit} are allowed; ask several times",
            code="too_many_texts",
            param=param,
        )


def _options(call: Call, body: Body, names: Collection[str]) -> dict[str, Any]:
    given = body.given(names)
    limit = call.service.options.request_timeout_s
    if limit is not None:
        given["timeout_s"] = min(given.get("timeout_s", limit), limit)
    return given
