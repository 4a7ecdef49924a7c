"""Copies a folder and applies unified diffs to the copy: no `patch`, no git, and the folder itself stays as it is.

    python apply_patch.py TREE PART OUT PATCH...

Copies TREE/PART to OUT/PART and applies each PATCH whole or not at all: one that does not fit leaves the files as they
were. Files whose contents would not change are not written, so that nothing is compiled again. Prints the names of the
patches that were applied, separated by semicolons.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")


class DoesNotFit(Exception):
    """The patch was made for other files."""


def find(lines: list[str], wanted: list[str], at: int) -> int:
    """Returns where `wanted` stands in `lines`, as near to `at` as possible."""
    places = range(len(lines) - len(wanted) + 1)
    for place in sorted(places, key=lambda place: abs(place - at)):
        if lines[place : place + len(wanted)] == wanted:
            return place
    raise DoesNotFit


def apply_hunk(lines: list[str], start: int, hunk: list[str]) -> list[str]:
    """Returns `lines` with one hunk applied."""
    old = [line[1:] for line in hunk if line[0] in " -"]
    new = [line[1:] for line in hunk if line[0] in " +"]
    if not old:
        if lines:
            raise DoesNotFit  # a new file that is there already
        return new
    place = find(lines, old, start - 1)
    return lines[:place] + new + lines[place + len(old) :]


def apply_patch(patch: str, folder: Path, files: dict[Path, str]) -> dict[Path, str]:
    """Returns `files` with the patch applied; those that it names are read from `folder` unless they are there."""
    changed = dict(files)
    path = Path()
    rest = patch.split("\n")
    while rest:
        line = rest.pop(0)
        if line.startswith("+++ b/"):
            path = folder / line[len("+++ b/") :]
            if path not in changed:
                changed[path] = path.read_text("utf-8") if path.exists() else ""
        elif match := HUNK.match(line):
            hunk = []
            while rest and rest[0][:1] in (" ", "+", "-") and not rest[0].startswith("--- a/"):
                hunk.append(rest.pop(0))
            before = changed[path].split("\n")[:-1]
            changed[path] = "\n".join([*apply_hunk(before, int(match[1]), hunk), ""])
    return changed


def write_if_changed(path: Path, text: str) -> None:
    """Writes a file unless it has these contents."""
    if not path.exists() or path.read_text("utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def main(tree: Path, part: str, out: Path, patches: list[Path]) -> None:
    """Copies and patches; see the text of this file."""
    changed: dict[Path, str] = {}
    applied = []
    for patch in patches:
        try:
            changed = apply_patch(patch.read_text("utf-8"), tree, changed)
            applied.append(patch.stem)
        except DoesNotFit:
            pass
    new = {out / path.relative_to(tree): text for path, text in changed.items()}
    copies = {out / path.relative_to(tree): path for path in (tree / part).rglob("*") if path.is_file()}
    for old in (out / part).rglob("*"):
        if old.is_file() and old not in new and old not in copies:
            old.unlink()  # of a patch that no longer fits
    for copy, path in copies.items():
        if copy not in new and not (copy.exists() and copy.read_bytes() == path.read_bytes()):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    for path, text in new.items():
        write_if_changed(path, text)
    print(";".join(applied), end="")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), [Path(name) for name in sys.argv[4:]])
