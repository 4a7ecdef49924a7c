"""Responses that are kept, so that the next one can go on from them: bounded, and each key sees its own only."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
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


class ResponseStore:
    """Keeps the youngest responses.

    Args:
        max_count: How many at most.
        max_bytes: Of all of them as JSON text, at most.
    """

    def __init__(self, max_count: int, max_bytes: int) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[str, str], tuple[StoredResponse, int]] = OrderedDict()
        self._n_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def n_bytes(self) -> int:
        """Of all of them."""
        return self._n_bytes

    def put(self, tenant: str, stored: StoredResponse) -> None:
        """Keep a response, and forget the oldest ones that there is no room for any more."""
        self.remove(tenant, stored.response["id"])
        size = len(to_text([stored.response, stored.items]))
        self._kept[tenant, stored.response["id"]] = (stored, size)
        self._n_bytes += size
        while self._kept and (len(self._kept) > self._max_count or self._n_bytes > self._max_bytes):
            _, (_, freed) = self._kept.popitem(last=False)
            self._n_bytes -= freed

    def get(self, tenant: str, name: str) -> StoredResponse | None:
        """Return a response that this tenant made, if it is still there."""
        found = self._kept.get((tenant, name))
        return None if found is None else found[0]

    def remove(self, tenant: str, name: str) -> bool:
        """Forget a response; returns whether it was there."""
        found = self._kept.pop((tenant, name), None)
        if found is not None:
            self._n_bytes -= found[1]
        return found is not None
