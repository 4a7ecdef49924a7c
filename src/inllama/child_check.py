"""Loading a file in a process of its own first: what ends that process does not end this one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from inllama.errors import ModelLoadError
from inllama.params import ModelOptions

# Loads, and computes a token where that is possible: some damage shows only then.
_PROGRAM = """
import json, sys
from inllama import Batch, Context, InllamaError, Model
path, options = json.loads(sys.stdin.read())
try:
    with Model(path, **options) as model:
        if model.has_decoder and not model.has_encoder:
            context = Context(model, n_ctx=64)
            context.decode(Batch([0]))
except InllamaError as error:
    print(error)
    sys.exit(3)
"""
_TIMEOUT_S = 3600.0
_REFUSED = 3


def check_in_child(path: str, options: ModelOptions) -> None:
    """Load a file in a child process, which takes as long and as much memory as loading it does.

    Raises:
        ModelLoadError: It cannot be loaded there; ``.reason`` says why, or which signal ended the child.
    """
    asked = json.dumps([os.path.abspath(path), options.to_loading()])
    environment = {name: value for name, value in os.environ.items() if name != "INLLAMA_LEAK_WARNINGS"}
    child = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        said, complaint = child.communicate(asked, timeout=_TIMEOUT_S)
    except BaseException as error:
        child.kill()
        child.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise _failed(path, f"it took longer than {_TIMEOUT_S:g} s") from None
        raise
    if child.returncode == _REFUSED:
        raise _failed(path, said.strip())
    if child.returncode < 0:
        raise _failed(path, f"it was ended by {signal.Signals(-child.returncode).name}")
    if child.returncode > 0:
        last = (complaint.strip().splitlines() or ["no message"])[-1]
        raise _failed(path, f"it ended with {child.returncode}: {last}")


def _failed(path: str, problem: str) -> ModelLoadError:
    text = f"{path} could not be loaded in a child process: {problem}"
    return ModelLoadError(text, path=path, reason=problem)
