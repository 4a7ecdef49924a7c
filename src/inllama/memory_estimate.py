"""``estimate``: what a model and an engine over it would take, without taking it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol, TypeAlias

import inllama._core as _core
from inllama.model import checked_options, model_file
from inllama.options import Options
from inllama.params import EngineOptions, ModelOptions

# Buffer, device, whether it is main memory, and bytes of model, context, compute and output; of _core.MemoryPlan.uses.
Use: TypeAlias = tuple[str, str, bool, int, int, int, int]

# What llama.cpp calls weights in a layout of their own, which no file has.
_REPACKED = "REPACK"
_MAPPED_MODES = ("auto", "mmap", "mlock", "mmap_mlock")


class Plan(Protocol):
    """A model of which everything but the weights is known; as ``inllama._core.MemoryPlan``."""

    @property
    def n_ctx_train(self) -> int: ...
    @property
    def n_layer(self) -> int: ...
    def uses(self, engine: dict[str, object]) -> Sequence[Use]: ...


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """What would be in one memory, in bytes.

    Attributes:
        device: ``CPU`` for main memory, or a device's name.
        model: Weights; of main memory, with those that stay in a mapped file.
        kv: KV cache and states.
        compute: What a step needs while it is computed.
        output: Logits.
    """

    device: str
    model: int
    kv: int
    compute: int
    output: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.model + self.kv + self.compute + self.output


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What a model and an engine over it would take.

    Attributes:
        n_ctx: Tokens of context that it is for.
        devices: Main memory first, then each device that holds something.
        mapped: Bytes of the main memory's weights that stay in the mapped file: the system can take these pages away
            and read them again.
    """

    n_ctx: int
    devices: tuple[DeviceMemory, ...]
    mapped: int

    @property
    def host(self) -> DeviceMemory:
        """Main memory."""
        return self.devices[0]

    @property
    def allocated(self) -> int:
        """Bytes of main memory that nobody can take away."""
        return self.host.total - self.mapped

    @property
    def total(self) -> int:
        """Bytes in all memories."""
        return sum(one.total for one in self.devices)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            **asdict(self),
            "allocated": self.allocated,
            "total": self.total,
            "devices": [{**asdict(one), "total": one.total} for one in self.devices],
        }


def estimate(model: str | os.PathLike[str], **options: Any) -> MemoryEstimate:
    """Return what a model and an engine over it would take; allocates its vocabulary only.

    Engines may run meanwhile. With ``n_ctx="auto"`` it is for the context that an engine would get now.

    Args:
        model: A path, or another name as of ``LLM``.
        **options: Fields of ``EngineOptions`` and ``ModelOptions``.

    Raises:
        InvalidRequestError: An option has a value that is not possible.
        ModelLoadError: The file cannot be read.
        TypeError: An option that does not exist.
    """
    from inllama.fitting import Fitting

    engine, loading = checked_options(model, options)
    return Fitting(model_file(model), loading).fitted(engine, checks=False)[1]


def estimate_of(plan: Plan, engine: EngineOptions, loading: ModelOptions, n_ctx: int) -> MemoryEstimate:
    """Return what a plan says about an engine with that context."""
    found: dict[str, list[int]] = {"CPU": [0, 0, 0, 0]}
    mapped = 0
    for buffer, device, is_host, *sizes in plan.uses({**engine.to_native(), "n_ctx": n_ctx}):
        row = found.setdefault("CPU" if is_host else device, [0, 0, 0, 0])
        for index, size in enumerate(sizes):
            row[index] += size
        if is_host and _REPACKED not in buffer and loading.load_mode in _MAPPED_MODES:
            mapped += sizes[0]
    devices = tuple(DeviceMemory(device, *row) for device, row in found.items())
    return MemoryEstimate(n_ctx, devices, mapped)


def native_plan(path: str, loading: ModelOptions) -> Plan:
    """Return llama.cpp's plan for a file."""
    return _core.MemoryPlan(path, plain(loading))


def plain(options: Options) -> dict[str, object]:
    """Return all options, those without a value too, as the native side reads them."""
    values: Mapping[str, Any] = {item.name: getattr(options, item.name) for item in fields(options)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
