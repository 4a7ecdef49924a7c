"""``inllama serve`` beside llama-server, and what its Python costs. ``make bench CASE=server``."""

from __future__ import annotations

import sys

from bench.command import Measure, run
from bench.loop_time import measure_loop
from bench.server_gaps import measure_server_gaps
from bench.serving import BURSTS, measure_alone, measure_independent, measure_short

GROUPS: dict[str, Measure] = {
    "alone": lambda n_rounds: measure_alone(3 * n_rounds),  # its runs are short
    "burst": BURSTS[512],
    "long_burst": BURSTS[2048],
    "independent": measure_independent,
    "short": measure_short,
    "latency": measure_server_gaps,
    "loop": measure_loop,
}

if __name__ == "__main__":
    sys.exit(run(__doc__, GROUPS, "server", n_rounds=3))
