"""Loads damaged and hostile GGUF files in child processes, and says how many loaded, were refused, or did harm.

``make fuzz-gguf`` runs all of it; tests run samples.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
from gguf_fuzz import mutations, vocabularies
from gguf_fuzz.layout import GgufFile, read, take_apart
from gguf_fuzz.parent import Loader, Outcome

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests" / "model" / "fixtures"
SOUND = FIXTURES / "llama.gguf"
MODELS = ("llama", "moe", "gemma", "mamba", "hybrid", "t5", "bert_mean", "rank")
DEMO = ROOT / "src" / "inllama" / "models" / "demo.gguf"
# Adapter to the model that it is for.
ADAPTERS = {"lora_demo": DEMO}
# Kinds of vocabularies that no fixture has.
VOCABULARIES: dict[str, Callable[[GgufFile], GgufFile]] = {
    "gpt2": lambda file: vocabularies.with_byte_pairs(file, read(DEMO)[0]),
    "rwkv": vocabularies.with_escapes,
    "plamo2": lambda file: vocabularies.renamed(file, "plamo2"),
    "gemma4": lambda file: vocabularies.with_merges(file, "gemma4"),
}
ALL = [*MODELS, *VOCABULARIES, *ADAPTERS]
# Those that llama.cpp knows, and names that could hide entries from their rules.
ARCHITECTURES = (*gguf.MODEL_ARCH_NAMES.values(), "", ".", ".x", "general", "split", "tokenizer", "tokenizer.ggml")


def all_keys() -> list[str]:
    """Return every key that the gguf package knows; ``{arch}`` stands for the architecture."""
    found: list[str] = []
    for group in vars(gguf.constants.Keys).values():
        if isinstance(group, type):
            names = {name: value for name, value in vars(group).items() if not name.startswith("_")}
            found += [value for value in names.values() if isinstance(value, str)]
    return sorted(set(found))


@dataclass
class Tally:
    """What became of the files of one way to damage them."""

    name: str
    n: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    worst_s: float = 0.0
    worst_bytes: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, outcome: Outcome) -> None:
        """Count one."""
        self.n += 1
        self.outcomes[outcome.kind] += 1
        self.worst_s = max(self.worst_s, outcome.seconds)
        self.worst_bytes = max(self.worst_bytes, outcome.n_bytes)
        if outcome.is_fault:
            self.faults.append((name, outcome.kind + ": " + outcome.text))

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "ways": self.name,
            "files": self.n,
            "outcomes": dict(sorted(self.outcomes.items())),
            "worst_s": round(self.worst_s, 3),
            "worst_mib": round(self.worst_bytes / 2**20, 1),
            "seconds": round(self.seconds, 1),
            "faults": self.faults[:200],
        }


Change = tuple[str, bytes | GgufFile]


def bytes_of(content: bytes | GgufFile) -> bytes | None:
    """Return a file's bytes; ``None`` for one that cannot be written."""
    if isinstance(content, bytes):
        return content
    try:
        return content.to_bytes()
    except (ValueError, OverflowError):
        return None


def sound(name: str) -> bytes:
    """Return a file without damage: a fixture, or ``llama`` with a vocabulary of this name."""
    if name in VOCABULARIES:
        return VOCABULARIES[name](read(SOUND)[0]).to_bytes()
    return (FIXTURES / f"{name}.gguf").read_bytes()


def ways(content: bytes, seed: int, n_together: int, n_bits: int | None = None) -> dict[str, Iterator[Change]]:
    """Return every way to damage a file, by its name; only ``n_bits`` of its bits."""
    file, fields = take_apart(content)
    n_header = len(file.header())
    keys = all_keys()
    return {
        "cut": mutations.truncations(content, n_header),
        "integers": mutations.integer_fields(content, fields),
        "entries": mutations.entries(file, seed),
        "tensors": mutations.tensors(file),
        "added entries": mutations.added_entries(file, keys),
        "architectures": mutations.architectures(file, ARCHITECTURES),
        "together": mutations.together(file, keys, seed, n_together),
        "noise": mutations.noise(content, n_header, seed, n_together),
        "bits": mutations.bit_flips(content, n_header, seed, n_bits),
    }


