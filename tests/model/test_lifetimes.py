"""Children outlive their parents, views keep their memory, and everything can be closed and dropped in any order."""

from __future__ import annotations

import contextlib
import gc
import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny

from inllama import (
    Adapter,
    Batch,
    ConcurrentUseError,
    Context,
    InvalidRequestError,
    Memory,
    Model,
    ModelLoadError,
    Sampler,
    TokenDecoder,
    Tokenizer,
    samplers,
)

FAMILY = ("model", "tokenizer", "decoder", "context", "memory", "sampler", "adapter", "view")


class Family:
    """One object of each kind, of one model that nobody else holds."""

    def __init__(self, model_path: Path, lora_path: Path) -> None:
        self.model = Model(model_path)
        self.tokenizer: Tokenizer = self.model.tokenizer
        self.decoder: TokenDecoder = self.tokenizer.decoder()
        self.context = Context(self.model, **tiny.SMALL)
        self.memory: Memory = self.context.memory
        self.sampler = Sampler(self.model, [samplers.top_k(5), samplers.greedy()])
        self.adapter = Adapter(self.model, lora_path)
        self.context.set_adapters({self.adapter: 1.0})
        self.context.decode(Batch([3, 4]))
        self.view = self.context.logits(copy=False)
        self.expected = self.view.copy()

    def drop(self, name: str) -> None:
        delattr(self, name)
        gc.collect()

    def check(self, name: str) -> None:
        checks: dict[str, Callable[[], object]] = {
            "model": lambda: self.model.n_embd == tiny.N_EMBD,
            "tokenizer": lambda: self.tokenizer.decode(self.tokenizer.encode("ab")) == "ab",
            "decoder": lambda: self.decoder.push(tiny.byte_token("a")) == "a",
            "context": lambda: np.array_equal(self.context.logits(), self.expected),
            "memory": lambda: self.memory.pos_max(0) == 1,
            "sampler": lambda: self.sampler.sample_logits(self.expected) == int(self.expected.argmax()),
            "adapter": lambda: self.adapter.metadata["adapter.type"] == "lora",
            "view": lambda: np.array_equal(self.view, self.expected),
        }
        assert checks[name](), name


@pytest.mark.parametrize("first", range(len(FAMILY)))
@pytest.mark.parametrize("step", [1, -1, 3])
def test_objects_outlive_each_other_in_any_order(llama_path: Path, lora_path: Path, first: int, step: int) -> None:
    family = Family(llama_path, lora_path)
    order = [FAMILY[(first + step * i) % len(FAMILY)] for i in range(len(FAMILY))]
    for position, name in enumerate(order):
        family.drop(name)
        for alive in order[position + 1 :]:
            family.check(alive)


def test_closed_parents_leave_their_children_alone(llama_path: Path, lora_path: Path) -> None:
    family = Family(llama_path, lora_path)
    family.model.close()
    for name in FAMILY[1:]:
        family.check(name)
    tiny.assert_decodes(family.context)
    expected = family.view.copy()
    family.context.close()
    assert np.array_equal(family.view, expected)
    assert family.memory.pos_max(0) == 3
    assert family.context.model is family.model


def test_context_keeps_its_model_and_gives_it_back(llama_path: Path) -> None:
    context = Context(Model(llama_path), **tiny.SMALL)
    gc.collect()
    tiny.assert_decodes(context)
    assert context.model.n_embd == tiny.N_EMBD


def test_views_are_read_only_and_copies_are_not(context: Context) -> None:
    context.decode(Batch([3, 4]))
    view, copy = context.logits(copy=False), context.logits()
    assert not view.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1.0
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.flags.writeable = True
    copy[0] += 1.0
    assert view[0] != copy[0]
    context.decode(Batch([5]))
    assert np.array_equal(view, context.logits())  # the next call overwrites its numbers


def test_embedding_views_outlive_their_context(llama: Model) -> None:
    context = Context(llama, **tiny.SMALL, embeddings=True, pooling="none")
    context.decode(Batch([3, 4]))
    view, copy = context.embeddings(0, copy=False), context.embeddings(0)
    context.close()
    del context
    gc.collect()
    assert np.array_equal(view, copy)


def test_output_buffer_does_not_move_while_a_view_lives(context: Context) -> None:
    context.decode(Batch([3]))
    view = context.logits(copy=False)
    expected = view.copy()
    with pytest.raises(BufferError, match="1 view"):
        context.decode(Batch([4, 5, 6], outputs="all"))
    assert np.array_equal(view, expected)
    assert context.memory.pos_max(0) == 0
    context.decode(Batch([4, 5, 6]))  # one row fits where it is
    part = view[:10]
    del view
    with pytest.raises(BufferError):
        context.decode(Batch([4, 5, 6], outputs="all"))
    del part
    context.decode(Batch([4, 5, 6], outputs="all"))
    assert context.n_outputs == 3
    kept = context.logits(0, copy=False)
    context.decode(Batch([4, 5, 6], outputs="all"))  # the buffer has grown already
    assert np.array_equal(kept, context.logits(0))


