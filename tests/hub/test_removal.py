"""Removing: just what was named, and what nothing else needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_hub import COMMIT, OTHER_COMMIT, FakeHub, sha256

from inllama import ModelLoadError, cached_models, pull
from inllama.hub.reference import Reference
from inllama.hub.removal import removal

REPO = "owner/tiny-GGUF"
FILES = {"m-Q4_0.gguf": b"GGUF4", "m-Q8_0.gguf": b"GGUF888", "mmproj-F16.gguf": b"GGUF16"}


@pytest.fixture
def folder(hub: FakeHub, cache: Path) -> Path:
    """The cache of a repository with two models at two commits."""
    made = hub.add(REPO, FILES)
    made.commits[OTHER_COMMIT] = {"m-Q4_0.gguf": FILES["m-Q4_0.gguf"], "m-Q8_0.gguf": b"GGUF8 new"}
    for commit in (COMMIT, OTHER_COMMIT):
        pull(f"hf:{REPO}:Q4_0@{commit}")
        pull(f"hf:{REPO}:Q8_0@{commit}")
    return cache / "models--owner--tiny-GGUF"


def remove(selector: str) -> int:
    found = removal(Reference.parse(f"hf:{REPO}{selector}"))
    found.run()
    return found.size


def left(folder: Path) -> tuple[set[str], set[bytes]]:
    files = {path.relative_to(folder / "snapshots").as_posix() for path in folder.glob("snapshots/*/*")}
    return {f"{name[0]}/{name.partition('/')[2]}" for name in files}, {
        path.read_bytes() for path in folder.glob("blobs/*")
    }


def test_quantization_goes_at_all_commits(folder: Path) -> None:
    assert remove(":Q8_0") == len(b"GGUF888") + len(b"GGUF8 new")
    assert left(folder) == ({"a/m-Q4_0.gguf", "a/mmproj-F16.gguf", "b/m-Q4_0.gguf"}, {b"GGUF4", b"GGUF16"})


def test_bytes_that_another_commit_needs_stay(folder: Path) -> None:
    assert remove(f"/m-Q4_0.gguf@{COMMIT}") == 0
    names, blobs = left(folder)
    assert "b/m-Q4_0.gguf" in names
    assert b"GGUF4" in blobs


def test_commit_goes_with_all_its_files(folder: Path) -> None:
    remove(f"@{COMMIT}")
    assert left(folder) == ({"b/m-Q4_0.gguf", "b/m-Q8_0.gguf"}, {b"GGUF4", b"GGUF8 new"})
    assert not (folder / "snapshots" / COMMIT).exists()


def test_repository_goes_whole_with_what_was_interrupted(folder: Path, cache: Path) -> None:
    (folder / "blobs" / f"{sha256(b'x')}.incomplete").write_bytes(b"123")
    size = remove("")
    assert size == sum(map(len, {*FILES.values(), b"GGUF8 new", b"123"}))
    assert not folder.exists()
    assert cached_models() == ()


def test_files_of_others_stay(folder: Path) -> None:
    config = folder / "snapshots" / COMMIT / "config.json"
    blob = folder / "blobs" / "config"
    blob.write_bytes(b"{}")
    config.symlink_to("../../blobs/config")
    remove("")
    assert left(folder) == ({"a/config.json"}, {b"{}"})


def test_link_out_of_the_cache_is_left_alone(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "precious.gguf"
    outside.write_bytes(b"GGUF precious")
    (folder / "snapshots" / COMMIT / "out.gguf").symlink_to(outside)
    remove("")
    assert outside.read_bytes() == b"GGUF precious"


@pytest.mark.parametrize("selector", [":Q5_0", "/no.gguf", "@v1"])
def test_what_is_not_there_is_an_error(folder: Path, selector: str) -> None:
    before = left(folder)
    with pytest.raises(ModelLoadError, match=r"is in the cache, .*; 'inllama list' shows what is"):
        remove(selector)
    assert left(folder) == before
