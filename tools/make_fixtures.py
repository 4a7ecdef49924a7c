"""Writes ``tests/model/fixtures/``: tiny models with random weights, and what a reference computes with them.

    python tools/make_fixtures.py            the models, adapters and projectors; needs gguf and numpy
    python tools/make_fixtures.py --golden   also golden.npz; needs torch and transformers, see fixtures/reference.py
    python tools/make_fixtures.py --check    compare the files with what would be written, and write nothing

The weights depend only on the names and shapes of the tensors, so the same files come out each time. docs/testing.md
says what each of them shows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from fixtures.committed import FOLDER, GOLDEN, MAX_BYTES, write_all


def changed_files(folder: Path) -> list[str]:
    """Return the names of the files in a folder that are not what would be written."""
    with tempfile.TemporaryDirectory() as fresh:
        return [
            path.name
            for path in write_all(Path(fresh))
            if not (folder / path.name).is_file() or path.read_bytes() != (folder / path.name).read_bytes()
        ]


def main(arguments: list[str] | None = None) -> int:
    """Write or check the files; 1 if a check found a difference."""
    parser = argparse.ArgumentParser(description="Write the fixtures of tests/model/.")
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER, help="where they are (default: %(default)s)")
    parser.add_argument("--golden", action="store_true", help="compute the reference too")
    parser.add_argument("--check", action="store_true", help="compare only")
    options = parser.parse_args(arguments)
    if options.check:
        changed = changed_files(options.folder)
        for name in changed:
            print(f"{options.folder / name} is not what this tool writes")
        return 1 if changed else 0
    options.folder.mkdir(parents=True, exist_ok=True)
    write_all(options.folder)
    if options.golden:
        from fixtures import reference

        reference.write_golden(options.folder, options.folder / GOLDEN)
    sizes = {path.name: path.stat().st_size for path in sorted(options.folder.iterdir())}
    for name, size in sizes.items():
        print(f"{size:>9,} {name}")
    print(f"{sum(sizes.values()):>9,} of {MAX_BYTES:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
