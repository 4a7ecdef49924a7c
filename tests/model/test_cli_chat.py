"""``inllama chat`` as a program: through a pipe, and at a terminal."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "inllama.cli", "chat", "--temperature", "0", "--n-threads", "1"]
MAIN = "import sys; from inllama.cli import main; sys.exit(main())"
EDITING = "\x1b[?2004h"  # line editing begins with the mark of pasted text
DIM_ITALIC = "\x1b[2;3m"


def test_through_a_pipe(tmp_path: Path) -> None:
    lines = "Hello! My name is Ada.\nWhat is my name?\n/save talk.json\n"
    done = subprocess.run(COMMAND, input=lines, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split("\n")) >= 4  # reasoning and an answer, twice
    assert "tokens/s" in done.stderr
    assert (tmp_path / "talk.json").exists()


def read_until(fd: int, text: str, seconds: float = 30) -> str:
    seen = ""
    end = time.monotonic() + seconds
    while text not in seen:
        ready, _, _ = select.select([fd], [], [], max(0.0, end - time.monotonic()))
        assert ready, seen
        seen += os.read(fd, 4096).decode(errors="replace")
        if "\x1b[6n" in seen:  # a program that asks where the cursor is
            os.write(fd, b"\x1b[1;1R")
            seen = seen.replace("\x1b[6n", "")
    return seen


def start_at_a_terminal(code: str, *flags: str) -> tuple[int, int]:
    """Return the process and the descriptor of its terminal."""
    import pty

    child, fd = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm-256color"
        os.environ.pop("NO_COLOR", None)
        os.execv(sys.executable, [sys.executable, "-c", code, *COMMAND[3:], *flags])
    return child, fd


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("extra", [True, False])
def test_at_a_terminal_ctrl_c_stops_the_answer(extra: bool) -> None:
    if extra:
        pytest.importorskip("prompt_toolkit")
        pytest.importorskip("rich")
    code = MAIN
    if not extra:  # as if it was not installed
        hide = (
            "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n, *a: None if n == 'rich' else f(n, *a)"
        )
        code = f"{hide}; {code}"
    prompt = EDITING if extra else "> "
    child, fd = start_at_a_terminal(code, "--ignore-eos")
    try:
        read_until(fd, prompt)
        os.write(fd, b"Tell me a story about a dog.\r")
        read_until(fd, "reasoning")  # the answer has begun
        os.write(fd, b"\x03")
        seen = read_until(fd, "stopped")
        if prompt not in seen.partition("stopped")[2]:
            read_until(fd, prompt)
        os.write(fd, b"/quit\r")
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    finally:
        os.close(fd)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_at_a_terminal_alt_enter_begins_a_line_and_reasoning_is_dimmed() -> None:
    pytest.importorskip("prompt_toolkit")
    pytest.importorskip("rich")
    child, fd = start_at_a_terminal(MAIN, "--max-tokens", "40")
    try:
        read_until(fd, EDITING)
        os.write(fd, b"/system first line\x1b\rsecond line\r")
        read_until(fd, EDITING)
        os.write(fd, b"/system\r")
        shown = read_until(fd, "second line")
        assert "first line" in shown
        read_until(fd, EDITING)
        os.write(fd, b"Hello!\r")
        read_until(fd, DIM_ITALIC)
        read_until(fd, "tokens/s")
        os.write(fd, b"/quit\r")
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    finally:
        os.close(fd)
