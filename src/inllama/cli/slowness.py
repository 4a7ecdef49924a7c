"""What this machine has, and what of it makes inllama slow; for ``inllama doctor``."""

from __future__ import annotations

from pathlib import Path

from inllama import _core
from inllama.build_info import build_info

_GIB = 1 << 30
# Below it, few models that people use fit.
_SMALL = 4 * _GIB


def machine_facts() -> list[tuple[str, str]]:
    """Return memory, swap and the limits of the cgroup."""
    limit, free = _core.memory_limit_bytes(), _core.memory_free_bytes()
    total, used = _swap()
    quota = cpu_quota()
    return [
        ("memory", f"{_gib(free)} free of {_gib(limit)}" if limit else "unknown"),
        ("swap", f"{_gib(used)} used of {_gib(total)}" if total else "none"),
        ("cgroup", f"{quota:g} cores" if quota is not None else "no limit of cores"),
    ]


def slow_facts() -> list[str]:
    """Return what is slow here, with what can be done."""
    found = []
    build, cores, quota = build_info(), _core.usable_cores(), cpu_quota()
    features = set(build.cpu_features)
    if build.system.endswith("x86_64") and "avx2" not in features:
        found.append("this build uses no AVX2; build it on this machine, without INLLAMA_PORTABLE")
    elif not build.native:
        found.append("this build is for other CPUs too; built on this machine it would use all that its CPU has")
    if cores <= 2:
        found.append(f"there are {cores} usable cores; more of them, or a GPU, compute faster")
    if quota is not None and quota < cores:
        found.append(
            f"the cgroup allows {quota:g} of {cores} cores; give n_threads={max(1, int(quota))}, or a larger limit"
        )
    limit = _core.memory_limit_bytes()
    if 0 < limit < _SMALL:
        found.append(f"there are {_gib(limit)} of memory; small models only")
    _, used = _swap()
    if used > _GIB:
        found.append(f"{_gib(used)} are swapped out; a model that is swapped is a hundred times slower")
    if build.backend == "cpu" and any(Path("/dev").glob("nvidia[0-9]*")):
        found.append("there is an NVIDIA GPU, and this build is for the CPU; INLLAMA_BACKEND=cuda uses it")
    return found


def cpu_quota() -> float | None:
    """Return the cores that the cgroup allows; ``None``: all."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _swap() -> tuple[int, int]:
    """Return how much swap there is, and how much of it is used, in bytes."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {
        name: int(rest.split()[0]) << 10 for name, _, rest in (line.partition(":") for line in lines) if rest.split()
    }
    total = sizes.get("SwapTotal", 0)
    return total, total - sizes.get("SwapFree", total)


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / _GIB:.1f} GiB"
