"""What the names of GGUF files say: the quantization, the parts of a split model, and which files are no models."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_SPLIT = re.compile(r"(?P<stem>.+)-(?P<index>[0-9]{5})-of-(?P<count>[0-9]{5})", re.IGNORECASE | re.DOTALL)
_QUANT = re.compile(
    r"(?<![A-Z0-9])(?:UD-)?"
    r"(?:I?Q[1-9](?:_[A-Z0-9]+)*|TQ[12]_0|MXFP4(?:_MOE)?|NVFP4|BF16|FP?16|FP?32)"
    r"(?![A-Z0-9_])"
)
# Files beside a model, as llama.cpp's own downloads leave them out (common/download.cpp), and adapters.
_NO_MODEL = re.compile(r"mmproj|imatrix|mtp-|eagle3-|dflash-|dspark-|(?:^|[-._])lora[-._]")


@dataclass(frozen=True)
class GgufModel:
    """The file of a model, or all its parts.

    Attributes:
        files: Names, the first part first.
        n_parts: How many there should be.
    """

    files: tuple[str, ...]
    n_parts: int

    @property
    def name(self) -> str:
        """The file that is given to a loader."""
        return self.files[0]

    @property
    def is_complete(self) -> bool:
        """Whether all parts are there."""
        return len(self.files) == self.n_parts

    @property
    def quant(self) -> str | None:
        """The quantization that the name says, in capitals."""
        return quant_of(self.name)

    def matches(self, quant: str) -> bool:
        """Whether ``quant`` stands in the name, between separators."""
        inside = rf"(?:^|[-./]){re.escape(quant)}(?:$|[-./])"
        return re.search(inside, stem_of(self.name), re.IGNORECASE) is not None


def is_gguf(name: str) -> bool:
    """Whether a name is that of a GGUF file."""
    return name.lower().endswith(".gguf")


def is_mmproj(name: str) -> bool:
    """Whether a file is the part of a model that reads images or sound."""
    return is_gguf(name) and "mmproj" in _last(name).lower()


def is_model(name: str) -> bool:
    """Whether a file is a model, and not something that stands beside one."""
    return is_gguf(name) and _NO_MODEL.search(_last(name).lower()) is None


def stem_of(name: str) -> str:
    """Return a name without its ending and the number of the part."""
    stem = name[: -len(".gguf")]
    found = _SPLIT.fullmatch(stem)
    return found["stem"] if found else stem


def quant_of(name: str) -> str | None:
    """Return the quantization that a name says, in capitals; of a file whose own name says none, its folder's."""
    stem = stem_of(name).upper()
    folder, _, last = stem.rpartition("/")
    for text in (last, _last(folder)):
        found = _QUANT.findall(text)
        if found:
            return str(found[-1])
    return None


def models_in(names: Iterable[str]) -> list[GgufModel]:
    """Return the files that belong together, by name; also those that are no models."""
    found: dict[tuple[str, int], dict[int, str]] = {}
    for name in names:
        split = _SPLIT.fullmatch(name[: -len(".gguf")])
        index, count = (int(split["index"]), int(split["count"])) if split else (1, 1)
        if split and 1 <= index <= count:
            found.setdefault((split["stem"], count), {})[index] = name
        else:
            found.setdefault((name, 1), {})[1] = name
    return [
        GgufModel(tuple(parts[index] for index in sorted(parts)), count) for (_, count), parts in sorted(found.items())
    ]


def _last(name: str) -> str:
    return name.rpartition("/")[2]
