"""``inllama serve`` and llama-server beside each other, each also with flags that may be better for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Self, TypeAlias

from bench.http_client import HttpClient
from bench.inllama_server import SERVING, InllamaServer
from bench.llama_server import GENERATING, LlamaServer
from bench.measure import Case, interleave, ratios
from bench.workload import N_CTX, N_RUNNING, Prompts, settings

Flags: TypeAlias = tuple[str, ...]
OURS = "inllama"
THEIRS = "llama-server"

# Slots with a memory each and no flash attention: what llama-batched-bench computes unrelated prompts fastest with.
# Copies of idle slots would serve nobody then.
SPLIT: Flags = ("-no-kvu", "-cram", "0")
SPLIT_FA_OFF: Flags = (*SPLIT, "-fa", "off")


class Servers:
    """All servers of a case, running.

    Attributes:
        clients: Of each server; its name is that of the program and the flags that it has besides.
        ours: Names of our servers, the one that the case is about first.
        theirs: Names of llama.cpp's servers, the one that the case is about first.
    """

    def __init__(self, ours: Sequence[Flags], theirs: Sequence[Flags], n_ctx: int = N_CTX) -> None:
        """Start a server for each of the flags, beside those without more."""
        self._stack = ExitStack()
        self.clients: dict[str, HttpClient] = {}
        serving = (*SERVING, *(("--n-ctx", str(n_ctx)) if n_ctx != N_CTX else ()))
        generating = (*GENERATING, *(("-c", str(n_ctx)) if n_ctx != N_CTX else ()))
        self.ours = {" ".join((OURS, *flags)): (*serving, *flags) for flags in ((), *ours)}
        self.theirs = {" ".join((THEIRS, *flags)): (*generating, *flags) for flags in ((), *theirs)}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for name, flags in self.ours.items():
                self.clients[name] = stack.enter_context(InllamaServer(flags)).client
            for name, flags in self.theirs.items():
                self.clients[name] = stack.enter_context(LlamaServer(flags=flags)).client
            for client in self.clients.values():
                client.complete_all_s(Prompts(seed=0).many(N_RUNNING, 16), 2)  # warms up
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def interleave(self, measure: Callable[[str, HttpClient], float], n_rounds: int) -> dict[str, list[float]]:
        """Measure every server once per round, and return the samples of each."""
        return interleave({name: partial(measure, name, client) for name, client in self.clients.items()}, n_rounds)

    def cases(
        self,
        name: str,
        method: str,
        series: dict[str, list[float]],
        *,
        unit: str,
        target: float,
        at_least: bool,
        **notes: object,
    ) -> list[Case]:
        """Return the ratio of the first server of each side, and that of the best ones."""
        case = Case(
            name=name,
            method=method + " Each server is named after the flags that it has besides those in the notes.",
            series=series,
            unit=unit,
            figure=ratios(series[OURS], series[THEIRS]),
            figure_unit="x",
            target=target,
            at_least=at_least,
            notes=settings(inllama_flags=self.ours[OURS], llama_server_flags=self.theirs[THEIRS], **notes),
        )
        return [case, case.at_best(self.ours, self.theirs)]
