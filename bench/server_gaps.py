"""How long running streams of a server wait while a long prompt arrives."""

from __future__ import annotations

import time

from bench.http_client import HttpClient
from bench.latency import N_BEFORE, N_LONG, N_STREAMS, measure_gaps
from bench.measure import Case
from bench.servers import SPLIT, SPLIT_FA_OFF, Flags, Servers
from bench.workload import N_RUNNING, Prompts

TARGET = 0.3
# Each slot has room for the long prompt.
ROOM: Flags = ("-c", str(N_RUNNING * (N_LONG + 256)))
# Batches that running streams wait less for; the long prompt waits for more of them.
OURS: list[Flags] = [("--prefill-chunk", "64")]
THEIRS: list[Flags] = [
    ("-b", "512"),
    ("-b", "512", *SPLIT, *ROOM),
    ("-b", "512", *SPLIT_FA_OFF, *ROOM),
    ("-b", "64", *SPLIT_FA_OFF, *ROOM),
]


class Sides:
    """What is measured besides the gap: by server, the gaps before, and the time that the long prompt takes."""

    def __init__(self) -> None:
        self._prompts = Prompts()
        self.before_ms: dict[str, list[float]] = {}
        self.prompt_s: dict[str, list[float]] = {}

    def gap_ms(self, name: str, client: HttpClient) -> float:
        """Return the 99th percentile of the gaps of a run."""

        def complete(prompt: list[int]) -> None:
            started = time.perf_counter()
            client.complete(prompt, 1)
            self.prompt_s.setdefault(name, []).append(time.perf_counter() - started)

        before, during = measure_gaps(client.stream, complete, self._prompts)
        self.before_ms.setdefault(name, []).append(before * 1e3)
        return during * 1e3


def measure_server_gaps(n_rounds: int) -> list[Case]:
    """Measure the gaps between chunks."""
    sides = Sides()
    with Servers(OURS, THEIRS) as servers:
        return servers.cases(
            f"server, {N_STREAMS} streams, a prompt of {N_LONG}",
            f"{N_STREAMS} streamed /v1/completions of random prompts, each read by a thread of its own. After "
            f"{N_BEFORE} chunks of each, a random prompt of {N_LONG} tokens arrives; the 99th percentile of the times "
            "between two chunks of a stream, of all streams, from its arrival to its first new token. The same client "
            "for all servers. In the notes, for each: the median time before, and how long the long prompt took.",
            servers.interleave(sides.gap_ms, n_rounds),
            unit="ms",
            target=TARGET,
            at_least=False,
            before_ms=sides.before_ms,
            prompt_s=sides.prompt_s,
        )
