"""A Hub that wants files elsewhere: every name of it is checked before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_hub import COMMIT, FakeHub, sha256

from inllama import ModelLoadError, pull
from inllama.hub.names import file_problem

REPO = "owner/repo"
NAMES = [
    "../a.gguf",
    "a/../../b.gguf",
    "/etc/a.gguf",
    "..\\a.gguf",
    "a\\..\\..\\b.gguf",
    "\\\\server\\share\\a.gguf",
    "C:\\a.gguf",
    "C:a.gguf",
    "a.gguf:stream.gguf",
    "a//b.gguf",
    "./a.gguf",
    "a\0.gguf",
    "a\n.gguf",
    "\x1b[2J.gguf",
    "\ud83d.gguf",
    "a" * 300 + ".gguf",
    "a/" * 600 + "b.gguf",
]


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.fixture
def repo(hub: FakeHub) -> FakeHub:
    hub.add(REPO, {"a.gguf": b"GGUF"})
    return hub


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_file_name_that_leads_elsewhere_is_refused(repo: FakeHub, tmp_path: Path, name: str) -> None:
    repo.rewrite = lambda info: info["siblings"][0].update(rfilename=name)
    before = everything(tmp_path)
    with pytest.raises(ModelLoadError, match="nothing of it is used") as raised:
        pull(f"hf:{REPO}")
    assert raised.value.reason == "unsafe answer"
    assert everything(tmp_path) == before
    assert repo.downloads == []


@pytest.mark.parametrize("name", ["a.gguf", "a b/ä.gguf", "..a.gguf", "a..gguf", "%2e%2e/a.gguf", "a/.b/c.gguf"])
def test_file_name_that_stays_inside_is_taken(name: str) -> None:
    assert file_problem(name) is None


@pytest.mark.parametrize("name", [None, 7, b"a.gguf"])
def test_what_is_no_text_is_no_name(name: object) -> None:
    assert file_problem(name) == "is no text"


def test_strange_names_of_other_files_do_not_matter(repo: FakeHub) -> None:
    repo.rewrite = lambda info: info["siblings"].append({"rfilename": "../../x.md"})
    assert pull(f"hf:{REPO}").path.read_bytes() == b"GGUF"


@pytest.mark.parametrize("commit", ["../../x", "main", "A" * 40, COMMIT + "/", "", None, 7])
def test_commit_that_is_none_is_refused(repo: FakeHub, commit: object) -> None:
    repo.rewrite = lambda info: info.update(sha=commit)
    with pytest.raises(ModelLoadError, match="a commit that is none"):
        pull(f"hf:{REPO}")


@pytest.mark.parametrize("value", ["../../../x", "", "a" * 63, "A" * 64, "a" * 64 + "\n", None])
def test_hash_that_is_none_is_refused(repo: FakeHub, value: object) -> None:
    repo.rewrite = lambda info: info["siblings"][0]["lfs"].update(sha256=value)
    with pytest.raises(ModelLoadError, match=r"no hash of 'a.gguf', without which it cannot be checked"):
        pull(f"hf:{REPO}")


def test_file_without_any_hash_is_refused(repo: FakeHub) -> None:
    def drop(info: dict[str, Any]) -> None:
        info["siblings"] = [{"rfilename": "a.gguf", "size": 4}]

    repo.rewrite = drop
    with pytest.raises(ModelLoadError, match="no hash of"):
        pull(f"hf:{REPO}")


@pytest.mark.parametrize("size", [-1, 1 << 60, None, "4", 4.5])
def test_size_that_is_not_possible_is_refused(repo: FakeHub, size: object) -> None:
    repo.rewrite = lambda info: info["siblings"][0]["lfs"].update(size=size)
    with pytest.raises(ModelLoadError, match=r"a size of 'a.gguf' that is not possible"):
        pull(f"hf:{REPO}")


@pytest.mark.parametrize("place", ["blobs", "snapshots", f"snapshots/{COMMIT}", "refs"])
def test_link_out_of_the_cache_is_not_followed(repo: FakeHub, cache: Path, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = cache / "models--owner--repo" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(outside, target_is_directory=True)
    with pytest.raises(ModelLoadError, match="leads out of the cache"):
        pull(f"hf:{REPO}")
    assert list(outside.iterdir()) == []


def test_part_that_is_a_link_is_not_written_through(repo: FakeHub, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"")
    part = cache / "models--owner--repo" / "blobs" / f"{sha256(b'GGUF')}.incomplete"
    part.parent.mkdir(parents=True)
    part.symlink_to(tmp_path / "precious")
    pull(f"hf:{REPO}")
    assert (tmp_path / "precious").read_bytes() == b""


def test_file_behind_a_link_out_of_the_cache_is_not_there(
    repo: FakeHub, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pull(f"hf:{REPO}").path
    path.unlink()
    (tmp_path / "other.gguf").write_bytes(b"GGUF other")
    path.symlink_to(tmp_path / "other.gguf")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelLoadError, match="is not in the cache"):
        pull(f"hf:{REPO}")


def test_cache_that_is_itself_a_link_works(repo: FakeHub, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    cache.symlink_to(tmp_path / "disk")
    assert pull(f"hf:{REPO}").path.read_bytes() == b"GGUF"
