"""API keys: who may ask, and whose prefixes are shared with whom."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from inllama.errors import InvalidRequestError

_SHORTEST = 8


class ApiKeys:
    """The keys that are accepted; only their hashes are kept.

    Args:
        keys: Texts of visible ASCII characters.

    Raises:
        InvalidRequestError: One is too short to be a secret, or could not be sent in a header.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(_checked(key)) for key in keys]

    def __len__(self) -> int:
        return len(self._digests)

    def tenant(self, key: bytes) -> str | None:
        """Return who has that key, as a name that does not reveal it; ``None`` for a key that is not accepted.

        It takes as long for every key: all of them are compared.
        """
        given = _digest(key)
        found = [digest for digest in self._digests if hmac.compare_digest(digest, given)]
        return hashlib.sha256(b"inllama tenant" + found[0]).hexdigest()[:16] if found else None


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _checked(key: str) -> bytes:
    if len(key) < _SHORTEST or not key.isascii() or any(not "!" <= character <= "~" for character in key):
        raise InvalidRequestError(
            f"an API key must have at least {_SHORTEST} visible ASCII characters; "
            'python -c "import secrets; print(secrets.token_urlsafe(32))" makes one',
            option="api_keys",
        )
    return key.encode()
