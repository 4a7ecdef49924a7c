"""Responses that are kept, so that the next one can go on from them: bounded, and each key sees its own only."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from inllama.server.event_text import to_text


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response and what led to it.

    Attributes:
        response: As it was sent.
        items: The input items of this and all earlier responses that it went on from, and its output.
        own: The input items that came with this one's request.
    """

    response: dict[str, Any]
    items: tuple[dict[str, Any], ...]
    own: tuple[dict[str, Any], ...]


@dataclass(slots=True)
class _Kept:
    """The responses of a tenant with their sizes, the oldest first."""

    responses: OrderedDict[str, tuple[StoredResponse, int]] = field(default_factory=OrderedDict)
    n_bytes: int = 0


class ResponseStore:
    """Keeps the youngest responses; where there is no room, it is the tenant with the most that loses its oldest.

    Args:
        max_count: How many at most.
        max_bytes: Of all of them as JSON text, at most.
    """

    def __init__(self, max_count: int, max_bytes: int) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._tenants: dict[str, _Kept] = {}

    def __len__(self) -> int:
        return sum(len(kept.responses) for kept in self._tenants.values())

    @property
    def n_bytes(self) -> int:
        """Of all of them."""
        return sum(kept.n_bytes for kept in self._tenants.values())

    def put(self, tenant: str, stored: StoredResponse) -> None:
        """Keep a response, and forget old ones that there is no room for any more."""
        self.remove(tenant, stored.response["id"])
        size = len(to_text([stored.response, stored.items]))
        kept = self._tenants.setdefault(tenant, _Kept())
        kept.responses[stored.response["id"]] = (stored, size)
        kept.n_bytes += size
        while len(self) > self._max_count:
            self._forget_oldest(max(self._tenants, key=lambda name: len(self._tenants[name].responses)))
        while self.n_bytes > self._max_bytes:
            self._forget_oldest(max(self._tenants, key=lambda name: self._tenants[name].n_bytes))

    def get(self, tenant: str, name: str) -> StoredResponse | None:
        """Return a response that this tenant made, if it is still there."""
        kept = self._tenants.get(tenant)
        found = None if kept is None else kept.responses.get(name)
        return None if found is None else found[0]

    def remove(self, tenant: str, name: str) -> bool:
        """Forget a response; returns whether it was there."""
        if self.get(tenant, name) is None:
            return False
        kept = self._tenants[tenant]
        kept.n_bytes -= kept.responses.pop(name)[1]
        if not kept.responses:
            del self._tenants[tenant]
        return True

    def _forget_oldest(self, tenant: str) -> None:
        self.remove(tenant, next(iter(self._tenants[tenant].responses)))