def sample(changes: Iterator[Change], n: int, seed: int) -> list[tuple[str, bytes]]:
    """Return ``n`` of them, the same for the same seed."""
    source = random.Random(seed)
    kept: list[Change] = []
    for i, change in enumerate(changes):
        if len(kept) < n:
            kept.append(change)
        elif (at := source.randrange(i + 1)) < n:
            kept[at] = change
    contents = ((name, bytes_of(content)) for name, content in kept)
    return [(name, content) for name, content in contents if content is not None]


def run(loader: Loader, name: str, changes: Iterator[Change], base: Path | None, until: float) -> Tally:
    """Load every file of ``changes``, or those that there is time for."""
    tally = Tally(name)
    start = time.monotonic()
    for what, made in changes:
        if (content := bytes_of(made)) is None:
            continue
        outcome = loader.load(content, base)
        tally.add(what, outcome)
        if outcome.is_fault:
            print(f"  {name}: {what}: {outcome.kind}: {outcome.text}", flush=True)
        if time.monotonic() > until:
            tally.name += " (not all of it: no time)"
            break
    tally.seconds = time.monotonic() - start
    return tally


def run_folder(loader: Loader, folder: Path, n: int, seed: int, until: float) -> Iterator[Tally]:
    """Load each model of a folder, and ``n`` files of each of the ways that need to know what a file means."""
    keys = all_keys()
    for path in sorted(folder.glob("*.gguf")):
        if time.monotonic() > until:
            return
        content = path.read_bytes()
        file, fields = take_apart(content)
        # Each is a copy of the whole file: only some are made.
        fields = random.Random(seed).sample(fields, min(len(fields), n // 4))
        changes: list[tuple[str, bytes]] = [("as it is", content)]
        for way in (
            mutations.integer_fields(content, fields),
            mutations.entries(file, seed),
            mutations.tensors(file),
            mutations.together(file, keys, seed, n),
        ):
            changes += sample(way, n, seed)
        tally = run(loader, path.stem, iter(changes), None, until)
        yield tally


def main() -> int:
    """Run it; 1 if a file did harm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["llama"], help=f"of {', '.join(ALL)}; or 'all'")
    parser.add_argument("--ways", nargs="*", help="only these")
    parser.add_argument("--minutes", type=float, default=120, help="stop after so many")
    parser.add_argument("--together", type=int, default=20_000, help="files with several changes, and with noise")
    parser.add_argument("--folder", type=Path, help="models of yours instead, with samples of all ways for each")
    parser.add_argument("--sample", type=int, default=100, help="files of each way for each of those models")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the result there")
    parsed = parser.parse_args()
    until = time.monotonic() + 60 * parsed.minutes
    tallies: list[Tally] = []
    names = ALL if parsed.models == ["all"] else parsed.models
    with Loader(SOUND) as loader:
        for tally in run_folder(loader, parsed.folder, parsed.sample, parsed.seed, until) if parsed.folder else ():
            tallies.append(tally)
            print(json.dumps({**tally.to_dict(), "faults": len(tally.faults)}), flush=True)
        names = [] if parsed.folder else names
        for model in names:
            base = ADAPTERS.get(model)
            for way, changes in ways(sound(model), parsed.seed, parsed.together).items():
                if time.monotonic() > until or (parsed.ways and way not in parsed.ways):
                    continue
                tally = run(loader, f"{model}: {way}", changes, base, until)
                tallies.append(tally)
                print(json.dumps({**tally.to_dict(), "faults": len(tally.faults)}), flush=True)
    total = Tally("all", sum(t.n for t in tallies), sum(t.seconds for t in tallies))
    for tally in tallies:
        total.outcomes += tally.outcomes
        total.worst_s = max(total.worst_s, tally.worst_s)
        total.worst_bytes = max(total.worst_bytes, tally.worst_bytes)
    print(json.dumps(total.to_dict()))
    if parsed.json:
        rows = [tally.to_dict() for tally in (*tallies, total)]
        parsed.json.write_text(json.dumps({"seed": parsed.seed, "rows": rows}, indent=1) + "\n")
    return int(any(tally.faults for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
