"""Many requests at once: what the engine does with them. ``make bench CASE=engine``."""

from __future__ import annotations

import sys

from bench.asyncio_streams import measure_asyncio
from bench.burst import measure_burst
from bench.busy import measure_busy
from bench.cancelling import measure_cancelling
from bench.command import run
from bench.depth import measure_depth
from bench.independent import measure_independent
from bench.latency import measure_latency
from bench.mapping import measure_mapping
from bench.sampling import measure_sampling
from bench.sharing import measure_sharing
from bench.speed import measure_speed

GROUPS = {
    "speed": lambda n_rounds: measure_speed(3 * n_rounds),  # its runs are short
    "depth": measure_depth,
    "independent": measure_independent,
    "burst": measure_burst,
    "sharing": measure_sharing,
    "latency": measure_latency,
    "busy": measure_busy,
    "cancelling": measure_cancelling,
    "asyncio": measure_asyncio,
    "mapping": measure_mapping,
    "sampling": measure_sampling,
}

if __name__ == "__main__":
    sys.exit(run(__doc__, GROUPS, "engine", n_rounds=3))