def test_loading_a_state_keeps_views_valid(context: Context) -> None:
    context.decode(Batch([3, 4]))
    saved = context.state()
    view = context.logits(copy=False)
    context.load_state(saved)
    assert np.isfinite(view).all()
    tiny.assert_decodes(context)


def test_closing_twice_is_no_error(llama_path: Path) -> None:
    model = Model(llama_path)
    context = Context(model, **tiny.SMALL)
    for closable in (context, model):
        assert not closable.closed
        closable.close()
        closable.close()
        assert closable.closed


def test_with_closes_also_after_an_error(llama_path: Path) -> None:
    model = Model(llama_path)
    with pytest.raises(KeyError), model, Context(model, **tiny.SMALL) as context:
        raise KeyError
    assert context.closed
    assert model.closed


def test_closed_objects_say_so(llama_path: Path, lora_path: Path) -> None:
    model = Model(llama_path)
    context = Context(model, **tiny.SMALL)
    sampler = Sampler(model, [samplers.greedy()])
    context.decode(Batch([3]))
    saved = context.state()
    context.close()
    uses: list[Callable[[], object]] = [
        lambda: context.decode(Batch([3])),
        lambda: context.encode(Batch([3])),
        context.logits,
        context.embeddings,
        context.sequence_embedding,
        context.synchronize,
        context.state,
        lambda: context.load_state(saved),
        lambda: context.memory,
        lambda: context.n_ctx,
        lambda: context.pooling,
        lambda: context.set_threads(1),
        lambda: context.set_causal_attention(True),
        lambda: context.set_adapters({}),
        lambda: sampler.sample(context),
    ]
    for use in uses:
        with pytest.raises(InvalidRequestError, match="closed"):
            use()
    model.close()
    assert "closed" in repr(model)
    for use in (
        lambda: model.n_embd,
        lambda: model.metadata,
        lambda: Context(model, **tiny.SMALL),
        lambda: Adapter(model, lora_path),
        lambda: Sampler(model, [samplers.greedy()]),
    ):
        with pytest.raises(InvalidRequestError, match="closed"):
            use()


def test_weak_references_do_not_keep_objects(llama_path: Path, lora_path: Path) -> None:
    family = Family(llama_path, lora_path)
    names = ("model", "tokenizer", "context", "sampler", "adapter")
    references = [weakref.ref(getattr(family, name)) for name in names]
    batch = Batch([3])
    references.append(weakref.ref(batch))
    assert all(reference() is not None for reference in references)
    del family, batch
    gc.collect()
    assert [reference() for reference in references] == [None] * len(references)


def in_two_threads(call: Callable[[], object], seconds: float = 20.0) -> list[BaseException]:
    """Call in two threads until one is refused or the time is over."""
    problems: list[BaseException] = []
    end = time.monotonic() + seconds

    def work() -> None:
        while not problems and time.monotonic() < end:
            try:
                call()
            except Exception as problem:
                problems.append(problem)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return problems


def test_two_threads_in_one_context_are_refused(llama: Model) -> None:
    context = Context(llama, **{**tiny.SMALL, "n_ctx": 4096})
    context.decode(Batch([3] * 64))
    problems = in_two_threads(context.state)
    assert problems
    for problem in problems:
        assert isinstance(problem, ConcurrentUseError)
        assert problem.object == "Context"
        assert "another thread" in str(problem)
    tiny.assert_decodes(context)


def test_two_threads_in_one_sampler_are_refused(llama: Model) -> None:
    biases = samplers.logit_bias(dict.fromkeys(range(tiny.N_VOCAB), 1.0))
    sampler = Sampler(llama, [biases] * 50 + [samplers.dist(1)])
    logits = np.zeros(tiny.N_VOCAB, np.float32)
    problems = in_two_threads(lambda: sampler.sample_logits(logits))
    assert problems
    assert all(isinstance(problem, ConcurrentUseError) for problem in problems)
    assert 0 <= sampler.sample_logits(logits) < tiny.N_VOCAB


def test_threads_share_a_model(llama: Model) -> None:
    def work() -> None:
        with Context(llama, **tiny.SMALL) as context:
            for _ in range(10):
                tiny.assert_decodes(context)
            results.append(context.logits())
        assert llama.tokenizer.decode(llama.tokenizer.encode("shared")) == "shared"

    results: list[np.ndarray] = []
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for one, other in itertools.pairwise(results):
        assert np.allclose(one, other, atol=1e-3)


