"""Compares the CPU with the instruction sets that the native module was compiled for."""

from __future__ import annotations

import sys
from collections.abc import Iterable


def cpu_features() -> frozenset[str] | None:
    """Return the CPU's features in the spelling of ``/proc/cpuinfo``, or ``None`` where that cannot be read."""
    if sys.platform != "linux":
        return None
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith(("flags", "Features")):  # x86, arm64
                    return frozenset(line.partition(":")[2].split())
    except OSError:
        return None
    return None


def check_cpu(required: Iterable[str], found: frozenset[str] | None) -> None:
    """Raise ``ImportError`` if the CPU lacks a required feature: the first use of it would kill the process.

    Args:
        required: Features that the build uses.
        found: Features of the CPU; ``None`` if unknown, which is taken for all.
    """
    missing = [] if found is None else [name for name in required if name not in found]
    if missing:
        raise ImportError(
            f"this copy of inllama was built for a CPU with {' '.join(missing)}, which this machine lacks; "
            "install it again on this machine, or build it with INLLAMA_PORTABLE=1, for x86-64 with AVX2"
        )
