"""The bodies of ``/v1/messages`` and ``/v1/messages/count_tokens``: Anthropic's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from inllama.server.body import Body, Items, SamplingBody

# Where a service caches, computes and looks for users; Claude Code sends them along.
_HINTS = frozenset(
    {"cache_control", "metadata", "user_profile_id", "workspace_id", "inference_geo", "diagnostics", "speed"}
)


class Thinking(BaseModel):
    """Whether the model reasons before it answers."""

    model_config = ConfigDict(extra="allow", strict=True)
    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: int | None = Field(None, ge=0)


class CountBody(Body):
    """A conversation whose tokens shall be counted."""

    HINTS: ClassVar[frozenset[str]] = _HINTS
    UNSUPPORTED: ClassVar[Mapping[str, tuple[Any, ...]]] = {"container": (), "mcp_servers": ([],)}

    messages: Items[dict[str, Any]] = Field(min_length=1, description="The conversation, in Anthropic's shape.")
    system: str | Items[dict[str, Any]] | None = Field(None, description="Instructions.")
    tools: Items[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: Thinking | None = None
    output_config: dict[str, Any] | None = None


class MessageBody(SamplingBody):
    """A conversation that the model goes on with, in Anthropic's shape."""

    HINTS: ClassVar[frozenset[str]] = _HINTS
    UNSUPPORTED: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "container": (),
        "mcp_servers": ([],),
        "service_tier": ("auto", "standard_only"),
    }

    messages: Items[dict[str, Any]] = Field(min_length=1, description="The conversation, in Anthropic's shape.")
    max_tokens: int = Field(ge=1, description="Longest answer [tokens].")
    system: str | Items[dict[str, Any]] | None = Field(None, description="Instructions.")
    stop_sequences: Items[str] | None = Field(None, description="Texts that end the answer.")
    stream: bool | None = Field(None, description="Send events as they come, as server-sent events.")
    n: Literal[1] | None = None
    tools: Items[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: Thinking | None = None
    output_config: dict[str, Any] | None = None
