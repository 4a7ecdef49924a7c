"""The models that are on this machine: those of the Hub, and those that Ollama and LM Studio have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from inllama.hub import lm_studio, ollama
from inllama.hub.cached_model import CachedModel
from inllama.hub.choice import matching
from inllama.hub.gguf_names import GgufModel, is_model, models_in
from inllama.hub.names import is_repository
from inllama.hub.reference import SCHEME
from inllama.hub.repo_cache import RepoCache, cache_root


def cached_models() -> tuple[CachedModel, ...]:
    """Return the GGUF models in the caches of Hugging Face, Ollama and LM Studio; nothing is changed there.

    Each one's ``name`` can be given to ``LLM``. Of a split model all parts are there.
    """
    return (*_hugging_face(), *ollama.models(), *lm_studio.models())


def _hugging_face() -> Iterator[CachedModel]:
    root = cache_root()
    for folder in sorted(root.glob("models--*--*")):
        repo = folder.name.removeprefix("models--").replace("--", "/")
        if is_repository(repo):
            yield from _of_repository(repo, RepoCache(repo, root))


def _of_repository(repo: str, cache: RepoCache) -> Iterator[CachedModel]:
    newest = cache.commit_of(None)
    seen: set[tuple[Path, ...]] = set()
    for commit in sorted(cache.commits(), key=lambda commit: commit != newest):
        models = [model for model in models_in(cache.names(commit)) if is_model(model.name) and model.is_complete]
        for model in models:
            files = tuple(cache.snapshot(commit) / name for name in model.files)
            blobs = tuple(file.resolve() for file in files)
            if blobs not in seen:
                seen.add(blobs)
                name = SCHEME + repo + _selector(model, models) + ("" if commit == newest else f"@{commit}")
                size = sum(blob.stat().st_size for blob in blobs)
                yield CachedModel("huggingface", name, files[0], files, size, commit)


def _selector(model: GgufModel, models: list[GgufModel]) -> str:
    quant = model.quant
    is_enough = quant is not None and matching(models, quant) == [model]
    return f":{quant}" if is_enough else f"/{model.name}"
