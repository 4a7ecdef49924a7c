"""The body of ``/v1/completions``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from inllama.server.body import Items, SamplingBody
from inllama.server.chat_body import StreamOptions


class CompletionBody(SamplingBody):
    """Texts to be continued, in OpenAI's shape."""

    HINTS: ClassVar[frozenset[str]] = frozenset({"user"})
    UNSUPPORTED: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    prompt: str | Items[str] | Items[int] | Items[Items[int]] = Field(
        description="A text, token ids, or a list of those."
    )
    stream: bool | None = Field(None, description="Send chunks as they come, as server-sent events.")
    stream_options: StreamOptions | None = None
    stop: str | Items[str] | None = Field(None, description="Texts that end the output and are not part of it.")
    logprobs: int | None = Field(None, ge=0, le=20, description="Report so many likeliest tokens at each place.")
    echo: bool | None = Field(None, description="Begin with the prompt.")
    best_of: int | None = Field(None, description="Must be n: every output is returned.")
    suffix: str | None = Field(None, description="What stands behind; for models that can fill in.")
    parse_special: bool | None = Field(None, description="Turn the spelling of control tokens into those tokens.")
