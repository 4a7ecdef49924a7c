"""One sequence: what inllama costs on top of llama.cpp. ``make bench CASE=single``."""

from __future__ import annotations

import sys

from bench.command import run
from bench.loading import measure_loading
from bench.overhead import measure_overhead
from bench.speed import measure_speed
from bench.startup import measure_startup
from bench.tokenizing import measure_tokenizing

GROUPS = {
    "speed": measure_speed,
    "overhead": measure_overhead,
    "tokenizing": measure_tokenizing,
    "startup": measure_startup,
    "loading": measure_loading,
}

if __name__ == "__main__":
    sys.exit(run(__doc__, GROUPS, "single", n_rounds=11))
