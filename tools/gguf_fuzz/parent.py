"""Hands files to a child process, and starts another one when it dies or takes too long."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

CHILD = Path(__file__).with_name("child.py")
FAULTS = ("crashed", "hung", "foreign error")


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes:
        kind: ``loaded``, ``refused``, ``refused later`` (loaded, but a context or text was refused), or a fault:
            ``crashed``, ``hung``, ``foreign error``.
        text: The reason.
        seconds: Processor time that it took, of all threads.
        n_bytes: How much memory it took beyond what was in use before.
    """

    kind: str
    text: str
    seconds: float
    n_bytes: int

    @property
    def is_fault(self) -> bool:
        """Whether it must not happen."""
        return self.kind in FAULTS


class Loader:
    """A child process that loads files, in a ``with``."""

    def __init__(self, sound_model: Path, *, limit_s: float = 10.0) -> None:
        self._sound_model = sound_model
        self._limit_s = limit_s
        self._folder = tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        self._process: subprocess.Popen[str] | None = None
        self._log = Path(self._folder.name) / "stderr"
        self.n_started = 0

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: tuple[type[BaseException], BaseException, TracebackType]) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._folder.cleanup()

    def load(self, content: bytes, base: Path | None = None) -> Outcome:
        """Load bytes as a model, or as an adapter of ``base``."""
        path = Path(self._folder.name) / "file.gguf"
        path.write_bytes(content)
        return self.load_file(path, base)

    def load_file(self, path: Path, base: Path | None = None) -> Outcome:
        """Load a file."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{path}\t{base or ''}\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], self._limit_s)
        if not ready:
            process.kill()
            self._end()
            return Outcome("hung", f"no answer within {self._limit_s:g} s", self._limit_s, 0)
        line = process.stdout.readline()
        if not line:
            return Outcome("crashed", self._end(), 0.0, 0)
        row = json.loads(line)
        return Outcome(row["outcome"], row["text"], row["seconds"], row["bytes"])

    def _start(self) -> subprocess.Popen[str]:
        self.n_started += 1
        command = [sys.executable, str(CHILD), str(self._sound_model)]
        with self._log.open("w") as log:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError(f"the child process did not start: {self._log.read_text()}")
        self._process = process
        return process

    def _end(self) -> str:
        """Return what the dead child said last."""
        assert self._process is not None
        self._process.communicate()
        code = self._process.returncode
        self._process = None
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        last = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()][-1:]
        return ": ".join([name, *last])
