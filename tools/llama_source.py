"""Prints the path of the pinned llama.cpp tree in the cache, where cmake/pypi_source.cmake unpacked it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIN = ROOT / "cmake" / "llama_cpp_source.cmake"


def cache_dir() -> Path:
    """Return the folder for downloaded source trees, as ``inllama_cache_dir`` of CMake does."""
    named = os.environ.get("INLLAMA_CACHE_DIR")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "inllama"


def pinned(name: str) -> str:
    """Return the value of the CMake variable ``name`` in the file of the pin."""
    found = re.search(rf"^set\({name} (\S+)\)", PIN.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise LookupError(f"{PIN} does not set {name}")
    return found[1]


def source_dir() -> Path:
    """Return where the pinned tree is once a build has fetched it."""
    package = pinned("INLLAMA_LLAMA_PACKAGE")
    version = pinned("INLLAMA_LLAMA_PACKAGE_VERSION")
    key = pinned("INLLAMA_LLAMA_PACKAGE_SHA256")[:16]
    return cache_dir() / f"{package}-{version}-{key}" / "vendor" / "llama.cpp"


def main() -> int:
    """Print the path; 1 and one sentence if no build has fetched the tree yet."""
    tree = source_dir()
    if not (tree / "include" / "llama.h").exists():
        print(f"there is no llama.cpp tree at {tree}; run 'make install' or set LLAMA_CPP_SOURCE_DIR", file=sys.stderr)
        return 1
    print(tree)
    return 0


if __name__ == "__main__":
    sys.exit(main())
