"""What a docstring says: its first paragraph, and a text for each parameter or attribute.

Read are the styles of Google (``Args:``), numpy (underlined ``Parameters``) and Sphinx (``:param name:``).
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

_HEADERS = frozenset(("args", "arguments", "attributes", "parameters", "params", "other parameters", "keyword args"))
# Sections that also end the first paragraph.
_ENDS = _HEADERS | {"returns", "raises", "yields", "example", "examples", "note", "notes"}
_GOOGLE_HEADER = re.compile(r"([A-Z][A-Za-z ]{0,40}):\s*$")
_GOOGLE_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_NUMPY_ENTRY = re.compile(r"\*{0,2}(\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$")
_SPHINX_ENTRY = re.compile(
    r":(?:param|parameter|arg|argument|key|keyword|ivar|var|attribute)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)"
)
_SPHINX_FIELD = re.compile(r":\w+(?:\s[^:]*)?:")


@dataclass(frozen=True, slots=True)
class Docstring:
    """The parts of a docstring.

    Attributes:
        summary: Its first paragraph on one line.
        parameters: The text of each parameter or attribute, on one line.
    """

    summary: str = ""
    parameters: dict[str, str] = field(default_factory=dict)


def read(text: str | None) -> Docstring:
    """Return the parts of a docstring; of none, empty ones."""
    if not text:
        return Docstring()
    lines = inspect.cleandoc(text).splitlines()
    parameters: dict[str, list[str]] = {}
    for i, line in enumerate(lines):
        header = _GOOGLE_HEADER.match(line)
        if header and header[1].lower() in _HEADERS:
            _read_google(lines[i + 1 :], parameters)
        elif line.strip().lower() in _HEADERS and _is_underline(lines, i + 1):
            _read_numpy(lines[i + 2 :], parameters)
        elif _SPHINX_ENTRY.match(line):
            _read_sphinx(lines[i:], parameters)
    return Docstring(_summary(lines), {name: _joined(found) for name, found in parameters.items()})


def _summary(lines: list[str]) -> str:
    found: list[str] = []
    for i, line in enumerate(lines):
        header = _GOOGLE_HEADER.match(line)
        is_header = header is not None and header[1].lower() in _ENDS
        if is_header or _is_underline(lines, i + 1) or _SPHINX_FIELD.match(line) or (found and not line.strip()):
            break
        found.append(line)
    return _joined(found)


def _read_google(lines: list[str], parameters: dict[str, list[str]]) -> None:
    entry_indent, name = 0, ""
    for line in lines:
        if not line.strip():
            continue
        indent = _indent(line)
        if indent == 0:
            return
        entry_indent = entry_indent or indent
        entry = _GOOGLE_ENTRY.match(line.strip()) if indent <= entry_indent else None
        if entry:
            name = entry[1]
            parameters[name] = [entry[2]]
        elif name:
            parameters[name].append(line)


def _read_numpy(lines: list[str], parameters: dict[str, list[str]]) -> None:
    names: list[str] = []
    for i, line in enumerate(lines):
        if line.strip() and _indent(line) == 0:
            entry = _NUMPY_ENTRY.match(line)
            if entry is None or _is_underline(lines, i + 1):
                return
            names = [one.strip().lstrip("*") for one in entry[1].split(",")]
            parameters.update({name: [] for name in names})
        for name in names if _indent(line) else ():
            parameters[name].append(line)


def _read_sphinx(lines: list[str], parameters: dict[str, list[str]]) -> None:
    entry = _SPHINX_ENTRY.match(lines[0])
    assert entry is not None
    found = [entry[2]]
    for line in lines[1:]:
        if not line.strip() or _indent(line) == 0:
            break
        found.append(line)
    parameters[entry[1]] = found


def _is_underline(lines: list[str], i: int) -> bool:
    return i < len(lines) and len(lines[i].strip()) > 2 and not lines[i].strip("- ")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _joined(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
