"""``inllama inspect``: what a GGUF file says of itself."""

from __future__ import annotations

import argparse
import json
from typing import Any

from inllama.gguf import File, Value, read

_SHOWN = 60  # characters of a value
_LISTED = 16  # elements of an array in JSON


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "inspect",
        help="show what a GGUF file says of itself, without loading it",
        description="Show what a GGUF file says of itself. Its header is read strictly; nothing is loaded.",
    )
    parser.add_argument("model", metavar="MODEL", help="the path of a .gguf file, or 'demo'")
    parser.add_argument("--tensors", action="store_true", help="list the tensors")
    parser.add_argument("--json", action="store_true", help="one JSON object; long arrays as their type and length")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Print it."""
    from inllama.model import demo_path

    file = read(demo_path() if parsed.model == "demo" else parsed.model)
    if parsed.json:
        print(json.dumps(to_dict(file, tensors=parsed.tensors), ensure_ascii=False))
        return 0
    _print_columns(facts(file))
    print()
    _print_columns([(key, file.metadata.type_of(key), shown(file, key)) for key in file.metadata])
    if parsed.tensors:
        print()
        _print_columns([(t.name, t.type, " x ".join(map(str, t.shape)) or "-", f"{t.n_bytes:,}") for t in file.tensors])
    return 0


def facts(file: File) -> list[tuple[str, str]]:
    """Return what most people want to know, as (name, value); what the file does not say is left out."""
    rows: list[tuple[str, object]] = [
        ("file", file.path),
        ("size", f"{file.n_bytes:,} bytes, {file.header_bytes:,} of them header"),
        ("format", f"GGUF {file.version}, alignment {file.alignment}"),
        ("name", file.name),
        ("kind", file.kind),
        ("architecture", file.architecture),
        ("parameters", f"{file.n_params:,} in {len(file.tensors)} tensors" if file.tensors else None),
        ("layers", file.n_layers),
        ("width", file.embedding_length),
        ("context length", file.context_length),
        ("files", file.n_files if file.n_files > 1 else None),
    ]
    if file.bits_per_weight is not None:
        total = sum(file.bytes_by_type.values())
        mix = ", ".join(f"{kind} {100 * n / total:.1f} %" for kind, n in file.bytes_by_type.items())
        rows.append(("types by bytes", f"{mix} ({file.bits_per_weight:.2f} bits per weight)"))
    if (vocabulary := file.vocabulary) is not None:
        splitter = f", split as {vocabulary.splitter}" if vocabulary.splitter else ""
        rows.append(("tokenizer", f"{vocabulary.model}{splitter}, {vocabulary.n_tokens:,} tokens"))
    if file.chat_template is not None:
        rows.append(("chat template", f"{len(file.chat_template):,} characters"))
    return [(name, _on_one_line(str(value))) for name, value in rows if value is not None]


def shown(file: File, key: str) -> str:
    """Return the value of an entry, as much as fits a line."""
    n = file.metadata.length_of(key)
    if n is not None and n > _LISTED:
        return f"{n:,} values"
    text = _on_one_line(str(_plain(file.metadata[key])))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def to_dict(file: File, *, tensors: bool) -> dict[str, Any]:
    """Return everything as plain data."""
    vocabulary = file.vocabulary
    result: dict[str, Any] = {
        "path": file.path,
        "version": file.version,
        "alignment": file.alignment,
        "n_bytes": file.n_bytes,
        "header_bytes": file.header_bytes,
        "data_bytes": file.data_bytes,
        "kind": file.kind,
        "name": file.name,
        "architecture": file.architecture,
        "n_params": file.n_params,
        "n_tensors": len(file.tensors),
        "n_layers": file.n_layers,
        "embedding_length": file.embedding_length,
        "context_length": file.context_length,
        "n_files": file.n_files,
        "bytes_by_type": file.bytes_by_type,
        "bits_per_weight": file.bits_per_weight,
        "vocabulary": None
        if vocabulary is None
        else {
            "model": vocabulary.model,
            "splitter": vocabulary.splitter,
            "n_tokens": vocabulary.n_tokens,
            "n_merges": vocabulary.n_merges,
            "special": dict(vocabulary.special),
        },
        "chat_template": file.chat_template,
        "metadata": {key: _in_json(file, key) for key in file.metadata},
    }
    if tensors:
        result["tensors"] = [
            {"name": t.name, "shape": t.shape, "type": t.type, "n_bytes": t.n_bytes, "offset": t.offset}
            for t in file.tensors
        ]
    return result


def _in_json(file: File, key: str) -> Any:
    n = file.metadata.length_of(key)
    if n is not None and n > _LISTED:
        return {"type": file.metadata.type_of(key).partition("[")[0], "length": n}
    return _plain(file.metadata[key])


def _plain(value: Value) -> Any:
    """Return a value as JSON has it, which knows no numbers that are none."""
    if isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    return [_plain(one) for one in (value if isinstance(value, tuple) else value.tolist())]


def _on_one_line(text: str) -> str:
    """Return the text without what a terminal would obey."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _print_columns(rows: list[Any]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)] if rows else []
    for row in rows:
        print("  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]))
