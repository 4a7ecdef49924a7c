"""The inllama command, run as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STORY = ["generate", "Once upon a time", "--max-tokens", "12", "--seed", "3", "--n-threads", "1"]


def run(*arguments: str, stdin: str | None = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "inllama.cli", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120)


def test_generate_prints_the_prompt_and_what_follows() -> None:
    result = run(*STORY)
    assert result.returncode == 0
    assert result.stdout.startswith("Once upon a time")
    assert len(result.stdout.strip()) > len("Once upon a time") + 10
    assert result.stderr == ""


def test_prompt_comes_from_a_pipe_too() -> None:
    rest = [argument for argument in STORY if argument != "Once upon a time"]
    assert run(*rest, stdin="Once upon a time\n").stdout == run(*STORY).stdout


def test_stop_and_temperature_reach_the_model() -> None:
    result = run(*STORY, "--temperature", "0", "--stop", " was")
    assert result.returncode == 0
    assert " was" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["-m", "/nowhere/model.gguf"], "there is no such file"),
        (["--temperature", "-1"], "temperature is -1.0 but must be at least 0.0"),
        (["--grammar", "root ::= ("], "line 1"),
        (["--n-ctx", "256", "--prefill-chunk", "0"], "prefill_chunk is 0"),
    ],
)
def test_failure_is_one_line_and_exit_status_1(arguments: list[str], problem: str) -> None:
    result = run(*STORY, *arguments)
    assert result.returncode == 1
    assert problem in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments", [["generate", "a", "--temprature", "1"], ["nothing"], [], ["generate", "a", "--top-k", "x"]]
)
def test_bad_usage_is_exit_status_2(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert "usage:" in result.stderr


def test_an_adapter_changes_what_is_generated(lora_demo_path: Path) -> None:
    lora = ("--lora", f"fr={lora_demo_path}")
    plain = run(*STORY).stdout
    changed = run(*STORY, *lora)
    assert changed.returncode == 0, changed.stderr
    assert changed.stdout != plain
    assert run(*STORY, *lora, "--adapters", "fr=0").stdout == plain
    assert "no adapter 'de'" in run(*STORY, *lora, "--adapters", "de=1").stderr


def test_closed_pipe_is_no_traceback() -> None:
    command = f"{sys.executable} -m inllama.cli generate 'Once upon a time' --n-threads 1 | head -c 10"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert result.stdout == "Once upon "
    assert result.stderr == ""


def test_doctor_says_what_was_built_and_tries_the_demo_model() -> None:
    result = run("doctor")
    assert result.returncode == 0
    for fact in ("version", "llama_cpp_commit", "backend", "device CPU", "demo model"):
        assert fact in result.stdout
    assert "works" in result.stdout


def test_version_is_the_installed_one() -> None:
    import inllama

    assert run("--version").stdout.strip() == f"inllama {inllama.__version__}"


def test_command_is_installed() -> None:
    assert (Path(sys.executable).parent / "inllama").exists()