def test_context_closed_while_another_thread_computes_is_freed_later(llama: Model) -> None:
    def compute(context: Context) -> None:
        # Closed before, or in use by the closing thread.
        with contextlib.suppress(InvalidRequestError, ConcurrentUseError):
            context.decode(Batch([3] * 64))

    for _ in range(20):
        context = Context(llama, **tiny.SMALL)
        thread = threading.Thread(target=compute, args=(context,))
        thread.start()
        try:
            context.close()
        except ConcurrentUseError:
            assert not context.closed
        del context
        gc.collect()
        thread.join()


THREADS_CHILD = """
import sys
from inllama import Batch, Context, Model
context = Context(Model(sys.argv[1]), n_ctx=256, n_threads=1)
for step in range(30):
    context.decode(Batch([3] * (1 + step % 2)))
    for _ in range(step % 3):
        context.set_threads(1 + step % 2, 1 + step // 2 % 2)
"""


@pytest.mark.slow
def test_replaced_threads_are_not_used_again(llama_path: Path) -> None:
    # In a child, since a pool that is used after it was freed hangs or aborts.
    child = subprocess.run([sys.executable, "-c", THREADS_CHILD, llama_path], timeout=60, check=False)
    assert child.returncode == 0


@pytest.mark.parametrize("stop_at", [0.0, 0.5, 1.0])
def test_progress_stops_a_load(llama_path: Path, stop_at: float) -> None:
    seen: list[float] = []

    def progress(done: float) -> bool:
        seen.append(done)
        return done < stop_at

    with pytest.raises(ModelLoadError, match="progress") as raised:
        Model(llama_path, progress=progress)
    assert raised.value.cancelled is True
    assert seen
    seen.clear()
    with Model(llama_path, progress=seen.append) as model:  # None goes on
        tiny.assert_decodes(Context(model, **tiny.SMALL))
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    assert seen == sorted(seen)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError, SystemExit, InvalidRequestError])
def test_exception_of_progress_comes_through(llama_path: Path, kind: type[BaseException]) -> None:
    def progress(_: float) -> None:
        raise kind("stop here")

    with pytest.raises(kind, match="stop here"):
        Model(llama_path, progress=progress)
    tiny.assert_decodes(Context(Model(llama_path), **tiny.SMALL))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as in a terminal: a shell's background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_interrupt_signal_stops_a_load(llama_path: Path) -> None:
    def progress(_: float) -> None:
        if not sent:
            sent.append(True)
            signal.raise_signal(signal.SIGINT)

    sent: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        Model(llama_path, progress=progress)
    tiny.assert_decodes(Context(Model(llama_path), **tiny.SMALL))


@pytest.mark.usefixtures("interruptible")
def test_interrupt_while_the_log_is_published_is_not_lost(llama_path: Path) -> None:
    class Interrupting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise KeyboardInterrupt

    logger = logging.getLogger("inllama.llama")
    handler, level = Interrupting(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with pytest.raises(KeyboardInterrupt):
            Model(llama_path)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    tiny.assert_decodes(Context(Model(llama_path), **tiny.SMALL))


LEAK_CHILD = """
import sys
from inllama import Adapter, Batch, Context, Model, Sampler, samplers
model = Model(sys.argv[1])
context = Context(model, n_ctx=256, n_threads=1)
context.decode(Batch([3, 4]))
sampler = Sampler(model, [samplers.top_k(3), samplers.greedy()])
adapter = Adapter(model, sys.argv[2])
context.set_adapters({adapter: 1.0})
view, tokens = context.logits(copy=False), model.tokenizer.encode("a")
decoder, memory = model.tokenizer.decoder(), context.memory
kept = [model, context, sampler, adapter, view, tokens, decoder, memory]
for bad in (lambda: context.decode(Batch([-1])), lambda: Model("/nowhere"), lambda: Sampler(model, [])):
    try:
        bad()
    except Exception as problem:
        problem.__traceback__ = None
"""

ENDINGS = {
    "all dropped": "del kept, context, model, sampler, adapter, view, tokens, decoder, memory, bad",
    "all alive": "",
    "in a cycle": "kept.append(kept); del context, model, sampler, adapter, view, tokens, decoder, memory, bad",
    "closed": "context.close(); model.close()",
    "exit": "sys.exit(0)",
    "thread alive": "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_leaks_at_exit(llama_path: Path, lora_path: Path, ending: str) -> None:
    child = subprocess.run(
        [sys.executable, "-c", LEAK_CHILD + ENDINGS[ending], llama_path, lora_path],
        capture_output=True,
        text=True,
        env={**os.environ, "INLLAMA_LEAK_WARNINGS": "1"},
        timeout=60,
        check=False,
    )
    assert "leaked" not in child.stderr
    assert child.returncode == 0, child.stderr
