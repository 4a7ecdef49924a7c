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
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            input=asked,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise _failed(path, f"it took longer than {_TIMEOUT_S:g} s") from None
    if done.returncode == 0:
        return
    if done.returncode == _REFUSED:
        raise _failed(path, done.stdout.strip())
    if done.returncode < 0:
        raise _failed(path, f"it was ended by {signal.Signals(-done.returncode).name}")
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    raise _failed(path, f"it ended with {done.returncode}: {last}")


def _failed(path: str, problem: str) -> ModelLoadError:
    text = f"{path} could not be loaded in a child process: {problem}"
    return ModelLoadError(text, path=path, reason=problem)
