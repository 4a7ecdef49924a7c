"""Texts to vectors, and conversations that are opened again. ``make bench CASE=embed``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from bench.command import run
from bench.http_client import HttpClient
from bench.llama_server import LlamaServer
from bench.measure import ROOT, Case, interleave, ratios
from bench.native import model_path
from bench.texts import MINILM, minilm_path, mixed_texts
from bench.workload import N_THREADS, Prompts, settings
from inllama import LLM, Engine, Model
from inllama._core import EventQueue
from inllama.embedding import EmbedCall

N_TEXTS = 1000
N_CONVERSATION = 2048
TARGET_SPEED = 1.0
TARGET_HANDING = 0.01
TARGET_REOPENING = 0.2
# A Python that has sentence-transformers, for the side that is measured beside ours.
TORCH_PYTHON = os.environ.get("INLLAMA_BENCH_TORCH_PYTHON")
EMBEDDING = ("--embedding", "--pooling", "mean")
SERVERS = {
    "llama-server, defaults": (*EMBEDDING, "-b", "512", "-ub", "512"),
    "llama-server -np 16": (*EMBEDDING, "-np", "16", "-c", "8192", "-b", "512", "-ub", "512"),
    "llama-server -np 64": (*EMBEDDING, "-np", "64", "-c", "32768", "-b", "512", "-ub", "512"),
    "llama-server -np 64 -ub 2048": (*EMBEDDING, "-np", "64", "-c", "32768", "-b", "2048", "-ub", "2048"),
}
CONNECTIONS = 4


class SentenceTransformers:
    """sentence-transformers in a process of its own."""

    def __init__(self, python: str, texts: list[str]) -> None:
        command = [python, str(ROOT / "bench" / "torch_embed.py"), str(N_THREADS)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._texts = json.dumps(texts)
        self.versions: dict[str, str] = json.loads(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def seconds(self) -> float:
        """Return how long all texts take."""
        assert self._process.stdin is not None
        self._process.stdin.write(self._texts + "\n")
        self._process.stdin.flush()
        return float(self._line())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()


def timed(call: Any) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measure_texts(n_rounds: int) -> list[Case]:
    """Measure vectors of many texts."""
    texts = mixed_texts(N_TEXTS)
    notes: dict[str, object] = {"model": MINILM.name, "n_threads": N_THREADS, "n_texts": N_TEXTS}
    with ExitStack() as stack:
        llm = stack.enter_context(LLM(minilm_path(), n_threads=N_THREADS))
        notes["n_tokens"] = sum(len(tokens) for tokens in llm.model.tokenizer.encode_batch(texts))
        sides: dict[str, Any] = {"inllama": lambda: N_TEXTS / timed(lambda: llm.embed(texts))}
        expected = llm.embed(texts)
        for name, flags in SERVERS.items():
            client = stack.enter_context(LlamaServer(minilm_path(), flags)).client
            vectors = np.array(client.embed_all(texts, CONNECTIONS))
            assert np.sum(vectors * expected, axis=1).min() > 0.9999
            sides[name] = partial(_served, client, texts)
        if TORCH_PYTHON is not None:
            torch = stack.enter_context(SentenceTransformers(TORCH_PYTHON, texts))
            torch.seconds()
            notes["torch"] = torch.versions
            sides["sentence-transformers"] = lambda: N_TEXTS / torch.seconds()
        series = interleave(sides, n_rounds)
    case = Case(
        name=f"embed {N_TEXTS} texts",
        method=(
            f"{N_TEXTS} texts of 8 to 200 tokens, mean pooling, f32 weights. inllama: wall time of LLM.embed with the "
            f"options of an engine as they are. llama-server: the same texts over {CONNECTIONS} connections at once, "
            "/v1/embeddings, with JSON written and read; several flags, of which the best one counts. "
            "sentence-transformers: encode() on torch, in a process of its own with as many threads."
        ),
        series=series,
        unit="texts/s",
        figure=ratios(series["inllama"], series["llama-server, defaults"]),
        figure_unit="x",
        target=TARGET_SPEED,
        at_least=True,
        notes=notes,
    )
    return [case, case.at_best(["inllama"], SERVERS)]


def _served(client: HttpClient, texts: list[str]) -> float:
    return N_TEXTS / timed(lambda: client.embed_all(texts, CONNECTIONS))


def measure_handing(n_rounds: int) -> list[Case]:
    """Measure how vectors come from C++ to numpy."""
    texts = mixed_texts(N_TEXTS)
    series: dict[str, list[float]] = {"all": [], "handing over": []}
    with LLM(minilm_path(), n_threads=N_THREADS) as llm:
        engine = llm.engine
        n_texts = 0
        for _ in range(n_rounds):
            started = time.perf_counter()
            call = EmbedCall(engine, texts, {})
            events = EventQueue()
            windows = {}
            while (window := call.next()) is not None:
                windows[engine.submit(events, window)] = window
            n_texts += N_TEXTS
            while engine.stats().embedded_texts < n_texts:
                time.sleep(0.001)
            computed = time.perf_counter()
            while windows:
                for event in events.take(1.0):
                    call.receive(windows.pop(event[0]), event)
            assert call.result().shape == (N_TEXTS, 384)
            ended = time.perf_counter()
            series["all"].append(ended - started)
            series["handing over"].append(ended - computed)
    return [
        Case(
            name=f"hand {N_TEXTS} x 384 floats to numpy",
            method="From the moment when all vectors are computed to the array that LLM.embed returns, of the call.",
            series=series,
            unit="s",
            figure=ratios(series["handing over"], series["all"]),
            figure_unit="of the call",
            target=TARGET_HANDING,
            at_least=False,
            notes={"model": MINILM.name},
        )
    ]


_OPENED = """
import json, sys, time
from inllama import LLM, Conversation
path, model, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
with LLM(model, n_threads=2, n_ctx=4096) as llm:
    llm.generate([1, 2, 3], max_tokens=1)
    started = time.perf_counter()
    talk = Conversation.load(llm, path, **options)
    reply = talk.send("And then?")
    print(json.dumps([time.perf_counter() - started, reply.usage.cached_tokens, reply.usage.prompt_tokens]))
