"""Names that become part of a path or an address; those that come over the network are believed of nobody."""

from __future__ import annotations

import re

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9._-]{1,96}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,254}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# What file systems take as one name.
_MAX_PART_BYTES = 255
_MAX_PATH_BYTES = 1024


def is_repository(name: str) -> bool:
    """Whether ``name`` is ``owner/repo`` as the Hub allows it; no part of it can lead elsewhere."""
    return _REPOSITORY.fullmatch(name) is not None and not {"..", "--"} & set(_pairs(name)) and "/." not in name


def is_revision(name: str) -> bool:
    """Whether ``name`` can be a branch, tag or commit: it becomes a path below the cache's ``refs``."""
    return _REVISION.fullmatch(name) is not None and file_problem(name) is None


def is_commit(name: object) -> bool:
    """Whether ``name`` is a whole commit hash."""
    return isinstance(name, str) and _COMMIT.fullmatch(name) is not None


def file_problem(name: object) -> str | None:
    """Return why ``name`` cannot be the path of a file below a folder, or ``None`` if it can."""
    if not isinstance(name, str):
        return "is no text"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "is no Unicode text"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return "has a control character"
    if "\\" in name or ":" in name:
        return "has a backslash or colon, which lead elsewhere on Windows"
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "leads out of its folder"
    if size > _MAX_PATH_BYTES or any(len(part.encode()) > _MAX_PART_BYTES for part in parts):
        return "is too long for a file system"
    return None


def _pairs(text: str) -> list[str]:
    return [text[i : i + 2] for i in range(len(text) - 1)]
