"""estimate and what fits: numbers that hold, and an error before anything is allocated."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from inllama import LLM, Engine, InsufficientMemoryError, InvalidRequestError, ModelLoadError
from inllama.cli import main
from inllama.fitting import Fitting, FreeMemory
from inllama.memory_estimate import MemoryEstimate, Use, estimate
from inllama.model import demo_path
from inllama.params import EngineOptions, ModelOptions

GIB = 1 << 30
FIXTURE = Path(__file__).parent / "fixtures" / "llama.gguf"

# In a process of its own: what a process has had before stays with it.
_GROWTH = """
import json, sys
import numpy
from inllama import LLM, Engine, Model
from inllama.memory_estimate import estimate

def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))

path, options = sys.argv[1], json.loads(sys.argv[2])
found = estimate(path, load_mode="none", **options)
before = anonymous()
with Engine(path, load_mode="none", **options) as engine:
    prompts = [[100 * i + j for j in range(20)] for i in range(engine.max_running - 1)] + [list(range(600))]
    LLM(engine).generate(prompts, max_tokens=2)
    print(json.dumps([found.allocated, anonymous() - before]))
"""


def growth(path: Path, **options: Any) -> tuple[int, int]:
    """Return what is estimated, and what the process grows by."""
    command = [sys.executable, "-c", _GROWTH, str(path), json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    estimated, grown = json.loads(done.stdout)
    return estimated, grown


BENCH_MODEL = Path(__file__).resolve().parents[2] / "bench" / "models" / "random-0.5b-q4_0.gguf"


@pytest.mark.slow
@pytest.mark.skipif(not BENCH_MODEL.exists(), reason="make bench/models/random-0.5b-q4_0.gguf makes the model")
@pytest.mark.parametrize(
    "options",
    [
        {"n_ctx": 4096},
        {"n_ctx": 32_768},
        {"n_ctx": 8192, "max_running": 4},
        {"n_ctx": 16_384, "kv_type_k": "q8_0", "kv_type_v": "q8_0"},
        {"n_ctx": 16_384, "max_running": 32, "kv_type_k": "f32", "kv_type_v": "f32"},
    ],
    ids=lambda options: "-".join(f"{name}={value}" for name, value in options.items()),
)
def test_the_estimate_is_within_a_tenth_of_what_is_taken(options: dict[str, Any]) -> None:
    estimated, grown = growth(BENCH_MODEL, **options)
    assert estimated == pytest.approx(grown, rel=0.1)


def test_an_estimate_says_what_goes_where() -> None:
    found = estimate(demo_path(), n_ctx=2048, kv_type_k="f16", kv_type_v="f16")
    assert found.n_ctx == 2048
    assert found.host.device == "CPU"
    assert (
        found.total == found.host.total == sum((found.host.model, found.host.kv, found.host.compute, found.host.output))
    )
    assert 0 < found.mapped <= found.host.model
    assert found.allocated == found.total - found.mapped
    whole = estimate(demo_path(), n_ctx=2048, load_mode="none")
    assert whole.mapped == 0
    assert whole.allocated == found.total
    assert estimate(demo_path(), n_ctx=4096).host.kv == 2 * found.host.kv
    assert json.loads(json.dumps(found.to_dict()))["total"] == found.total


def test_estimating_while_an_engine_runs_changes_nothing_for_it() -> None:
    with LLM() as llm:
        expected = llm.generate("Once upon a time", max_tokens=32, temperature=0).text
        with llm.stream("Once upon a time", max_tokens=32, temperature=0) as stream:
            text = next(stream).text
            for n_ctx in (512, 1024, 2048):
                estimate(demo_path(), n_ctx=n_ctx)
            text += "".join(chunk.text for chunk in stream)
        assert text == expected


def test_what_cannot_be_estimated_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError):
        estimate(tmp_path / "none.gguf")
    with pytest.raises(TypeError, match="did you mean 'n_ctx'"):
        estimate(demo_path(), n_ctxx=1)
    with pytest.raises(InvalidRequestError):
        estimate(demo_path(), n_ctx=0)


class FakePlan:
    """A model of 32 layers: 1 GiB on the CPU and 8 GiB in its layers, 1 MiB of KV cache for 8 tokens."""

    n_ctx_train = 131_072
    n_layer = 32

    def __init__(self, gpu_layers: int) -> None:
        self._on_gpu = gpu_layers / 32

    def uses(self, engine: dict[str, object]) -> list[Use]:
        n_ctx = engine["n_ctx"]
        assert isinstance(n_ctx, int)
        kv = (n_ctx << 20) // 8
        gpu, cpu = self._on_gpu, 1 - self._on_gpu
        return [
            ("CPU", "CPU", True, GIB + int(8 * GIB * cpu), int(kv * cpu), 100 << 20, 10 << 20),
            ("CUDA0", "CUDA0", False, int(8 * GIB * gpu), int(kv * gpu), 100 << 20, 0),
        ]


def plan(_: str, loading: ModelOptions) -> FakePlan:
    return FakePlan(32 if loading.gpu_layers == "auto" else int(loading.gpu_layers))


def fitted(host: int, gpu: int | None, *, checks: bool = True, **options: Any) -> tuple[int | str, MemoryEstimate]:
    free = FreeMemory(host, {} if gpu is None else {"CUDA0": gpu})
    loading = ModelOptions(load_mode="none", **({"gpu_layers": 0} if gpu is None else {}))
    found, estimated = Fitting("x", loading, free=free, plan=plan).fitted(EngineOptions(**options), checks=checks)
    return found.gpu_layers, estimated


def test_a_device_that_is_large_enough_gets_all_layers_and_the_rest_becomes_context() -> None:
    layers, found = fitted(64 * GIB, 24 * GIB)
    assert layers == "auto"
    on_device = found.devices[1]
    assert on_device.total <= 0.92 * 24 * GIB
    assert found.n_ctx < FakePlan.n_ctx_train
    assert on_device.total + (256 << 20) // 8 > 0.92 * 24 * GIB  # the next step would not fit


def test_a_device_that_is_too_small_gets_as_many_layers_as_fit() -> None:
    layers, found = fitted(64 * GIB, 6 * GIB, n_ctx=8192)
    assert isinstance(layers, int)
    assert 0 < layers < 32
    assert found.devices[1].total <= 0.92 * 6 * GIB
    assert 9 * GIB * (layers + 1) / 32 > 0.92 * 6 * GIB - (100 << 20)


def test_a_context_that_nobody_asked_for_takes_half_of_what_is_free() -> None:
    _, found = fitted(32 * GIB, None)
    assert found.host.kv + found.host.compute + found.host.output <= 16 * GIB
    assert found.n_ctx == 130_048 or found.n_ctx % 256 == 0


def test_what_does_not_fit_is_refused_with_numbers() -> None:
    with pytest.raises(InsufficientMemoryError) as caught:
        fitted(8 * GIB, None, n_ctx=8192)
    error = caught.value
    assert error.device == "CPU"
    assert error.needed_bytes > error.free_bytes == 8 * GIB
    assert error.n_ctx == 8192
    assert "GiB" in str(error)


def test_an_engine_that_cannot_fit_allocates_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FreeMemory, "now", lambda: FreeMemory(32 << 20, {}))
    with pytest.raises(InsufficientMemoryError):
        Engine(FIXTURE, n_ctx=1 << 20)


def test_auto_says_in_the_log_what_fits(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(FreeMemory, "now", lambda: FreeMemory(20 << 20, {}))
    with caplog.at_level("INFO", logger="inllama"), Engine("demo") as engine:
        assert engine.n_ctx < engine.model.n_ctx_train
        assert f"n_ctx is {engine.n_ctx}" in caplog.text
        assert LLM(engine).generate("Once upon a time", max_tokens=4).usage.completion_tokens == 4


def test_the_command_prints_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", str(FIXTURE), "--n-ctx", "512", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n_ctx"] == 512
    assert found["fits"] is True
    assert main(["estimate", str(FIXTURE), "--n-ctx", "512"]) == 0
    assert "n_ctx 512" in capsys.readouterr().out