"""


def measure_reopening(n_rounds: int) -> list[Case]:
    """Measure a conversation that goes on in a new process."""
    from bench.chats import KEEPING
    from inllama import Conversation

    options: dict[str, Any] = {"chat_template": KEEPING, "max_tokens": 1, "temperature": 0.0, "ignore_eos": True}
    cached: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Model(model_path()) as model, Engine(model, n_threads=N_THREADS, n_ctx=4096) as engine:
            text = model.tokenizer.decode(Prompts().one(N_CONVERSATION))
            said = model.tokenizer.decode(model.tokenizer.encode(text)[:N_CONVERSATION])
            talk = Conversation(LLM(engine), **options)
            talk.send(said)
            talk.save(folder / "kept", kv=True)
            talk.save(folder / "messages")

        def opened(file: str) -> float:
            command = [sys.executable, "-c", _OPENED, str(folder / file), model_path(), json.dumps(options)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds, n_cached, n_prompt = json.loads(done.stdout)
            cached[file] = [n_cached, n_prompt]
            return float(seconds)

        series = interleave(
            {"with the state": partial(opened, "kept"), "messages alone": partial(opened, "messages")}, n_rounds
        )
        size = (folder / "kept").stat().st_size
    return [
        Case(
            name=f"reopen a conversation of {N_CONVERSATION} tokens",
            method=(
                "A new process, whose model is loaded and warm: Conversation.load and the first token of the next "
                "turn. With the state of the KV cache in the file, and with the messages alone, which are computed."
            ),
            series=series,
            unit="s",
            figure=ratios(series["with the state"], series["messages alone"]),
            figure_unit="x",
            target=TARGET_REOPENING,
            at_least=False,
            notes=settings(cached_and_prompt_tokens=cached, file_bytes=size),
        )
    ]


GROUPS = {"texts": measure_texts, "handing": measure_handing, "reopening": measure_reopening}

if __name__ == "__main__":
    sys.exit(run(__doc__, GROUPS, "embed", n_rounds=5))
