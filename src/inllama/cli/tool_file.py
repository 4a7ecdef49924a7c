"""Functions of a Python file, as tools."""

from __future__ import annotations

import importlib.util
import inspect
import os
from collections.abc import Callable
from typing import Any

from inllama.errors import InvalidRequestError
from inllama.tools import tools_of


def load_tools(path: str | os.PathLike[str]) -> tuple[Callable[..., Any], ...]:
    """Run a Python file and return its public functions, in their order.

    Raises:
        InvalidRequestError: It has none, it fails, or one of them cannot be a tool.
        OSError: It cannot be read.
    """
    with open(path, encoding="utf-8"):
        pass
    spec = importlib.util.spec_from_file_location("inllama_tools", path)
    if spec is None or spec.loader is None:
        raise InvalidRequestError(f"{path} is no Python file; its name must end with .py", path=str(path))
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as problem:
        raise InvalidRequestError(
            f"{path} failed with {type(problem).__name__}: {problem}", path=str(path)
        ) from problem
    found = tuple(
        value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    )
    if not found:
        raise InvalidRequestError(f"{path} has no functions", path=str(path))
    tools_of(found)
    return found
