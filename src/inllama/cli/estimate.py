"""``inllama estimate``: what a model would take, before it is loaded."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from inllama.cli.flags import add_flags, flag_values
from inllama.params import EngineOptions, ModelOptions

if TYPE_CHECKING:
    from inllama.fitting import FreeMemory
    from inllama.memory_estimate import MemoryEstimate


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "estimate",
        help="show what a model would take of memory",
        description="Show what a model and an engine over it would take of memory, without taking it.",
    )
    parser.add_argument("model", help="path of a GGUF file, or another name as of --model")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_flags(parser, EngineOptions)
    add_flags(parser, ModelOptions, without=frozenset({"kv_overrides"}))
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Print the estimate; 1 if it does not fit into what is free."""
    from inllama.fitting import FreeMemory
    from inllama.memory_estimate import estimate

    options = flag_values(parsed, EngineOptions) | flag_values(parsed, ModelOptions)
    found, free = estimate(parsed.model, **options), FreeMemory.now()
    fits = all(_taken(found, device) <= room for device, room in _rooms(found, free).items())
    if parsed.json:
        print(json.dumps({**found.to_dict(), "free": _rooms(found, free), "fits": fits}))
    else:
        print(_table(found, free))
        print("fits" if fits else "does not fit into what is free")
    return 0 if fits else 1


def _rooms(found: MemoryEstimate, free: FreeMemory) -> dict[str, int]:
    rooms = {"CPU": free.host, **free.devices}
    return {one.device: rooms[one.device] for one in found.devices if rooms.get(one.device)}


def _taken(found: MemoryEstimate, device: str) -> int:
    return found.allocated if device == "CPU" else next(one.total for one in found.devices if one.device == device)


def _table(found: MemoryEstimate, free: FreeMemory) -> str:
    rooms = _rooms(found, free)
    rows: list[tuple[str, ...]] = [("MiB", "model", "KV", "compute", "output", "total", "free")]
    for one in found.devices:
        sizes = (one.model, one.kv, one.compute, one.output, one.total)
        rows.append((one.device, *map(_mib, sizes), _mib(rooms[one.device]) if one.device in rooms else "?"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
    mapped = f"; {_mib(found.mapped)} MiB of the model stay in its file, mapped" if found.mapped else ""
    return "\n".join([*lines, f"n_ctx {found.n_ctx}{mapped}"])


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / (1 << 20):.0f}"
