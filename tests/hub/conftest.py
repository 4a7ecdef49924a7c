"""A Hub on loopback, an empty cache, and nothing of the machine's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_hub import FakeHub

FIXTURES = Path(__file__).resolve().parents[1] / "model" / "fixtures"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty cache; nothing is in other places where models may be."""
    for name in ("HF_HOME", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("OLLAMA_MODELS", str(home / "ollama"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    # Nobody listens there.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def client() -> Iterator[None]:
    """huggingface_hub's HTTP client, made once: reading the system's certificates takes long."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        huggingface_hub.close_session()
        yield
        huggingface_hub.close_session()


@pytest.fixture
def huggingface(client: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """huggingface_hub without the user's token, and which waits for nothing before it tries again."""
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import _http

    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)  # what is lost of a download that breaks
    for module in (file_download, _http):
        monkeypatch.setattr(module, "time", SimpleNamespace(**vars(module.time) | {"sleep": lambda seconds: None}))


@pytest.fixture
def hub(huggingface: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub() as made:
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        yield made


@pytest.fixture(scope="session")
def llama() -> bytes:
    """A model that loads."""
    return (FIXTURES / "llama.gguf").read_bytes()


@pytest.fixture(scope="session")
def llama_parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The same in parts, by name."""
    import gguf

    folder = tmp_path_factory.mktemp("split")
    reader = gguf.GGUFReader(FIXTURES / "llama.gguf")
    writer = gguf.GGUFWriter(folder / "tiny-Q8_0.gguf", "llama", split_max_tensors=8)
    for item in reader.fields.values():
        if not item.name.startswith(("GGUF.", "general.architecture")):
            sub_type = item.types[-1] if item.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(item.name, item.contents(), item.types[0], sub_type)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
