"""Which files of a repository a reference means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from inllama.errors import ModelLoadError
from inllama.hub.gguf_names import GgufModel, is_gguf, is_mmproj, is_model, models_in, quant_of
from inllama.hub.reference import Reference

# What most people want of a model that comes in many sizes, as llama.cpp and Ollama take it too.
PREFERRED = "Q4_K_M"
_N_SHOWN = 20
# Of projections: small, and none is more exact than what it was trained in.
_MMPROJ_ORDER = ("F16", "BF16", "Q8_0", "F32")


def choose(names: Iterable[str], reference: Reference) -> GgufModel:
    """Return the model that ``reference`` means among the files of its repository.

    Raises:
        ModelLoadError: None, several, or only some of the parts; ``.choices`` are the names that there are.
    """
    ggufs = sorted(name for name in names if is_gguf(name))
    if reference.file is not None:
        return _complete(_named(ggufs, reference, reference.file), reference)
    models = models_in(name for name in ggufs if is_model(name))
    if not models:
        raise _refused(reference, "has no GGUF models", "look for a repository whose name ends in -GGUF", [])
    quant = reference.quant
    if quant is None:
        if len(models) == 1:
            return _complete(models[0], reference)
        quant = PREFERRED
    found = matching(models, quant)
    if len(found) == 1:
        return _complete(found[0], reference)
    if not found:
        problem = f"has no {quant}" if reference.quant else f"has {len(models)} models, none of them {quant}"
        raise _refused(reference, problem, "name one, as in " + _example(reference, models), _choices(models))
    problem = f"has {len(found)} models that {quant} fits"
    raise _refused(reference, problem, f"name the file, as in hf:{reference.repo}/{found[0].name}", _files(found))


def matching(models: Sequence[GgufModel], quant: str) -> list[GgufModel]:
    """Return the models of a quantization: those that are just that, else those whose names have it somewhere."""
    exact = [model for model in models if model.quant == quant.upper()]
    return exact or [model for model in models if model.matches(quant)]


def mmproj_for(names: Iterable[str], model: GgufModel) -> str | None:
    """Return the projection for images or sound that belongs to ``model``: the nearest by folder, then by name."""
    folder = model.name.rpartition("/")[0]
    near = [name for name in names if is_mmproj(name) and _is_above(name.rpartition("/")[0], folder)]
    return min(near, key=lambda name: _mmproj_rank(name, model), default=None)


def _mmproj_rank(name: str, model: GgufModel) -> tuple[int, int, int, str]:
    quant = quant_of(name) or ""
    order = _MMPROJ_ORDER.index(quant) if quant in _MMPROJ_ORDER else len(_MMPROJ_ORDER)
    return -name.count("/"), -len(_words(name) & _words(model.name)), order, name


def _words(name: str) -> set[str]:
    return set(re.split(r"[-._]+", name.rpartition("/")[2].lower())) - {"mmproj", "gguf"}


def _is_above(folder: str, other: str) -> bool:
    return not folder or other == folder or other.startswith(folder + "/")


def _named(ggufs: Sequence[str], reference: Reference, file: str) -> GgufModel:
    for model in models_in(ggufs):
        if file in model.files:
            return model
    raise _refused(reference, f"has no file {file!r}", "name one of them", _files(models_in(ggufs)))


def _complete(model: GgufModel, reference: Reference) -> GgufModel:
    if not model.is_complete:
        problem = f"has {len(model.files)} of the {model.n_parts} parts of {model.name!r}"
        raise _refused(reference, problem, "choose another", [])
    return model


def _example(reference: Reference, models: Sequence[GgufModel]) -> str:
    with_quant = next((model.quant for model in models if model.quant), None)
    return f"hf:{reference.repo}:{with_quant}" if with_quant else f"hf:{reference.repo}/{models[0].name}"


def _choices(models: Sequence[GgufModel]) -> list[str]:
    quants = [model.quant for model in models]
    if None in quants or len(set(quants)) < len(quants):
        return _files(models)
    return [quant for quant in quants if quant]


def _files(models: Sequence[GgufModel]) -> list[str]:
    return [model.name for model in models]


def _refused(reference: Reference, problem: str, remedy: str, choices: list[str]) -> ModelLoadError:
    shown = ", ".join(choices[:_N_SHOWN])
    more = f" and {len(choices) - _N_SHOWN} more" if len(choices) > _N_SHOWN else ""
    there = f"; there is {shown}{more}" if choices else ""
    text = f"{reference.repo} {problem}{there}; {remedy}"
    return ModelLoadError(text, path=str(reference), reason=problem, choices=choices)
