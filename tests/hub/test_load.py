"""``LLM("hf:...")`` and its like: from the cache without asking anybody, else from the Hub."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_hub import COMMIT, OTHER_COMMIT, FakeHub

from inllama import LLM, AsyncLLM, Engine, ModelLoadError, UnsupportedError, pull
from inllama.hub import repository

REPO = "owner/tiny-GGUF"
SMALL = {"n_ctx": 64, "n_threads": 1}


def prefill(cache: Path, files: dict[str, bytes], commit: str = COMMIT, ref: str = "main") -> Path:
    """Write what huggingface_hub would have left."""
    folder = cache / "models--owner--tiny-GGUF"
    for name, data in files.items():
        blob = folder / "blobs" / name.replace("/", "-")
        path = folder / "snapshots" / commit / name
        for place in (blob, path):
            place.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)
        path.symlink_to(os.path.relpath(blob, path.parent))
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / ref).write_text(commit)
    return folder / "snapshots" / commit


def test_model_of_the_hub_generates(hub: FakeHub, llama: bytes) -> None:
    hub.add(REPO, {"tiny-Q4_K_M.gguf": llama, "mmproj-F16.gguf": b"GGUF"})
    with LLM(f"hf:{REPO}:Q4_K_M", **SMALL) as llm:
        assert llm.generate("tiny", max_tokens=2, temperature=0).usage.completion_tokens == 2
        assert llm.engine.model_name == "tiny-Q4_K_M.gguf"
    assert [seen.path.rpartition("/")[2] for seen in hub.downloads] == ["tiny-Q4_K_M.gguf"]


def test_model_in_parts_generates(hub: FakeHub, llama_parts: dict[str, bytes]) -> None:
    assert len(llama_parts) > 1
    hub.add(REPO, llama_parts)
    with Engine(f"hf:{REPO}", **SMALL) as engine:
        assert LLM(engine).generate("tiny", max_tokens=2, temperature=0).text is not None
    assert len(hub.downloads) == len(llama_parts)


def test_asynchronous_face_downloads_off_the_loop(hub: FakeHub, llama: bytes) -> None:
    hub.add(REPO, {"tiny-Q4_K_M.gguf": llama})

    async def main() -> int:
        aio = AsyncLLM(f"hf:{REPO}:Q4_K_M", **SMALL)
        assert hub.seen == []
        async with aio:
            return (await aio.generate("tiny", max_tokens=2)).usage.completion_tokens

    assert asyncio.run(main()) == 2


def test_second_load_asks_nobody(hub: FakeHub, llama: bytes) -> None:
    hub.add(REPO, {"tiny-Q4_K_M.gguf": llama, "tiny-Q8_0.gguf": llama})
    for reference in (f"hf:{REPO}", f"hf:{REPO}:Q4_K_M", f"hf:{REPO}/tiny-Q4_K_M.gguf"):
        LLM(reference, **SMALL).close()
        assert len(hub.downloads) == 1
        hub.seen[:] = hub.downloads
    assert all(seen.method == "GET" and "/resolve/" in seen.path for seen in hub.seen)


def test_cache_is_enough_without_the_network_and_the_extra(
    cache: Path, llama: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefill(cache, {"tiny-Q4_K_M.gguf": llama})
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with LLM(f"hf:{REPO}:Q4_K_M", **SMALL) as llm:
        assert llm.generate("tiny", max_tokens=1).usage.completion_tokens == 1


def test_download_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for load in (LLM, Engine, pull):
        with pytest.raises(
            UnsupportedError, match=r"which needs huggingface_hub; pip install 'inllama\[hub\]'"
        ) as raised:
            load(f"hf:{REPO}:Q4_K_M")
        assert raised.value.extra == "hub"


def test_import_needs_nothing_of_the_hub() -> None:
    code = (
        "import sys, inllama; inllama.LLM; inllama.pull; inllama.cached_models; "
        "print(sorted({'huggingface_hub', 'tqdm', 'httpx', 'httpx2', 'filelock'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------------------------------------------- the cache alone


@pytest.mark.parametrize(
    "selector", [":Q4_K_M", ":q4_k_m", "/a/tiny-Q4_K_M.gguf", "", "@main", f":Q4_K_M@{COMMIT}", "@v1"]
)
def test_offline_finds_what_is_in_the_cache(cache: Path, selector: str, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = prefill(cache, {"a/tiny-Q4_K_M.gguf": b"GGUF"})
    prefill(cache, {}, ref="v1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = pull(f"hf:{REPO}{selector}")
    assert (found.path, found.revision) == (snapshot / "a" / "tiny-Q4_K_M.gguf", COMMIT)
    assert found.path.read_bytes() == b"GGUF"


@pytest.mark.parametrize("selector", [":Q8_0", "/tiny-Q8_0.gguf", f"@{OTHER_COMMIT}", "@v2", ":Q5_0"])
def test_offline_refuses_what_is_not(cache: Path, selector: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prefill(cache, {"tiny-Q4_K_M.gguf": b"GGUF", "tiny-Q5_0-00001-of-00002.gguf": b"GGUF"})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelLoadError, match=r"is not in the cache, .*, and HF_HUB_OFFLINE is set; pull it") as raised:
        LLM(f"hf:{REPO}{selector}")
    assert raised.value.reason == "offline"


def test_offline_says_what_can_be_chosen(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefill(cache, {"tiny-Q5_0.gguf": b"GGUF", "tiny-Q8_0.gguf": b"GGUF"})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelLoadError, match="there is Q5_0, Q8_0") as raised:
        pull(f"hf:{REPO}")
    assert raised.value.choices == ["Q5_0", "Q8_0"]


def test_projection_of_the_cache_comes_too(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = prefill(cache, {"tiny-Q4_K_M.gguf": b"GGUF", "mmproj-F16.gguf": b"GGUF p"})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert pull(f"hf:{REPO}").mmproj == snapshot / "mmproj-F16.gguf"


@pytest.mark.parametrize("fault", ["down", 503, 429])
def test_hub_that_is_not_there_leaves_the_cache(
    cache: Path, huggingface: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str | int
) -> None:
    prefill(cache, {"tiny-Q8_0.gguf": b"GGUF"})
    if isinstance(fault, int):
        with FakeHub() as hub:
            monkeypatch.setenv("HF_ENDPOINT", hub.url)
            hub.status["/api"] = (fault, {})
            assert pull(f"hf:{REPO}").path.read_bytes() == b"GGUF"
    else:
        assert pull(f"hf:{REPO}").path.read_bytes() == b"GGUF"
    assert f"hf:{REPO}/tiny-Q8_0.gguf@{COMMIT} is taken as it was downloaded" in caplog.text


def test_hub_that_refuses_does_not(hub: FakeHub, cache: Path) -> None:
    prefill(cache, {"tiny-Q8_0.gguf": b"GGUF"})
    with pytest.raises(ModelLoadError, match="has no model"):
        pull(f"hf:{REPO}")


def test_cache_does_not_decide_what_the_hub_has_to(hub: FakeHub, cache: Path, llama: bytes) -> None:
    prefill(cache, {"tiny-Q8_0.gguf": b"GGUF"})
    hub.add(REPO, {"tiny-Q8_0.gguf": b"GGUF", "tiny-Q4_K_M.gguf": llama})
    with LLM(f"hf:{REPO}", **SMALL) as llm:
        assert llm.engine.model_name == "tiny-Q4_K_M.gguf"


@pytest.mark.parametrize("value", ["1", "on", "YES", "true"])
def test_offline_is_read_as_huggingface_hub_does(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert repository.is_offline()
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert not repository.is_offline()


def test_cache_is_where_huggingface_hub_has_it(huggingface: None) -> None:
    code = """
import importlib, os
from huggingface_hub import constants
from inllama.hub.repo_cache import cache_root

for variables in (
    {},
    {"HF_HOME": "~/a"},
    {"HF_HUB_CACHE": "$HOME/b"},
    {"HUGGINGFACE_HUB_CACHE": "/c", "HF_HOME": "/d"},
    {"XDG_CACHE_HOME": "/e"},
    {"HF_HUB_CACHE": "/f", "HUGGINGFACE_HUB_CACHE": "/c"},
):
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)
    os.environ.update(variables)
    importlib.reload(constants)
    assert str(cache_root()) == constants.HF_HUB_CACHE, (variables, cache_root(), constants.HF_HUB_CACHE)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
