"""Closing while other threads read: an error for them, never freed memory."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import inllama
from inllama.model import demo_path


@contextmanager
def readers(read: Callable[[], object]) -> Iterator[None]:
    """Three threads that call ``read`` until it says that the object is closed, or the block ends."""
    is_over = threading.Event()

    def repeat() -> None:
        while not is_over.is_set():
            try:
                read()
            except inllama.ConcurrentUseError:
                pass
            except inllama.InvalidRequestError:
                return

    threads = [threading.Thread(target=repeat) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.002)
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_model_can_be_closed_while_threads_read_it() -> None:
    for _ in range(20):
        model = inllama.Model(demo_path())
        with readers(lambda model=model: (model.n_embd, model.metadata, model.description)):  # type: ignore[misc]
            model.close()
        assert model.closed


def test_context_can_be_closed_while_threads_read_it() -> None:
    with inllama.Model(demo_path()) as model:
        for _ in range(20):
            context = inllama.Context(model, n_ctx=256, n_threads=1)
            context.decode(inllama.Batch([1, 2, 3]))
            with readers(lambda context=context: (context.n_ctx, context.n_outputs, context.logits())):  # type: ignore[misc]
                while not context.closed:
                    try:
                        context.close()
                    except inllama.ConcurrentUseError:
                        continue
            assert context.closed


def test_closed_model_gives_back_its_file_although_its_tokenizer_was_used(tmp_path: Path) -> None:
    path = tmp_path / "mapped.gguf"  # a name that no other test maps
    shutil.copy(demo_path(), path)
    model = inllama.Model(path, load_mode="mmap", repack=False)
    assert len(model.tokenizer.encode("hello")) > 0
    assert _n_mapped(path) > 0
    model.close()
    assert _n_mapped(path) == 0


def _n_mapped(path: Path) -> int:
    with open("/proc/self/maps") as maps:
        return sum(str(path) in line for line in maps)
