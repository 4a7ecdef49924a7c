"""What is on this machine, in the caches of three programs; they are only read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_hub import COMMIT, OTHER_COMMIT, FakeHub

from inllama import CachedModel, cached_models, pull

REPO = "owner/tiny-GGUF"
HASH = "c" * 64


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def ollama(home: Path, name: str, manifest: object, blob: bytes = b"GGUF model") -> Path:
    path = home / "ollama" / "manifests" / name
    path.parent.mkdir(parents=True)
    path.write_text(manifest if isinstance(manifest, str) else json.dumps(manifest))
    blobs = home / "ollama" / "blobs"
    blobs.mkdir(exist_ok=True)
    (blobs / f"sha256-{HASH}").write_bytes(blob)
    return blobs / f"sha256-{HASH}"


def manifest(digest: object = f"sha256:{HASH}") -> dict[str, object]:
    other = {"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:" + "d" * 64}
    return {"layers": [other, {"mediaType": "application/vnd.ollama.image.model", "digest": digest}]}


def only() -> CachedModel:
    (found,) = cached_models()
    return found


def test_empty_machine_has_none() -> None:
    assert cached_models() == ()


def test_pulled_model_is_listed_under_its_shortest_name(hub: FakeHub) -> None:
    hub.add(REPO, {"tiny-Q4_K_M.gguf": b"GGUF", "mmproj-F16.gguf": b"GGUF p"})
    found = pull(f"hf:{REPO}")
    model = only()
    assert (model.source, model.name, model.size) == ("huggingface", f"hf:{REPO}:Q4_K_M", 4)
    assert (model.path, model.files, model.revision) == (found.path, found.files, COMMIT)


def test_names_that_are_listed_mean_the_same_model(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a-Q4_0.gguf", "b-Q4_0.gguf", "c.gguf", "m-Q8_0.gguf", "m-UD-Q8_0.gguf"]
    hub.add(REPO, {name: b"GGUF" + name.encode() for name in names})
    hub.repos[REPO].commits[OTHER_COMMIT] = {"m-Q8_0.gguf": b"GGUF other", "c.gguf": b"GGUFc.gguf"}
    for name in names:
        pull(f"hf:{REPO}/{name}")
    pull(f"hf:{REPO}:Q8_0@{OTHER_COMMIT}")
    pull(f"hf:{REPO}/c.gguf@{OTHER_COMMIT}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    models = cached_models()
    assert [model.name for model in models] == [
        f"hf:{REPO}/a-Q4_0.gguf",
        f"hf:{REPO}/b-Q4_0.gguf",
        f"hf:{REPO}/c.gguf",
        f"hf:{REPO}:Q8_0",
        f"hf:{REPO}:UD-Q8_0",
        f"hf:{REPO}:Q8_0@{OTHER_COMMIT}",
    ]
    for model in models:
        assert pull(model.name).path == model.path


def test_parts_are_one_model_and_incomplete_ones_none(hub: FakeHub, cache: Path) -> None:
    hub.add(REPO, {"b-Q8_0-00001-of-00002.gguf": b"GGUF1", "b-Q8_0-00002-of-00002.gguf": b"GGUF22"})
    found = pull(f"hf:{REPO}")
    assert (only().size, only().files) == (11, found.files)
    found.files[1].unlink()
    assert cached_models() == ()


def test_what_is_no_repository_is_left_out(cache: Path) -> None:
    for name in ("models--a", "models--a--b--c", "models--..--b", "datasets--a--b", "models--a--b"):
        (cache / name / "snapshots" / COMMIT).mkdir(parents=True)
        (cache / name / "snapshots" / COMMIT / "x.gguf").write_bytes(b"GGUF")
    assert [model.name for model in cached_models()] == [f"hf:a/b/x.gguf@{COMMIT}"]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("registry.ollama.ai/library/llama3.2/1b", "llama3.2:1b"),
        ("registry.ollama.ai/someone/model/latest", "someone/model:latest"),
        ("hf.co/owner/repo/Q4_K_M", "hf.co/owner/repo:Q4_K_M"),
    ],
)
def test_model_of_ollama_has_its_name_there(home: Path, name: str, title: str) -> None:
    blob = ollama(home, name, manifest())
    assert only() == CachedModel("ollama", str(blob), blob, (blob,), 10, title=title)


@pytest.mark.parametrize(
    "content",
    [
        manifest("sha256:../../../etc/passwd"),
        manifest("sha256:" + "e" * 64),
        manifest(7),
        manifest("sha256:" + HASH + "/../x"),
        {"layers": []},
        {"layers": 7},
        [],
        "{",
        "[" * 100_000,
    ],
    ids=lambda content: str(content)[:70],
)
def test_damaged_manifest_is_left_out(home: Path, content: object) -> None:
    ollama(home, "registry.ollama.ai/library/a/b", content)
    assert cached_models() == ()


def test_blob_that_is_no_gguf_is_left_out(home: Path) -> None:
    ollama(home, "registry.ollama.ai/library/a/b", manifest(), b"safetensors")
    assert cached_models() == ()


@pytest.mark.parametrize("place", [".lmstudio/models", ".cache/lm-studio/models", "elsewhere/models"])
def test_model_of_lm_studio_is_listed(home: Path, place: str) -> None:
    path = home / place / "publisher" / "repo" / "m-Q4_0.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF")
    path.with_name("mmproj-m.gguf").write_bytes(b"GGUF")
    path.with_name("m.txt").write_bytes(b"")
    (home / ".lmstudio-home-pointer").write_text(f"{home}/elsewhere\n")
    title = "publisher/repo/m-Q4_0.gguf"
    assert only() == CachedModel("lmstudio", str(path), path, (path,), 4, title=title)


def test_circle_of_links_ends(home: Path) -> None:
    folder = home / ".lmstudio" / "models" / "publisher"
    folder.mkdir(parents=True)
    (folder / "again").symlink_to(folder)
    (folder / "a.gguf").symlink_to(folder / "a.gguf")
    assert cached_models() == ()


def test_nothing_is_changed(hub: FakeHub, home: Path, tmp_path: Path) -> None:
    hub.add(REPO, {"tiny-Q4_K_M.gguf": b"GGUF"})
    pull(f"hf:{REPO}")
    ollama(home, "registry.ollama.ai/library/a/b", manifest())
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert len(cached_models()) == 2
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before
