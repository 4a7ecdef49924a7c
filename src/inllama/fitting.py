"""What fits into memory: ``"auto"`` becomes numbers, and what cannot fit is refused before anything is allocated."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import inllama._core as _core
from inllama._core import Model
from inllama.errors import InsufficientMemoryError, UnsupportedError
from inllama.memory_estimate import MemoryEstimate, Plan, estimate_of, native_plan
from inllama.params import EngineOptions, ModelOptions

_logger = logging.getLogger("inllama")

# Left to the program and the system, of what is free.
_OF_HOST = 0.9
_OF_DEVICE = 0.92
# Of free main memory, what a context that nobody asked for may take.
_AUTO_OF_HOST = 0.5
_CTX_STEP = 256
_SMALLEST_CTX = 512
# Context that decides how many layers go to a device, before the rest of its memory becomes context.
_WANTED_CTX = 8192
# What steps and logits take, at most, of models and options as people have them.
_ENOUGH_BESIDE = 1 << 30


@dataclass(frozen=True, slots=True)
class FreeMemory:
    """What could be taken now, in bytes.

    Attributes:
        host: Main memory, within the limit of the cgroup; 0 if unknown.
        devices: Of each device with memory of its own, by name.
    """

    host: int
    devices: dict[str, int]

    @classmethod
    def now(cls) -> FreeMemory:
        """Return what is free."""
        found = {one.name: one.free_bytes for one in _core.devices() if one.type != "cpu" and one.memory_bytes > 0}
        return cls(_core.memory_free_bytes(), found)


class Fitting:
    """Finds options with which a model fits.

    Args:
        path: Of its file.
        loading: How it will be loaded.
        is_loaded: Whether its weights are in memory already.
        free: What is free.
        plan: Makes a plan of a file.
    """

    def __init__(
        self,
        path: str,
        loading: ModelOptions,
        *,
        is_loaded: bool = False,
        free: FreeMemory | None = None,
        plan: Callable[[str, ModelOptions], Plan] = native_plan,
    ) -> None:
        self._path = path
        self._loading = loading
        self._is_loaded = is_loaded
        self._free = free or FreeMemory.now()
        self._make_plan = plan
        self._plans: dict[object, Plan] = {}

    def fitted(self, engine: EngineOptions, *, checks: bool = True) -> tuple[ModelOptions, MemoryEstimate]:
        """Return how the model is to be loaded, and what it and an engine take, with which context.

        Raises:
            InsufficientMemoryError: Nothing fits; ``.needed_bytes``, ``.free_bytes`` and ``.device`` say how much.
        """
        loading = self._with_layers(engine)
        found = self._with_context(engine, loading)
        if checks:
            self._check(found)
        return loading, found

    def _with_layers(self, engine: EngineOptions) -> ModelOptions:
        if self._loading.gpu_layers != "auto" or not self._free.devices or self._is_loaded:
            return self._loading
        n_ctx = min(self._plan(self._loading).n_ctx_train, _WANTED_CTX) if engine.n_ctx == "auto" else int(engine.n_ctx)
        if self._fits(self._estimate(engine, self._loading, n_ctx)):
            return self._loading
        low, high = 0, self._plan(self._loading).n_layer  # low fits, or nothing does
        while low < high:
            middle = (low + high + 1) // 2
            if self._fits(self._estimate(engine, replace(self._loading, gpu_layers=middle), n_ctx)):
                low = middle
            else:
                high = middle - 1
        _logger.info("%d layers fit on the devices, the others are computed on the CPU", low)
        return replace(self._loading, gpu_layers=low)

    def _with_context(self, engine: EngineOptions, loading: ModelOptions) -> MemoryEstimate:
        if engine.n_ctx != "auto":
            return self._estimate(engine, loading, int(engine.n_ctx))
        most = self._plan(loading).n_ctx_train
        found = self._estimate(engine, loading, most)
        if self._fits(found, is_auto=True):
            return found
        low, high = 0, most // _CTX_STEP  # in steps; high does not fit
        while high - low > 1:
            middle = (low + high) // 2
            if self._fits(self._estimate(engine, loading, middle * _CTX_STEP), is_auto=True):
                low = middle
            else:
                high = middle
        n_ctx = max(low * _CTX_STEP, min(_SMALLEST_CTX, most))
        _logger.info("n_ctx is %d: more does not fit into memory; the model was trained with %d", n_ctx, most)
        return self._estimate(engine, loading, n_ctx)

    def _plan(self, loading: ModelOptions) -> Plan:
        key = loading.gpu_layers
        if key not in self._plans:
            self._plans[key] = self._make_plan(self._path, loading)
        return self._plans[key]

    def _estimate(self, engine: EngineOptions, loading: ModelOptions, n_ctx: int) -> MemoryEstimate:
        return estimate_of(self._plan(loading), engine, loading, n_ctx)

    def _wanted(self, found: MemoryEstimate) -> dict[str, int]:
        """Return the bytes that are still to be taken of each memory."""
        wanted = {one.device: one.total - (one.model if self._is_loaded else 0) for one in found.devices}
        if not self._is_loaded:
            wanted["CPU"] -= found.mapped
        return wanted

    def _room(self) -> dict[str, int]:
        room = {device: int(_OF_DEVICE * free) for device, free in self._free.devices.items()}
        return {"CPU": int(_OF_HOST * self._free.host), **room} if self._free.host else room

    def _fits(self, found: MemoryEstimate, *, is_auto: bool = False) -> bool:
        room, wanted = self._room(), self._wanted(found)
        beside = wanted["CPU"] - (0 if self._is_loaded else found.host.model - found.mapped)
        if is_auto and self._free.host and beside > _AUTO_OF_HOST * self._free.host:
            return False
        return all(wanted[device] <= room[device] for device in wanted if device in room)

    def _check(self, found: MemoryEstimate) -> None:
        room, wanted = self._room(), self._wanted(found)
        for device, needed in wanted.items():
            if needed > room.get(device, needed):
                free = self._free.host if device == "CPU" else self._free.devices[device]
                where = "main memory" if device == "CPU" else device
                raise InsufficientMemoryError(
                    f"this needs {_gib(needed)} of {where} for n_ctx={found.n_ctx}, and {_gib(free)} are free; give a "
                    "smaller n_ctx or max_running, a smaller kv_type_k and kv_type_v, or a smaller quantization",
                    device=device,
                    needed_bytes=needed,
                    free_bytes=free,
                    n_ctx=found.n_ctx,
                )


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / (1 << 30):.2f} GiB"


def fit_file(path: str, engine: EngineOptions, loading: ModelOptions) -> ModelOptions:
    """Return how a file is to be loaded, so that it fits.

    Raises:
        InsufficientMemoryError: It does not.
    """
    free = FreeMemory.now()
    if not free.devices and (free.host == 0 or 2 * _size_of(path) + _ENOUGH_BESIDE < free.host):
        return loading  # the weights fit, whatever is done with them; of the rest more is known once they are loaded
    try:
        return Fitting(path, loading, free=free).fitted(engine)[0]
    except UnsupportedError:  # no decoder: it has no context to fit
        return loading


def fit_context(model: Model, engine: EngineOptions, loading: ModelOptions) -> EngineOptions:
    """Return the options of an engine over a model that was loaded so, with a context that fits.

    Raises:
        InsufficientMemoryError: None does.
    """
    if not model.has_decoder or model.is_vocab_only:
        return engine
    free = FreeMemory.now()
    n_ctx = model.n_ctx_train if engine.n_ctx == "auto" else int(engine.n_ctx)
    # Keys and values in f32 of every head, and states of that size: more than any model's memory takes.
    most = n_ctx * model.n_layer * 2 * model.n_embd * 4
    if not free.devices and (free.host == 0 or most + _ENOUGH_BESIDE < _AUTO_OF_HOST * free.host):
        return replace(engine, n_ctx=n_ctx)
    try:
        _, found = Fitting(model.path, loading, is_loaded=True, free=free).fitted(engine)
    except UnsupportedError:
        return engine
    return replace(engine, n_ctx=found.n_ctx)


def _size_of(path: str) -> int:
    """Return the bytes of a file, or of all files of a split model."""
    file = Path(path)
    stem, _, count = file.stem.rpartition("-of-")
    if not stem or not count.isdigit():
        return os.path.getsize(path) if file.is_file() else 0
    return sum(other.stat().st_size for other in file.parent.glob(f"{stem.rpartition('-')[0]}-*-of-{count}.gguf"))
