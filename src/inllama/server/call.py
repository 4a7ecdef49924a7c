"""One request that is being answered."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from starlette.types import Scope

from inllama.async_llm import AsyncLLM
from inllama.engine import Engine
from inllama.server.event_text import to_text
from inllama.server.failures import Failure
from inllama.server.served import Lease
from inllama.server.service import Service

_SHOWN_FIELDS = 20


@dataclass(slots=True)
class Call:
    """What a handler needs to know of its request.

    Attributes:
        service: What is served.
        scope: As ASGI has it.
        request_id: Its name in logs and answers.
        tenant: Whose key it has; empty if none is needed.
        ignored: Fields that were not understood or have no effect.
        lease: Its model, once it has one.
    """

    service: Service
    scope: Scope
    request_id: str
    tenant: str
    ignored: list[str] = field(default_factory=list)
    lease: Lease | None = None

    @property
    def engine(self) -> Engine:
        """What computes it."""
        return self._lease.engine

    @property
    def aio(self) -> AsyncLLM:
        """The face of that."""
        return self._lease.aio

    @property
    def model(self) -> str:
        """What the answer calls the model."""
        return self._lease.model

    @property
    def _lease(self) -> Lease:
        assert self.lease is not None, "this route needs no engine"
        return self.lease

    def ignore(self, names: Iterable[str]) -> None:
        """Note fields that have no effect; raises ``Failure`` if the server is strict."""
        for name in names:
            if self.service.options.strict:
                raise Failure(
                    400,
                    f"{name[:100]} is unknown or has no effect here, and this server is strict; leave it out",
                    code="unknown_field",
                    param=name[:100],
                )
            self.ignored.append(name)

    def new_name(self, prefix: str) -> str:
        """Return a name for what is made: clients may give several requests the same name."""
        return f"{prefix}{uuid.uuid4().hex}"

    @property
    def path_parameter(self) -> str:
        """What the path names."""
        found: str = next(iter(self.scope["path_params"].values()))
        return found

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return what every answer says about its request."""
        if not self.ignored:
            return []
        shown = [_visible(name) for name in dict.fromkeys(self.ignored)]
        more = [f"and-{len(shown) - _SHOWN_FIELDS}-more"] if len(shown) > _SHOWN_FIELDS else []
        return [(b"x-inllama-ignored", ", ".join([*shown[:_SHOWN_FIELDS], *more]).encode())]


def _visible(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-.[]") else "?" for c in name[:64])


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """An answer that is complete.

    Attributes:
        content: What becomes JSON; bytes stand for themselves.
        status: Of HTTP.
        headers: Besides those of every answer.
        content_type: Of the bytes.
    """

    content: Any
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = b"application/json"

    def body(self) -> bytes:
        """Return its bytes."""
        return self.content if isinstance(self.content, bytes) else to_text(self.content).encode()


@dataclass(frozen=True, slots=True)
class EventAnswer:
    """An answer that comes piece by piece: server-sent events.

    Attributes:
        events: Their bytes. What is raised after the first of them is an event too, made by the handler.
    """

    events: AsyncGenerator[bytes, None]


Answer: TypeAlias = JsonAnswer | EventAnswer
