"""The body of ``/v1/responses``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from inllama.server.body import Items, SamplingBody
from inllama.server.chat_body import HINTS, Effort


class TextFormat(BaseModel):
    """What the text of a response must look like."""

    model_config = ConfigDict(extra="allow", strict=True, protected_namespaces=())
    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    # Enforced whatever it says.
    strict: bool | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")


class TextOptions(BaseModel):
    """About the text of a response."""

    model_config = ConfigDict(extra="allow", strict=True)
    format: TextFormat | None = None
    verbosity: str | None = None


class ReasoningOptions(BaseModel):
    """About what comes before it."""

    model_config = ConfigDict(extra="allow", strict=True)
    effort: Effort | None = None


class ResponseBody(SamplingBody):
    """A turn in the shape of OpenAI's Responses."""

    HINTS: ClassVar[frozenset[str]] = HINTS | {"max_tool_calls", "stream_options", "client_metadata"}
    UNSUPPORTED: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "access_programs": (),
        "background": (False,),
        "background_options": (),
        "context_management": ([],),
        "conversation": (),
        "image": (),
        "moderation": (),
        "prompt": (),
        "service_tier": ("auto", "default"),
        "truncation": ("disabled",),
    }

    input: str | Items[dict[str, Any]] | None = Field(None, description="A text, or items in OpenAI's shape.")
    instructions: str | None = Field(None, description="The first message, of the system; only for this response.")
    previous_response_id: str | None = Field(None, description="The response that this one goes on from.")
    store: bool | None = Field(None, description="Keep the response for previous_response_id; true by default.")
    stream: bool | None = Field(None, description="Send events as they come, as server-sent events.")
    max_output_tokens: int | None = Field(None, description="As max_tokens.")
    stop: str | Items[str] | None = None
    n: Literal[1] | None = None
    tools: Items[dict[str, Any]] | None = Field(None, description="Functions that the model can call.")
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    reasoning_budget: int | None = Field(None, ge=0, description="Longest reasoning [tokens].")
    chat_template_kwargs: dict[str, Any] | None = Field(None, description="More variables for the template.")
    top_logprobs: int | None = Field(None, ge=0, le=20, description="Report so many likeliest tokens at each place.")
    include: Items[str] | None = Field(None, description="'message.output_text.logprobs': report log-probabilities.")
    metadata: dict[str, Any] | None = None
    generate: bool | None = Field(None, description="False: only see whether the request is possible.")
