"""llama-server as a child process."""

from __future__ import annotations

from collections.abc import Sequence

from bench.native import model_path, tool
from bench.server_process import ServerProcess
from bench.workload import N_CTX, N_RUNNING, N_THREADS, N_UBATCH

# The cheapest way to the largest logit.
GREEDY = {"temperature": 0.0, "top_k": 1, "samplers": ["top_k"], "ignore_eos": True, "cache_prompt": True}

# As many slots as the engine runs outputs, and one memory of the same size for all of them; else the defaults.
# ``--cache-ram 0`` was tried: without the copies of idle slots there, they stay in the memory that all share, and each
# later burst of new prompts takes longer.
GENERATING = ("-c", str(N_CTX), "-np", str(N_RUNNING), "-kvu", "-fa", "on", "-ub", str(N_UBATCH))


class LlamaServer(ServerProcess):
    """A server over a model, by default the one that the benchmarks generate with.

    Of a flag that is given twice, the last one counts.
    """

    def __init__(self, model: str | None = None, flags: Sequence[str] = GENERATING) -> None:
        command = [tool("llama-server"), "-m", model or model_path(), "-t", str(N_THREADS), *flags]
        super().__init__(command, "/health", GREEDY)
