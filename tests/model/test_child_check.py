"""validate="child": what a file does to a process, it does to another one first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inllama import LLM, InvalidRequestError, ModelLoadError, child_check
from inllama.model import demo_path

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.mark.parametrize("name", ["llama", "t5", "bert_mean"])
def test_a_sound_file_is_loaded(name: str) -> None:
    with LLM(FIXTURES / f"{name}.gguf", validate="child", repack=False) as llm:
        assert llm.model.n_params > 0


def test_a_file_that_is_refused_there_is_refused_here(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(demo_path().read_bytes()[:10_000])
    with pytest.raises(ModelLoadError, match="in a child process: could not load") as caught:
        LLM(damaged, validate="child")
    assert caught.value.path == str(damaged)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os; os.abort()", "it was ended by SIGABRT"),
        ("import ctypes; ctypes.string_at(0)", "it was ended by SIGSEGV"),
        ("raise MemoryError('too much')", "it ended with 1: MemoryError: too much"),
    ],
)
def test_what_ends_the_child_is_an_error(program: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_check, "_PROGRAM", program)
    with pytest.raises(ModelLoadError) as caught:
        LLM("demo", validate="child")
    assert caught.value.reason == reason


def test_a_child_that_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_check, "_PROGRAM", "import time; time.sleep(60)")
    monkeypatch.setattr(child_check, "_TIMEOUT_S", 0.2)
    with pytest.raises(ModelLoadError, match=r"longer than 0\.2 s"):
        LLM("demo", validate="child")


def test_the_child_gets_the_options_of_loading(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = tmp_path / "seen.json"
    monkeypatch.setattr(child_check, "_PROGRAM", f"import sys; open({str(seen)!r}, 'w').write(sys.stdin.read())")
    LLM("demo", validate="child", repack=False, kv_overrides={"general.x": 1}).close()
    path, options = json.loads(seen.read_text())
    assert path == str(demo_path())
    assert options["repack"] is False
    assert options["kv_overrides"] == {"general.x": 1}
    assert "validate" not in options


def test_other_words_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="use one of file, child"):
        LLM("demo", validate="maybe")
