"""The models that LM Studio has: ``models/publisher/repository/file.gguf``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from inllama.hub.cached_model import CachedModel
from inllama.hub.gguf_names import is_gguf, is_model, models_in

# Of the folder of models; deeper ones are not LM Studio's.
_DEPTH = 4
_MAX_POINTER_BYTES = 4096


def folders() -> list[Path]:
    """Return where LM Studio keeps models, in its newer versions and its older ones."""
    home = Path.home()
    found = [home / ".lmstudio" / "models", home / ".cache" / "lm-studio" / "models"]
    try:
        with (home / ".lmstudio-home-pointer").open(encoding="utf-8") as file:
            found.insert(0, Path(file.read(_MAX_POINTER_BYTES).strip()) / "models")
    except (OSError, ValueError):
        pass
    return list(dict.fromkeys(folder for folder in found if folder.is_absolute()))


def models() -> Iterator[CachedModel]:
    """Yield its models, by path."""
    for folder in folders():
        for model in models_in(_names(folder, 1, folder)):
            if is_model(model.name) and model.is_complete:
                files = tuple(folder / name for name in model.files)
                size = sum(file.stat().st_size for file in files)
                yield CachedModel("lmstudio", str(files[0]), files[0], files, size, title=model.name)


def _names(folder: Path, depth: int, top: Path) -> Iterator[str]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink() and depth < _DEPTH:
            yield from _names(entry, depth + 1, top)
        elif is_gguf(entry.name) and entry.is_file():
            yield entry.relative_to(top).as_posix()
