"""What the cache alone says about a reference."""

from __future__ import annotations

from collections.abc import Sequence

from inllama.errors import ModelLoadError
from inllama.hub.choice import PREFERRED, choose, mmproj_for
from inllama.hub.gguf_names import is_model, models_in
from inllama.hub.pulled import Pulled, pulled
from inllama.hub.reference import Reference
from inllama.hub.repo_cache import RepoCache


def cached(reference: Reference, *, mmproj: bool = False, guess: bool = False) -> Pulled | None:
    """Return what the cache has of a reference, if it is all there.

    Args:
        reference: What to look for.
        mmproj: Return the projection beside it, too, if that is there.
        guess: Without a quantization in the reference, take what is there, though the Hub may have what goes before it.

    Raises:
        ModelLoadError: With ``guess``: several fit.
    """
    cache = RepoCache(reference.repo)
    commit = cache.commit_of(reference.revision)
    names = cache.names(commit) if commit is not None else []
    if commit is None or not names or not (guess or _is_certain(reference, names)):
        return None
    try:
        model = choose(names, reference)
    except ModelLoadError as error:
        is_open = reference.quant is None and reference.file is None
        if guess and is_open and len(error.fields.get("choices", ())) > 1:
            raise
        return None
    beside = mmproj_for(names, model) if mmproj else None
    return pulled(reference, cache, commit, model, beside)


def _is_certain(reference: Reference, names: Sequence[str]) -> bool:
    if reference.quant is not None or reference.file is not None:
        return True
    models = models_in(name for name in names if is_model(name))
    return [model.quant for model in models].count(PREFERRED) == 1
