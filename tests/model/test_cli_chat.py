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


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("extra", [True, False])
def test_at_a_terminal_ctrl_c_stops_the_answer(extra: bool) -> None:
    import pty

    if extra:
        pytest.importorskip("prompt_toolkit")
        pytest.importorskip("rich")
    code = "import sys; from inllama.cli import main; sys.exit(main())"
    if not extra:  # as if it was not installed
        hide = (
            "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n, *a: None if n == 'rich' else f(n, *a)"
        )
        code = f"{hide}; {code}"
    prompt = "\x1b[?2004h" if extra else "> "  # line editing begins with the mark of pasted text
    child, fd = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm"
        os.execv(sys.executable, [sys.executable, "-c", code, *COMMAND[3:], "--ignore-eos"])
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
