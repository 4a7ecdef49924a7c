"""From what a user calls a model to a loaded one."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from inllama._core import Model
from inllama.child_check import check_in_child
from inllama.hub.reference import SCHEME, Reference
from inllama.options import split_keywords
from inllama.params import EngineOptions, ModelOptions, SamplingParams

# Called with 0.0 to 1.0 while a file is loaded; False stops it.
Progress: TypeAlias = Callable[[float], object]

_logger = logging.getLogger("inllama")

# Metadata entry to option (llama.cpp's llama_model_meta_key).
_RECOMMENDED = {
    "temp": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "xtc_probability": "xtc_probability",
    "xtc_threshold": "xtc_threshold",
    "penalty_last_n": "penalty_last_n",
    "penalty_repeat": "repeat_penalty",
    "mirostat": "mirostat",
    "mirostat_tau": "mirostat_tau",
    "mirostat_eta": "mirostat_eta",
}


def demo_path() -> Path:
    """Return the path of the small model that the package carries."""
    return Path(__file__).with_name("models") / "demo.gguf"


def model_file(model: str | os.PathLike[str]) -> str:
    """Return the file that ``model`` names: a path, ``hf:owner/repo:QUANT``, or ``"demo"`` for the one of the package.

    Raises:
        ModelLoadError: The Hub does not give it.
        InvalidRequestError: It begins with ``hf:`` and is no reference.
        UnsupportedError: It must be downloaded, and the extra ``hub`` is not installed.
    """
    if isinstance(model, str) and model.startswith(SCHEME):
        from inllama.hub.download import local_model

        return os.fspath(local_model(model).path)
    if model == "demo":
        path = demo_path()
        _logger.info("using the demo model inside the package, %s", path)
        return os.fspath(path)
    return os.fspath(model)


def checked_file(model: str | os.PathLike[str], options: ModelOptions) -> str:
    """``model_file``, and load it in a child process first, if that is asked for; errors as both."""
    path = model_file(model)
    if options.validate == "child":
        check_in_child(path, options)
    return path


def load_model(path: str, options: ModelOptions, progress: Progress | None = None) -> Model:
    """Load a file; raises ``ModelLoadError`` if that cannot be done, or ``progress`` stops it."""
    return Model(path, progress=progress, **options.to_loading())


def recommended_params(model: Model) -> SamplingParams:
    """Return the sampling options that the model file recommends; those that make no sense are logged and left out."""
    metadata = model.metadata
    values: dict[str, int | float] = {}
    for entry, name in _RECOMMENDED.items():
        text = metadata.get(f"general.sampling.{entry}")
        if text is None:
            continue
        try:
            value = float(text)
            values[name] = int(value) if name in ("top_k", "penalty_last_n", "mirostat") else value
            SamplingParams(**{name: values[name]})  # type: ignore[arg-type]
        except (ValueError, TypeError) as problem:
            values.pop(name, None)
            _logger.warning("the model recommends general.sampling.%s = %r, which is ignored: %s", entry, text, problem)
    return SamplingParams(**values)  # type: ignore[arg-type]


def checked_options(
    model: object, options: Mapping[str, Any], progress: Progress | None = None
) -> tuple[EngineOptions, ModelOptions]:
    """Return the options for an engine of ``model``.

    Raises:
        InvalidRequestError: An option has a value that is not possible, or the model a name that none has.
        TypeError: An option that does not exist, or one of loading for a ``Model``.
    """
    if isinstance(model, str) and model.startswith(SCHEME):
        Reference.parse(model)
    engine, loading = split_keywords(options, EngineOptions, ModelOptions)
    given = [*loading, *(["progress"] if progress is not None else [])]
    if given and isinstance(model, Model):
        raise TypeError(f"{given[0]!r} is an option of loading, but the model is loaded already")
    return EngineOptions.from_keywords(engine), ModelOptions.from_keywords(loading)
