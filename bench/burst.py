"""A burst of requests with a common prefix, cold and warm, against the work that has to be done."""

from __future__ import annotations

from functools import partial

from bench.http_client import HttpClient
from bench.llama_server import LlamaServer
from bench.measure import Case, interleave, ratios
from bench.native import model_path
from bench.workload import N_RUNNING, Prompts, batched_bench, generate_s, new_engine, settings
from inllama import Model

N_SHARED = 512
N_OWN = 16
N_NEW = 32
TARGET = 1.10


# What was measured of each side; the first is what the cases are about, the second may be its best flags.
OURS = ("inllama", "inllama, no flash attention")
WORK = ("the work", "the work, -fa off")
SERVER = "llama-server"


class Sides:
    """Each side measures the cold burst, and right after it the same burst again."""

    def __init__(self, model: Model, server: HttpClient) -> None:
        self._model = model
        self._server = server
        self._prompts = Prompts()
        self.warm: dict[str, list[float]] = {name: [] for name in (*OURS, *WORK, SERVER)}

    def _burst(self) -> list[list[int]]:
        return self._prompts.many(N_RUNNING, N_OWN, self._prompts.one(N_SHARED))

    def ours(self, name: str, flash_attention: str) -> float:
        """Return seconds of the burst in a new engine."""
        burst = self._burst()
        with new_engine(self._model, flash_attention=flash_attention) as engine:
            cold = generate_s(engine, burst, N_NEW)
            self.warm[name].append(generate_s(engine, burst, N_NEW))
        return cold

    def work(self, name: str, flash_attention: str) -> float:
        """Return seconds of the same computation without requests."""
        row = batched_bench(N_SHARED, N_NEW, unified=True, shared=True, flash_attention=flash_attention)
        self.warm[name].append(row["t_tg"])
        return row["t_pp"] + row["t_tg"] + N_RUNNING * N_OWN / row["speed_pp"]

    def server(self) -> float:
        """Return seconds of a burst whose prefix the server has not seen."""
        burst = self._burst()
        cold = self._server.complete_all_s(burst, N_NEW)
        self.warm[SERVER].append(self._server.complete_all_s(burst, N_NEW))
        return cold


def measure_burst(n_rounds: int) -> list[Case]:
    """Measure a burst of requests with a common prefix."""
    with Model(model_path()) as model, LlamaServer() as server:
        sides = Sides(model, server.client)
        server.client.complete_all_s(Prompts(seed=0).many(N_RUNNING, 16), 2)  # warms up, as the others do
        cold = interleave(
            {
                **{name: partial(sides.ours, name, flag) for name, flag in zip(OURS, ("on", "off"), strict=True)},
                **{name: partial(sides.work, name, flag) for name, flag in zip(WORK, ("on", "off"), strict=True)},
                SERVER: sides.server,
            },
            n_rounds,
        )
    setting = (
        f"{N_RUNNING} requests, {N_SHARED} shared and {N_OWN} own prompt tokens, {N_NEW} new ones each. inllama: wall "
        "time of one LLM.generate of all of them, engine defaults. "
    )
    beside = "Beside it llama-server, the same requests from as many threads over HTTP, one slot each, "
    cases = [
        Case(
            name="cold burst",
            method=(
                setting + f"A new engine with an empty memory per round. The work: llama-batched-bench -kvu -pps "
                f"-npp {N_SHARED} -ntg {N_NEW} -npl {N_RUNNING}, T_PP + T_TG and {N_RUNNING * N_OWN} tokens at its "
                "S_PP; it samples nothing. " + beside + "with a prefix that is new in each round."
            ),
            series=cold,
            unit="s",
            figure=ratios(cold[OURS[0]], cold[WORK[0]]),
            figure_unit="x",
            target=TARGET,
            at_least=False,
            notes=settings(),
        ),
        Case(
            name="warm burst",
            method=(
                setting + "The same prompts again in the engine of the cold burst. The work left: T_TG of the same "
                f"llama-batched-bench, {N_NEW} steps of {N_RUNNING} rows: the last prompt token of each request, which "
                "gives its first new one, and the others. " + beside + "the same burst for the second time."
            ),
            series=sides.warm,
            unit="s",
            figure=ratios(sides.warm[OURS[0]], sides.warm[WORK[0]]),
            figure_unit="x",
            target=TARGET,
            at_least=False,
            notes=settings(),
        ),
    ]
    return [*cases, *(case.at_best(OURS, WORK) for case in cases)]
