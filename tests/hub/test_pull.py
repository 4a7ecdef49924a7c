"""Downloads from a Hub on loopback: what comes, what is kept after a break, and what is checked."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest
from fake_hub import COMMIT, OTHER_COMMIT, FakeHub, git_id, sha256

from inllama import ModelLoadError, PullProgress, pull
from inllama.hub import transfer
from inllama.hub.digest import Digest

DATA = bytes(range(256)) * 4096  # 1 MiB
REPO = "owner/tiny-GGUF"
PARTS = {f"big-Q8_0-0000{i}-of-00003.gguf": DATA[i:] for i in (1, 2, 3)}


@pytest.fixture
def repo(hub: FakeHub) -> FakeHub:
    hub.add(REPO, {"tiny-Q4_K_M.gguf": DATA, "mmproj-F16.gguf": b"GGUF projection", "README.md": b"#", **PARTS})
    return hub


def blobs(cache: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in (cache / "models--owner--tiny-GGUF" / "blobs").iterdir()}


def test_file_is_brought_under_its_name(repo: FakeHub, cache: Path) -> None:
    found = pull(f"hf:{REPO}:Q4_K_M", mmproj=False)
    assert found.path == cache / "models--owner--tiny-GGUF" / "snapshots" / COMMIT / "tiny-Q4_K_M.gguf"
    assert found.path.read_bytes() == DATA
    assert (found.files, found.mmproj, found.repo, found.revision) == ((found.path,), None, REPO, COMMIT)
    assert found.reference == f"hf:{REPO}/tiny-Q4_K_M.gguf@{COMMIT}"
    assert blobs(cache) == {sha256(DATA): len(DATA)}


def test_huggingface_hub_finds_what_was_brought(repo: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import scan_cache_dir, try_to_load_from_cache

    found = pull(f"hf:{REPO}:Q4_K_M")
    where = str(found.path.parents[3])
    assert try_to_load_from_cache(REPO, "tiny-Q4_K_M.gguf", cache_dir=where) == str(found.path)
    scanned = scan_cache_dir(where)
    assert scanned.warnings == []
    (known,) = scanned.repos
    assert (known.repo_id, known.refs.keys(), known.nb_files) == (REPO, {"main"}, 2)


def test_what_is_there_is_not_fetched_again(repo: FakeHub) -> None:
    first = pull(f"hf:{REPO}:Q4_K_M")
    count = len(repo.downloads)
    assert pull(f"hf:{REPO}:Q4_K_M") == first
    assert len(repo.downloads) == count


def test_same_bytes_under_another_name_or_commit_are_fetched_once(repo: FakeHub) -> None:
    pull(f"hf:{REPO}:Q4_K_M", mmproj=False)
    repo.repos[REPO].commits[OTHER_COMMIT] = {"renamed.gguf": DATA}
    found = pull(f"hf:{REPO}@{OTHER_COMMIT}")
    assert found.path.read_bytes() == DATA
    assert len(repo.downloads) == 1


def test_projection_comes_beside_the_model(repo: FakeHub) -> None:
    found = pull(f"hf:{REPO}:Q4_K_M")
    assert found.mmproj == found.path.with_name("mmproj-F16.gguf")
    assert found.mmproj.read_bytes() == b"GGUF projection"


def test_all_parts_come(repo: FakeHub) -> None:
    found = pull(f"hf:{REPO}:Q8_0")
    assert [path.name for path in found.files] == sorted(PARTS)
    assert found.path == found.files[0]
    assert [path.read_bytes() for path in found.files] == [PARTS[name] for name in sorted(PARTS)]


def test_branch_is_read_once_and_the_commit_is_reported(repo: FakeHub) -> None:
    repo.repos[REPO].commits[OTHER_COMMIT] = {"tiny-Q4_K_M.gguf": DATA[::-1]}
    repo.repos[REPO].refs["refs/pr/1"] = OTHER_COMMIT
    found = pull(f"hf:{REPO}:Q4_K_M@refs/pr/1", mmproj=False)
    assert found.revision == OTHER_COMMIT
    assert found.path.read_bytes() == DATA[::-1]
    assert all(OTHER_COMMIT in seen.path for seen in repo.downloads)
    assert pull(found.reference).path == found.path


def test_branch_that_moved_is_followed(repo: FakeHub) -> None:
    pull(f"hf:{REPO}:Q4_K_M")
    repo.repos[REPO].commits[OTHER_COMMIT] = {"tiny-Q4_K_M.gguf": b"GGUF new"}
    repo.repos[REPO].refs["main"] = OTHER_COMMIT
    assert pull(f"hf:{REPO}:Q4_K_M").path.read_bytes() == b"GGUF new"
    assert pull(f"hf:{REPO}:Q4_K_M@{COMMIT}").path.read_bytes() == DATA


# ------------------------------------------------------------------------------------------------------- breaks


def test_connection_that_breaks_goes_on_within_the_call(repo: FakeHub) -> None:
    repo.break_after = [300_000, 300_000]
    assert pull(f"hf:{REPO}:Q4_K_M", mmproj=False).path.read_bytes() == DATA
    assert [seen.range for seen in repo.downloads] == [None, "bytes=300000-", "bytes=600000-"]


def test_download_that_was_given_up_goes_on_with_the_next_call(repo: FakeHub, cache: Path) -> None:
    repo.break_after = [400_000] + [0] * 6
    with pytest.raises(ModelLoadError, match=r"broke off after 400000 of 1048576 bytes; the same again") as raised:
        pull(f"hf:{REPO}:Q4_K_M")
    assert (raised.value.reason, raised.value.done, raised.value.size) == ("broken off", 400_000, len(DATA))
    assert blobs(cache) == {f"{sha256(DATA)}.incomplete": 400_000}
    repo.seen.clear()
    repo.break_after.clear()
    assert pull(f"hf:{REPO}:Q4_K_M", mmproj=False).path.read_bytes() == DATA
    assert [seen.range for seen in repo.downloads] == ["bytes=400000-"]


def test_download_that_the_caller_stops_goes_on_with_the_next_call(repo: FakeHub) -> None:
    class StopError(Exception):
        pass

    def stop(at: PullProgress) -> None:
        if at.done:
            raise StopError

    with pytest.raises(StopError):
        pull(f"hf:{REPO}:Q8_0", progress=stop)
    parts = sorted(PARTS)
    done: list[str] = []

    def stop_in_second(at: PullProgress) -> None:
        done.append(at.file)
        if at.file == parts[1]:
            raise StopError

    with pytest.raises(StopError):
        pull(f"hf:{REPO}:Q8_0", progress=stop_in_second)
    repo.seen.clear()
    pull(f"hf:{REPO}:Q8_0", mmproj=False)
    assert [seen.path.rpartition("/")[2] for seen in repo.downloads] == parts[1:]


def test_server_without_ranges_begins_again(repo: FakeHub) -> None:
    repo.break_after = [400_000] + [0] * 6
    with pytest.raises(ModelLoadError):
        pull(f"hf:{REPO}:Q4_K_M")
    repo.break_after.clear()
    repo.ignores_range = True
    assert pull(f"hf:{REPO}:Q4_K_M").path.read_bytes() == DATA


def test_storage_elsewhere_gets_no_token(repo: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.repos[REPO].token = "hf_secret"
    repo.redirects = True
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert pull(f"hf:{REPO}:Q4_K_M", mmproj=False).path.read_bytes() == DATA
    assert {(seen.host, seen.authorization) for seen in repo.downloads} == {
        ("127.0.0.1", "Bearer hf_secret"),
        ("localhost", None),
    }


def test_two_calls_at_once_fetch_a_file_once(repo: FakeHub) -> None:
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(pull(f"hf:{REPO}:Q4_K_M", mmproj=False).path)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(repo.downloads) == 1


# ------------------------------------------------------------------------------------------------------- hashes


def test_wrong_bytes_are_thrown_away(repo: FakeHub, cache: Path) -> None:
    repo.serves["tiny-Q4_K_M.gguf"] = DATA[:-1] + b"x"
    with pytest.raises(ModelLoadError, match=r"tiny-Q4_K_M.gguf of owner/tiny-GGUF has another hash than") as raised:
        pull(f"hf:{REPO}:Q4_K_M")
    assert (raised.value.reason, raised.value.expected) == ("wrong hash", sha256(DATA))
    assert blobs(cache) == {}
    assert not (cache / "models--owner--tiny-GGUF" / "snapshots").exists()
    repo.serves.clear()
    assert pull(f"hf:{REPO}:Q4_K_M").path.read_bytes() == DATA


def test_part_of_another_file_is_thrown_away(repo: FakeHub, cache: Path) -> None:
    folder = cache / "models--owner--tiny-GGUF" / "blobs"
    folder.mkdir(parents=True)
    (folder / f"{sha256(DATA)}.incomplete").write_bytes(b"x" * 1000)
    with pytest.raises(ModelLoadError, match="another hash"):
        pull(f"hf:{REPO}:Q4_K_M")
    assert pull(f"hf:{REPO}:Q4_K_M").path.read_bytes() == DATA


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1, 10 * len(DATA)])
def test_file_of_another_size_is_refused(repo: FakeHub, cache: Path, size: int) -> None:
    repo.serves["tiny-Q4_K_M.gguf"] = (DATA * 10)[:size]
    with pytest.raises(ModelLoadError) as raised:
        pull(f"hf:{REPO}:Q4_K_M")
    assert raised.value.reason == ("broken off" if size < len(DATA) else "too large")
    assert all(kept < len(DATA) for kept in blobs(cache).values())


def test_small_file_is_checked_by_its_git_id(hub: FakeHub, cache: Path) -> None:
    hub.add(REPO, {"a.gguf": b"GGUF small"}, small={"a.gguf"})
    hub.serves["a.gguf"] = b"GGUF smell"
    with pytest.raises(ModelLoadError, match="another hash"):
        pull(f"hf:{REPO}")
    hub.serves.clear()
    assert pull(f"hf:{REPO}").path.read_bytes() == b"GGUF small"
    assert blobs(cache) == {git_id(b"GGUF small"): 10}


def test_damaged_file_in_the_cache_is_fetched_again_if_asked(repo: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    path = pull(f"hf:{REPO}:Q4_K_M").path
    path.write_bytes(DATA[::-1])
    assert pull(f"hf:{REPO}:Q4_K_M").path.read_bytes() == DATA[::-1]
    with caplog.at_level(logging.WARNING, "inllama"):
        assert pull(f"hf:{REPO}:Q4_K_M", verify=True).path.read_bytes() == DATA
    assert "tiny-Q4_K_M.gguf in the cache is damaged and is fetched again" in caplog.text


def test_short_file_in_the_cache_is_always_fetched_again(repo: FakeHub) -> None:
    path = pull(f"hf:{REPO}:Q4_K_M").path
    path.write_bytes(DATA[:1000])
    assert pull(f"hf:{REPO}:Q4_K_M").path.read_bytes() == DATA


def test_file_is_read_once_to_be_checked(repo: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    real = Digest.fits
    monkeypatch.setattr(Digest, "fits", lambda self, path: read.append(path) or real(self, path))
    pull(f"hf:{REPO}:Q4_K_M", mmproj=False)
    pull(f"hf:{REPO}:Q4_K_M", mmproj=False)
    assert len(read) == 1


# --------------------------------------------------------------------------------------------------- other ways


def test_whole_files_come_by_huggingface_hub_itself(
    repo: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_XET_HIGH_PERFORMANCE", True)
    found: list[PullProgress] = []
    assert pull(f"hf:{REPO}:Q4_K_M", mmproj=False, progress=found.append).path.read_bytes() == DATA
    assert blobs(cache) == {sha256(DATA): len(DATA)}
    assert found[-1].done == len(DATA)


def test_system_without_links_gets_the_file_itself(repo: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no privilege")

    monkeypatch.setattr("inllama.hub.repo_cache.os.symlink", refuse)
    path = pull(f"hf:{REPO}:Q4_K_M", mmproj=False).path
    assert not path.is_symlink()
    assert pull(f"hf:{REPO}:Q4_K_M", mmproj=False).path.read_bytes() == DATA
    assert len(repo.downloads) == 1


def test_disk_that_is_too_small_is_seen_before_anything_comes(repo: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "free")
    monkeypatch.setattr("inllama.hub.download.shutil.disk_usage", lambda path: usage(1000))
    with pytest.raises(ModelLoadError, match="needs 1048576 bytes more") as raised:
        pull(f"hf:{REPO}:Q4_K_M", mmproj=False)
    assert (raised.value.reason, raised.value.free) == ("no space", 1000)
    assert repo.downloads == []


def test_disk_that_fills_up_is_one_sentence(repo: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(self: object, file: object, part: Path) -> None:
        raise OSError(28, "No space left on device", str(part))

    monkeypatch.setattr(transfer.Transfer, "_request", fill)
    with pytest.raises(ModelLoadError, match="cannot be kept: No space left on device"):
        pull(f"hf:{REPO}:Q4_K_M")


# ----------------------------------------------------------------------------------------------------- progress


def test_progress_tells_the_bytes_of_all_files(repo: FakeHub) -> None:
    found: list[PullProgress] = []
    pull(f"hf:{REPO}:Q8_0", mmproj=False, progress=found.append)
    total = sum(len(data) for data in PARTS.values())
    assert {at.total for at in found} == {total}
    assert [at.done for at in found] == sorted(at.done for at in found)
    assert found[-1] == PullProgress(sorted(PARTS)[-1], "check", total, total)
    assert {at.phase for at in found} == {"download", "check"}


def test_progress_begins_where_the_last_call_ended(repo: FakeHub) -> None:
    repo.break_after = [400_000] + [0] * 6
    with pytest.raises(ModelLoadError):
        pull(f"hf:{REPO}:Q4_K_M")
    repo.break_after.clear()
    found: list[PullProgress] = []
    pull(f"hf:{REPO}:Q4_K_M", mmproj=False, progress=found.append)
    assert found[0].done == 400_000


def test_nothing_is_told_of_files_that_are_there(repo: FakeHub) -> None:
    pull(f"hf:{REPO}:Q4_K_M")
    found: list[PullProgress] = []
    pull(f"hf:{REPO}:Q4_K_M", progress=found.append)
    assert found == []


def test_notebook_gets_a_bar(
    repo: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(__import__("sys").modules, "IPython", type("M", (), {"get_ipython": lambda: shell}))
    monkeypatch.setattr("tqdm.auto.tqdm", __import__("tqdm").tqdm)
    pull(f"hf:{REPO}:Q4_K_M", mmproj=False)
    assert "100%" in capsys.readouterr().err


def test_nothing_is_printed_elsewhere(repo: FakeHub, capfd: pytest.CaptureFixture[str]) -> None:
    pull(f"hf:{REPO}:Q8_0")
    assert capfd.readouterr() == ("", "")
