"""What servers make of requests: streams, bursts and crowds, over HTTP."""

from __future__ import annotations

import time
from functools import partial

from bench.http_client import HttpClient, count
from bench.measure import Case
from bench.servers import SPLIT, SPLIT_FA_OFF, Servers
from bench.workload import N_CTX, N_RUNNING, Prompts

N_PROMPT_ALONE = 16
N_NEW_ALONE = 128
TARGET_ALONE = 0.97

N_OWN = 16
N_NEW = 32
# So that each of llama-server's slots has room for a prompt, in one memory and in one for each.
CONTEXTS = {512: N_CTX, 2048: 40_960}
TARGET_BURST = 5.0

N_PROMPT = 512
TARGET_INDEPENDENT = 0.97

N_SHORT = 64
N_PROMPT_SHORT = 64
TARGET_SHORT = 1.0

BOTH = "The same client for all servers, a thread and a connection for each request, prompts as token ids that are new"


def measure_alone(n_rounds: int) -> list[Case]:
    """Measure one stream."""
    prompts = Prompts()

    def tokens_per_s(name: str, client: HttpClient) -> float:
        count(client.stream(prompts.one(N_PROMPT_ALONE), 2))  # wakes the threads before the clock runs
        started = time.perf_counter()
        count(client.stream(prompts.one(N_PROMPT_ALONE), N_NEW_ALONE))
        return N_NEW_ALONE / (time.perf_counter() - started)

    with Servers(
        ours=[("--flash-attention", "off")], theirs=[("-np", "1"), ("-np", "1", "-fa", "off"), SPLIT_FA_OFF]
    ) as servers:
        return servers.cases(
            "server, one stream",
            f"A streamed /v1/completions of {N_PROMPT_ALONE} and {N_NEW_ALONE} new tokens, from before the connection "
            f"to the end of the answer. {BOTH} in each run.",
            servers.interleave(tokens_per_s, n_rounds),
            unit="tokens/s",
            target=TARGET_ALONE,
            at_least=True,
        )


def measure_burst(n_shared: int, n_rounds: int) -> list[Case]:
    """Measure requests with a common prefix that no server has seen."""
    prompts = Prompts()

    def requests_per_s(name: str, client: HttpClient) -> float:
        burst = prompts.many(N_RUNNING, N_OWN, prompts.one(n_shared))
        return N_RUNNING / client.complete_all_s(burst, N_NEW)

    with Servers(ours=[], theirs=[SPLIT, SPLIT_FA_OFF], n_ctx=CONTEXTS[n_shared]) as servers:
        return servers.cases(
            f"server, cold burst, {n_shared} shared tokens",
            f"{N_RUNNING} /v1/completions at once, {n_shared} shared and {N_OWN} own prompt tokens, {N_NEW} new ones "
            f"each, not streamed, over the wall time until all are answered. {BOTH} in each burst.",
            servers.interleave(requests_per_s, n_rounds),
            unit="requests/s",
            target=TARGET_BURST,
            at_least=True,
            n_ctx=CONTEXTS[n_shared],
        )


def measure_independent(n_rounds: int) -> list[Case]:
    """Measure unrelated prompts."""
    prompts = Prompts()

    def requests_per_s(name: str, client: HttpClient) -> float:
        return N_RUNNING / client.stream_all_s(prompts.many(N_RUNNING, N_PROMPT), N_NEW)

    with Servers(ours=[("--kv-mode", "split")], theirs=[SPLIT, SPLIT_FA_OFF]) as servers:
        return servers.cases(
            f"server, {N_RUNNING} independent requests",
            f"{N_RUNNING} streamed /v1/completions at once, {N_PROMPT} prompt tokens and {N_NEW} new ones each, over "
            f"the wall time until all streams ended. {BOTH} in each run.",
            servers.interleave(requests_per_s, n_rounds),
            unit="requests/s",
            target=TARGET_INDEPENDENT,
            at_least=True,
        )


def measure_short(n_rounds: int) -> list[Case]:
    """Measure more requests than run at a time."""
    prompts = Prompts()

    def requests_per_s(name: str, client: HttpClient) -> float:
        return N_SHORT / client.complete_all_s(prompts.many(N_SHORT, N_PROMPT_SHORT), N_NEW)

    more = ("-np", str(N_SHORT))
    with Servers(
        ours=[("--max-running", str(N_SHORT))],
        theirs=[("--no-cache-idle-slots",), SPLIT_FA_OFF, more, (*SPLIT, *more), (*SPLIT_FA_OFF, *more)],
    ) as servers:
        return servers.cases(
            f"server, {N_SHORT} short requests",
            f"{N_SHORT} /v1/completions at once over as many connections, {N_PROMPT_SHORT} prompt tokens and {N_NEW} "
            f"new ones each, not streamed, over the wall time until all are answered. {BOTH} in each run.",
            servers.interleave(requests_per_s, n_rounds),
            unit="requests/s",
            target=TARGET_SHORT,
            at_least=True,
        )


BURSTS = {n_shared: partial(measure_burst, n_shared) for n_shared in CONTEXTS}
