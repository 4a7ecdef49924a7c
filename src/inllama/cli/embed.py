"""``inllama embed``: vectors of the texts of a file."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inllama.cli.flags import add_flags, flag_values
from inllama.cli.model_flag import add_model_flag, local_path
from inllama.errors import InvalidRequestError
from inllama.params import EmbedOptions, EngineOptions, ModelOptions


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "embed",
        help="turn texts into vectors",
        description="Turn each line of a file into a row of a numpy array, float32 (n, n_values), in flat memory.",
    )
    parser.add_argument(
        "texts", type=Path, help="a .jsonl file, whose lines are JSON texts or objects; of any other file the lines"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .npy file to be written")
    add_model_flag(parser, required=True)
    parser.add_argument("--field", default="text", help="entry of an object that has the text (default: text)")
    for cls in (EmbedOptions, EngineOptions, ModelOptions):
        add_flags(parser, cls, without=frozenset({"priority", "kv_overrides"}))
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Write the array beside its place and move it there when it is complete."""
    import numpy as np

    from inllama.llm import LLM

    source = _Source(parsed.texts, parsed.field)
    loading = flag_values(parsed, EngineOptions) | flag_values(parsed, ModelOptions)
    asked = flag_values(parsed, EmbedOptions)
    part = parsed.output.with_name(parsed.output.name + ".part")
    with LLM(local_path(parsed.model), **loading) as llm:
        width = llm.embed([], **asked).shape[1]
        try:
            if len(source) == 0:  # an empty file cannot be mapped
                with part.open("wb") as file:
                    np.save(file, np.empty((0, width), np.float32))
            else:
                shape = (len(source), width)
                rows = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape)
                found = llm.embed(iter(source), out=rows, progress=_progress(len(source)), **asked)
                if len(found) != len(source):
                    raise InvalidRequestError(f"{parsed.texts} had {len(source)} texts and then {len(found)}")
                rows.flush()
            os.replace(part, parsed.output)
        finally:
            part.unlink(missing_ok=True)
    return 0


class _Source:
    """The texts of a file, read again each time; of a pipe they are kept."""

    def __init__(self, path: Path, field: str) -> None:
        self._path = path
        self._field = field
        self._kept = None if path.is_file() else list(self._read())
        self._n = sum(1 for _ in self._lines()) if self._kept is None else len(self._kept)

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[str]:
        return self._read() if self._kept is None else iter(self._kept)

    def _lines(self) -> Iterator[tuple[int, str]]:
        with self._path.open(encoding="utf-8-sig", errors="replace") as file:
            for number, line in enumerate(file, 1):
                text = line.rstrip("\r\n")
                if text.strip():
                    yield number, text

    def _read(self) -> Iterator[str]:
        for number, line in self._lines():
            yield self._text_of(line, number) if self._path.suffix == ".jsonl" else line

    def _text_of(self, line: str, number: int) -> str:
        try:
            value: Any = json.loads(line)
        except ValueError as problem:
            raise InvalidRequestError(f"line {number} of {self._path} is not JSON: {problem}", line=number) from None
        text = value.get(self._field) if isinstance(value, dict) else value
        if not isinstance(text, str):
            raise InvalidRequestError(
                f"line {number} of {self._path} has no text in {self._field!r}; give --field", line=number
            )
        return text


def _progress(n_texts: int) -> Any:
    if not sys.stderr.isatty():
        return None

    def show(n_done: int, _: int | None) -> None:
        print(f"\r{n_done} of {n_texts} texts", end="" if n_done < n_texts else "\n", file=sys.stderr, flush=True)

    return show
