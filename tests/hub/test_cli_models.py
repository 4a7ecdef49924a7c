"""``inllama pull``, ``list`` and ``rm``, run as a user runs them; and ``-m hf:...`` of the other commands."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from fake_hub import COMMIT, FakeHub

from inllama.cli import main
from inllama.cli.pull_progress import size_text
from inllama.hub.progress import PullProgress

REPO = "owner/tiny-GGUF"


@pytest.fixture
def repo(hub: FakeHub, llama: bytes) -> FakeHub:
    hub.add(REPO, {"tiny-Q4_K_M.gguf": llama, "tiny-Q8_0.gguf": llama[::-1], "mmproj-F16.gguf": b"GGUF"})
    return hub


class Terminal(io.StringIO):
    """Standard input of a user who answers."""

    def isatty(self) -> bool:
        return True


def test_pull_prints_the_paths_and_the_commit(repo: FakeHub, cache: Path) -> None:
    command = [sys.executable, "-m", "inllama.cli", "pull", f"hf:{REPO}:Q4_K_M"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    snapshot = cache / "models--owner--tiny-GGUF" / "snapshots" / COMMIT
    assert done.returncode == 0
    assert done.stdout.splitlines() == [str(snapshot / "tiny-Q4_K_M.gguf"), str(snapshot / "mmproj-F16.gguf")]
    assert done.stderr == f"inllama: hf:{REPO}/tiny-Q4_K_M.gguf@{COMMIT}\n"


def test_pull_says_when_the_hub_was_not_asked(
    repo: FakeHub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["pull", f"hf:{REPO}:Q4_K_M", "--no-mmproj"])
    first = capsys.readouterr()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert main(["pull", f"hf:{REPO}:Q4_K_M", "--no-mmproj"]) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    warning, commit = second.err.splitlines()
    assert warning.startswith("inllama: http://127.0.0.1:9 cannot be reached (ConnectError)")
    assert warning.endswith(f"{REPO}/tiny-Q4_K_M.gguf@{COMMIT} is taken as it was downloaded")
    assert commit in first.err


def test_pull_leaves_the_projection_away(repo: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", f"hf:{REPO}:Q4_K_M", "--no-mmproj"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_pull_goes_through_the_proxy(repo: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("HTTP_PROXY", repo.url)
    monkeypatch.setenv("http_proxy", repo.url)
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy", raising=False)
    command = [sys.executable, "-m", "inllama.cli", "pull", f"hf:{REPO}:Q4_K_M", "--no-mmproj"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert {seen.host for seen in repo.seen} == {"hub.invalid"}


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        (REPO, "does not begin with hf:"),
        (f"hf:{REPO}:Q5_0", "has no Q5_0; there is Q4_K_M, Q8_0; name one, as in hf:owner/tiny-GGUF:Q4_K_M"),
        ("hf:owner/nothing", "has no model owner/nothing"),
    ],
)
def test_what_cannot_be_pulled_is_one_line(
    repo: FakeHub, capsys: pytest.CaptureFixture[str], reference: str, problem: str
) -> None:
    assert main(["pull", reference]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert problem in shown.err
    assert shown.err.count("\n") == 1


def test_generate_takes_a_model_of_the_hub(repo: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--max-tokens", "2", "--n-ctx", "64", "--n-threads", "1"]
    assert main(["generate", "tiny", "-m", f"hf:{REPO}", *flags]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("tiny")
    assert shown.err == f"inllama: hf:{REPO}/tiny-Q4_K_M.gguf@{COMMIT}\n"


@pytest.mark.parametrize(
    "command", [["chat"], ["generate", "x"], ["serve"], ["batch", "x", "-o", "y"], ["embed", "x", "-o", "y"]]
)
def test_every_command_with_a_model_says_so(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command[0], "--help"])
    assert "hf:owner/repo:QUANT of the Hugging Face Hub" in " ".join(capsys.readouterr().out.split())


def test_list_shows_what_can_be_given_to_a_command(repo: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    main(["pull", f"hf:{REPO}:Q4_K_M"])
    path = capsys.readouterr().out.splitlines()[0]
    assert main(["list"]) == 0
    assert capsys.readouterr().out == f"huggingface    691 kB  hf:{REPO}:Q4_K_M\n"
    assert main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "source": "huggingface",
        "name": f"hf:{REPO}:Q4_K_M",
        "path": path,
        "files": [path],
        "size": 691168,
        "revision": COMMIT,
        "title": "",
    }


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("YES\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_rm_asks_first(
    repo: FakeHub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, answer: str, status: int
) -> None:
    main(["pull", f"hf:{REPO}:Q4_K_M", "--no-mmproj"])
    path = Path(capsys.readouterr().out.strip())
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert main(["rm", f"hf:{REPO}:Q4_K_M"]) == status
    assert capsys.readouterr().out == (
        f"models--owner--tiny-GGUF/snapshots/{COMMIT}/tiny-Q4_K_M.gguf\nRemove 1 files, 691 kB? [y/N] "
    )
    assert path.exists() == bool(status)


def test_rm_without_a_terminal_needs_yes(repo: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    main(["pull", f"hf:{REPO}:Q4_K_M", "--no-mmproj"])
    path = Path(capsys.readouterr().out.strip())
    command = [sys.executable, "-m", "inllama.cli", "rm", f"hf:{REPO}:Q4_K_M"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert (done.returncode, path.exists()) == (2, True)
    assert "give --yes" in done.stderr
    assert main(["rm", f"hf:{REPO}:Q4_K_M", "--yes"]) == 0
    assert not path.exists()
    assert capsys.readouterr().err == "inllama: 691 kB are free again\n"


def test_rm_of_another_programs_model_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rm", "llama3.2:1b", "--yes"]) == 1
    assert "does not begin with hf:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (691_168, "691 kB"), (999_700, "1.0 MB"), (4_210_000_000, "4.2 GB"),
     (123_456_789_012, "123 GB"), (5e12, "5.0 TB"), (5e15, "5000 TB")],
)  # fmt: skip
def test_sizes_are_for_people(size: float, text: str) -> None:
    assert size_text(size) == text


def test_progress_is_a_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from inllama.cli import progress, pull_progress

    shown = io.StringIO()
    monkeypatch.setattr(progress, "make_progress", progress.PlainProgress)
    monkeypatch.setattr(sys, "stderr", shown)
    with pull_progress.pull_progress() as show:
        show(PullProgress("a.gguf", "download", 500_000, 2_000_000))
        show(PullProgress("a.gguf", "check", 2_000_000, 2_000_000))
    assert shown.getvalue() == "\r500 kB of 2.0 MB, a.gguf, 25%\r2.0 MB of 2.0 MB, checking a.gguf, 100%\n"
