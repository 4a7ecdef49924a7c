"""The body of ``/v1/chat/completions``: OpenAI's fields, and inllama's beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from inllama.server.body import Items, SamplingBody

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

# Who asks and what for; where a service caches and for how long.
HINTS = frozenset(
    {
        "user",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
    }
)
CHAT = frozenset(
    {
        "parallel_tool_calls",
        "reasoning",
        "reasoning_budget",
        "chat_template_kwargs",
        "documents",
        "add_generation_prompt",
        "continue_final_message",
    }
)


class StreamOptions(BaseModel):
    """What a stream has besides chunks of output."""

    model_config = ConfigDict(extra="allow", strict=True)
    include_usage: bool | None = Field(None, description="Send a last chunk with the usage.")


class JsonSchema(BaseModel):
    """The schema of an answer."""

    model_config = ConfigDict(extra="allow", strict=True, protected_namespaces=(), populate_by_name=True)
    name: str | None = None
    description: str | None = None
    # Enforced whatever it says.
    strict: bool | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")


class ResponseFormat(BaseModel):
    """What an answer must look like."""

    model_config = ConfigDict(extra="allow", strict=True)
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatBody(SamplingBody):
    """A chat in OpenAI's shape."""

    HINTS: ClassVar[frozenset[str]] = HINTS
    UNSUPPORTED: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "audio": (),
        "function_call": ("none",),
        "functions": ([],),
        "modalities": (["text"],),
        "moderation": (),
        "prediction": (),
        "service_tier": ("auto", "default"),
        "store": (False,),
        "verbosity": ("medium",),
        "web_search_options": (),
        "chat_template": (),
    }

    messages: Items[dict[str, Any]] = Field(min_length=1, description="The conversation, in OpenAI's shape.")
    stream: bool | None = Field(None, description="Send chunks as they come, as server-sent events.")
    stream_options: StreamOptions | None = None
    max_completion_tokens: int | None = Field(None, description="As max_tokens.")
    stop: str | Items[str] | None = Field(None, description="Texts that end the answer and are not part of it.")
    logprobs: bool | None = Field(None, description="Report the log-probability of each token.")
    top_logprobs: int | None = Field(None, ge=0, le=20, description="With logprobs: of so many likeliest tokens too.")
    response_format: ResponseFormat | None = None
    tools: Items[dict[str, Any]] | None = Field(None, description="Functions that the model can call.")
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = Field(None, description="Let it call several at once.")
    reasoning_effort: Effort | None = Field(None, description="How long to reason; 'none': not at all.")
    reasoning: bool | None = Field(None, description="Let the model reason before it answers, or not.")
    reasoning_budget: int | None = Field(None, ge=0, description="Longest reasoning [tokens].")
    chat_template_kwargs: dict[str, Any] | None = Field(None, description="More variables for the template.")
    documents: Items[dict[str, Any]] | None = Field(None, description="Documents for templates that show some.")
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = Field(None, description="Go on with the last message.")
