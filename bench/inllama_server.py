"""``inllama serve`` as a child process."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.native import model_path
from bench.server_process import ServerProcess
from bench.workload import GREEDY, N_CTX, N_RUNNING, N_THREADS, N_UBATCH

# What the engine is made with where no server is measured.
SERVING = ("--n-ctx", str(N_CTX), "--max-running", str(N_RUNNING), "--flash-attention", "on")


class InllamaServer(ServerProcess):
    """A server over the model that the benchmarks generate with.

    Of a flag that is given twice, the last one counts.
    """

    def __init__(self, flags: Sequence[str] = SERVING) -> None:
        command = [sys.executable, "-m", "inllama.cli", "serve", "-m", model_path()]
        command += ["--n-threads", str(N_THREADS), "--step-tokens", str(N_UBATCH), *flags]
        super().__init__(command, "/ready", GREEDY)
