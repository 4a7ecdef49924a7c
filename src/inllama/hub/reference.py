"""What a user calls a model on the Hub: ``hf:owner/repo[:QUANT|/file][@revision]``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn, Self

from inllama.errors import InvalidRequestError
from inllama.hub.names import file_problem, is_repository, is_revision

SCHEME = "hf:"

_QUANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SHAPE = re.compile(r"([^/:]+/[^/:]+)(?::(?P<quant>[^/]*)|/(?P<file>.+))?", re.DOTALL)
_REMEDY = "write hf:owner/repo, hf:owner/repo:Q4_K_M or hf:owner/repo/file.gguf, and @revision behind it"


@dataclass(frozen=True)
class Reference:
    """A model on the Hub.

    Attributes:
        repo: ``owner/repo``.
        quant: Which of its files, by quantization.
        file: Which of its files, by name; of a split model, any part.
        revision: Branch, tag or commit; ``None`` is ``main``.
    """

    repo: str
    quant: str | None = None
    file: str | None = None
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Return what ``text`` names.

        Raises:
            InvalidRequestError: It is no reference; ``.reference`` is the text.
            TypeError: It is no text.
        """
        if not isinstance(text, str):
            raise TypeError(f"a reference must be str, not {type(text).__name__}")
        if not text.startswith(SCHEME):
            _refuse(text, f"does not begin with {SCHEME}")
        rest, at, revision = text.removeprefix(SCHEME).rpartition("@")
        found = _SHAPE.fullmatch(rest if at else revision)
        if found is None or not is_repository(found[1]):
            _refuse(text, "names no repository")
        if at and not is_revision(revision):
            _refuse(text, "has a revision that is not possible")
        quant, file = found["quant"], found["file"]
        if quant is not None and _QUANT.fullmatch(quant) is None:
            _refuse(text, "names no quantization behind the colon")
        if file is not None:
            problem = file_problem(file)
            if problem is not None:
                _refuse(text, f"has a file name that {problem}")
            if not file.lower().endswith(".gguf"):
                _refuse(text, "has a file name that does not end in .gguf")
        return cls(found[1], quant, file, revision if at else None)

    def with_file(self, file: str, revision: str) -> Self:
        """Return the reference of one file at one commit, which always means the same bytes."""
        return type(self)(self.repo, None, file, revision)

    def __str__(self) -> str:
        which = f":{self.quant}" if self.quant is not None else f"/{self.file}" if self.file is not None else ""
        at = f"@{self.revision}" if self.revision is not None else ""
        return f"{SCHEME}{self.repo}{which}{at}"


def _refuse(text: str, problem: str) -> NoReturn:
    raise InvalidRequestError(f"{text!r} {problem}; {_REMEDY}", reference=text)
