"""The models that Ollama has. Its files are named by their hash; manifests, which it fetched, say whose they are."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inllama.hub.cached_model import CachedModel

_MODEL = "application/vnd.ollama.image.model"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_MAX_MANIFEST_BYTES = 1 << 20
_MAGIC = b"GGUF"
# Where the installer on Linux makes its service keep them.
_OF_SERVICE = "/usr/share/ollama/.ollama/models"


def folders() -> list[Path]:
    """Return where Ollama keeps models: ``OLLAMA_MODELS``, or the user's and the service's place."""
    given = os.environ.get("OLLAMA_MODELS")
    return [Path(given)] if given else [Path.home() / ".ollama" / "models", Path(_OF_SERVICE)]


def models() -> Iterator[CachedModel]:
    """Yield its models, by name."""
    for folder in folders():
        manifests = folder / "manifests"
        for manifest in sorted(path for path in manifests.glob("*/*/*/*") if path.is_file()):
            blob = _blob_of(manifest, folder / "blobs")
            if blob is not None:
                title = _title(manifest.relative_to(manifests).parts)
                yield CachedModel("ollama", str(blob), blob, (blob,), blob.stat().st_size, title=title)


def _title(parts: tuple[str, ...]) -> str:
    host, owner, model, tag = parts
    shown = [part for part in (host, owner, model) if part not in ("registry.ollama.ai", "library")]
    return f"{'/'.join(shown)}:{tag}"


def _blob_of(manifest: Path, blobs: Path) -> Path | None:
    try:
        with manifest.open("rb") as file:
            read: Any = json.loads(file.read(_MAX_MANIFEST_BYTES))
        layers = [layer["digest"] for layer in read["layers"] if layer["mediaType"] == _MODEL]
        found = _DIGEST.fullmatch(layers[0])
        if found is None:
            return None
        blob = blobs / f"sha256-{found[1]}"
        with blob.open("rb") as file:
            is_gguf = file.read(len(_MAGIC)) == _MAGIC
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return blob if is_gguf else None
