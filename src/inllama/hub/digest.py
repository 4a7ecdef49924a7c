"""The hash by which a file on the Hub is known, and is named in the cache."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 1 << 20
_HEX = {"sha256": re.compile(r"[0-9a-f]{64}"), "git": re.compile(r"[0-9a-f]{40}")}


@dataclass(frozen=True)
class Digest:
    """What the bytes of a file add up to.

    Attributes:
        kind: ``sha256`` of the bytes, for large files; ``git``: git's id of a small one.
        value: In lower case hexadecimal; what huggingface_hub calls the file in its cache.
    """

    kind: str
    value: str

    def is_sound(self) -> bool:
        """Whether the value is such a hash; it came over the network and becomes a file name."""
        return _HEX[self.kind].fullmatch(self.value) is not None

    def fits(self, path: Path) -> bool:
        """Whether the file has this hash; reads all of it."""
        if self.kind == "sha256":
            found = hashlib.sha256()
        else:
            found = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                found.update(block)
        return found.hexdigest() == self.value
