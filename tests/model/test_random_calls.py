"""Random calls over the low-level API, in child processes: whatever the arguments, only errors of Python come out."""

from __future__ import annotations

import gc
import json
import math
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inllama
from inllama import Adapter, Batch, Context, Model, Sampler, samplers

N_SEEDS = 24
N_CALLS = 1000  # of each seed
MODELS = (
    "llama",
    "gemma",
    "gpt2",
    "mamba",
    "hybrid",
    "t5",
    "bert",
    "bert_mean",
    "rank",
    "no_vocabulary",
    "no_bytes",
    "regex",
)
EXPECTED = (inllama.InllamaError, TypeError, ValueError, OverflowError, BufferError)
INTEGERS = (
    -1,
    0,
    1,
    2,
    3,
    8,
    64,
    255,
    256,
    319,
    320,
    2**31 - 1,
    2**31,
    -(2**31),
    2**32 + 3,
    2**63 - 1,
    -(2**63),
    2**64,
)
NUMBERS = (0.0, -0.0, 0.5, 1.0, 2.0, -1.0, 1e-45, 1e30, 1e39, 1e300, -1e300, math.nan, math.inf, -math.inf)
TEXTS = ("", "a", "ab c", "\0", "é€🙂", "\ud800", "</s>", "<0x41>", "a" * 3000, " \n" * 500, "7" * 1000)
GRAMMARS = ('root ::= "a"+', "root ::= [a-z]*", 'root ::= "ab" | root', "", 'root ::= ("a" | "b"){2,5}', "root ::= <x>")


class RandomCalls:
    """Objects of every kind, and calls on them with arguments that are sometimes good."""

    def __init__(self, seed: int, paths: Sequence[Path], lora_path: Path) -> None:
        self.random = random.Random(seed)
        self.paths = paths
        self.lora_path = lora_path
        self.n_calls = 0
        self.outcomes: Counter[str] = Counter()
        self.objects: dict[str, list[Any]] = {
            kind: []
            for kind in ("model", "context", "batch", "memory", "sampler", "adapter", "view", "state", "decoder")
        }
        self.actions = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("on_")]

    def run(self, n_calls: int) -> None:
        while self.n_calls < n_calls:
            self.random.choice(self.actions)()
            if self.random.random() < 0.1:
                self.drop()

    def call(self, name: str, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Call and count; the last line of the output tells which call killed the process."""
        print(f"{self.n_calls} {name} {arguments!r:.200} {keywords!r:.400}", flush=True)
        self.n_calls += 1
        try:
            result = function(*arguments, **keywords)
        except EXPECTED as problem:
            self.outcomes[type(problem).__name__] += 1
            return None
        self.outcomes["success"] += 1
        self.outcomes[f"{name} succeeded"] += 1
        return result

    def make(self, kind: str, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:
        made = self.call(kind, function, *arguments, **keywords)
        if made is not None:
            self.objects[kind].append(made)
            if len(self.objects[kind]) > 6:
                self.objects[kind].pop(self.random.randrange(6))

    def drop(self) -> None:
        held = self.random.choice(list(self.objects.values()))
        if held:
            held.pop(self.random.randrange(len(held)))
        if self.random.random() < 0.2:
            gc.collect()

    def end(self) -> None:
        """Drop everything in random order, or leave some of it to the end of the process."""
        n_left = self.random.choice((0, 0, 5, 1000))
        while sum(map(len, self.objects.values())) > n_left:
            self.drop()

    # Arguments

    def integer(self, *good: int) -> Any:
        if good and self.random.random() < 0.8:
            return self.random.choice(good)
        return self.random.choice((*INTEGERS, *INTEGERS, 1.5, "1", None, True, np.int64(3), [1]))

    def number(self) -> Any:
        kind = self.random.random()
        if kind < 0.6:
            return self.random.choice((0.1, 0.5, 0.9, 1.0, 1.5))
        return self.random.choice(NUMBERS) if kind < 0.95 else self.random.choice(("1", None, 2**64, np.float32(0.5)))

    def text(self) -> Any:
        return self.random.choice(TEXTS) if self.random.random() < 0.95 else self.random.choice((b"a", 1, None))

    def flag(self) -> Any:
        return self.random.random() < 0.5

    def integers(self, high: int = 300) -> Any:
        n = self.random.choice((0, 1, 1, 2, 3, 3, 5, 8, 20, 70))
        values: list[Any] = [self.random.randrange(high) for _ in range(n)]
        kind = self.random.random()
        if kind < 0.6:
            return values
        if kind < 0.8:
            array = (
                np.array(values, self.random.choice(("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"))[:2], copy=True)
                if (high <= 100)
                else np.array(values, self.random.choice(("i2", "u2", "i4", "u4", "i8", "u8")))
            )
            return self.random.choice((array, array[::2], array[::-1], array[:0]))
        if kind < 0.9:
            return [*values, self.integer()]
        odd = (
            np.array([1.0]),
            np.array([[1]]),
            np.array([2**40]),
            np.array(3),
            np.array(["a"]),
            "abc",
            None,
            7,
            [None],
            [[1]],
        )
        return self.random.choice(odd)

    def some(self, kind: str) -> Any:
        held = self.objects[kind]
        return self.random.choice(held) if held else None

    # Calls

    def on_model(self) -> None:
        options: dict[str, Any] = {}
        if self.random.random() < 0.4:
            options = {
                "vocab_only": self.flag(),
                "check_tensors": self.flag(),
                "repack": self.flag(),
                "load_mode": self.random.choice(("auto", "none", "mmap", "mlock", "x")),
                "gpu_layers": self.integer(0, 1),
                "kv_overrides": self.random.choice(
                    ({}, {"llama.block_count": 9}, {"llama.context_length": 99}, {"": 1}, {"a": []})
                ),
                "tensor_overrides": self.random.choice(({}, {"blk": "CPU"}, {"(": "CPU"}, {"blk": "x"})),
                "tensor_split": self.random.choice(([], [1.0], [math.nan], [1.0] * 999)),
                "progress": self.random.choice(
                    (None, lambda done: done < 0.5, lambda: None, print if self.flag() else 3)
                ),
            }
            if options["progress"] is print:
                options["progress"] = None
        path = self.random.choice((*self.paths, *self.paths, self.lora_path, "/nowhere", "a\0b", __file__, 3))
        self.make("model", Model, path, **options)

    def on_model_property(self) -> None:
        model = self.some("model")
        names = [name for name in dir(Model) if not name.startswith("_") and name not in ("close", "tokenizer")]
        if model is not None:
            self.call("model", getattr, model, self.random.choice(names))
            self.call("chat_template", model.chat_template, self.random.choice((None, "a", "a\0", 3)))

    def on_close(self) -> None:
        closable = self.some(self.random.choice(("model", "context", "context")))
        if closable is not None and self.random.random() < 0.3:
            self.call("close", closable.close)

    def on_tokenizer(self) -> None:
        model = self.some("model")
        tokenizer = self.call("tokenizer", getattr, model, "tokenizer") if model is not None else None
        if tokenizer is None:
            return
        names = [name for name in dir(tokenizer) if not name.startswith("_")]
        take_tokens = ("decode", "decode_bytes")
        name = self.random.choice(names)
        method = getattr(tokenizer, name)
        if name == "encode":
            self.call(name, method, self.text(), add_special=self.flag(), parse_special=self.flag())
        elif name == "encode_batch":
            self.call(
                name, method, self.random.choice(([self.text() for _ in range(3)], "ab", 3)), add_special=self.flag()
            )
        elif name in take_tokens:
            self.call(name, method, self.integers(), special=self.flag())
        elif name == "decoder":
            self.make("decoder", method, special=self.flag())
        elif callable(method):
            self.call(name, method, self.integer(0, 3, 100, 319))
        else:
            self.call(name, getattr, tokenizer, name)

    def on_decoder(self) -> None:
        decoder = self.some("decoder")
        if decoder is not None:
            self.call("push", decoder.push, self.integer(3, 68, 100, 230, 258))
            self.call("flush", decoder.flush)

    def on_context(self) -> None:
        choose = self.random.choice
        options = {
            "n_ctx": self.integer(1, 64, 256, 512) if self.flag() else 256,
            "n_batch": self.integer(1, 8, 64),
            "n_ubatch": self.integer(1, 8, 64),
            "n_seq_max": self.integer(1, 1, 2, 3, 8),
            "n_outputs_max": self.integer(1, 8, 64),
            "n_threads": choose((1, 1, 1, 2, 0, 513, -1)),
            "n_threads_batch": choose((None, 1, 2, 2**40)),
            "embeddings": self.flag(),
            "pooling": choose(("auto", "none", "mean", "cls", "last", "rank", "x")),
            "attention": choose(("auto", "causal", "non_causal")),
            "flash_attention": choose(("auto", "on", "off")),
            "kv_type_k": choose(("f16", "f32", "bf16", "q8_0", "q4_1", "iq4_nl", "i8")),
            "kv_type_v": choose(("f16", "f32", "q5_0")),
            "kv_unified": self.flag(),
            "swa_full": self.flag(),
            "rope_scaling": choose(("auto", "none", "linear", "yarn", "longrope")),
            "rope_freq_base": self.number(),
            "rope_freq_scale": self.number(),
            "yarn_ext_factor": self.number(),
            "yarn_orig_ctx": self.integer(0, 64),
        }
        kept = dict(self.random.sample(sorted(options.items()), self.random.randrange(6)))
        small = {"n_ctx": 256, "n_batch": 64, "n_threads": 1}
        if self.some("model") is not None:
            self.make("context", Context, self.some("model"), **{**small, **kept})

    def on_context_property(self) -> None:
        context = self.some("context")
        names = (
            "n_ctx",
            "n_ctx_seq",
            "n_batch",
            "n_outputs",
            "n_outputs_max",
            "pooling",
            "is_causal",
            "closed",
            "model",
        )
        if context is not None:
            self.call("context", getattr, context, self.random.choice(names))

    def on_setting(self) -> None:
        context = self.some("context")
        if context is None:
            return
        kind = self.random.randrange(4)
        if kind == 0:
            # More threads than cores would make every call slow: they spin.
            n_threads = self.random.choice((1, 1, 2, 0, -1, 513, 2**40, "1"))
            self.call("set_threads", context.set_threads, n_threads, self.random.choice((None, 1, 0)))
        elif kind == 1:
            self.call("set_causal_attention", context.set_causal_attention, self.flag())
        elif kind == 2:
            adapters = {self.some("adapter"): self.number()} if self.flag() else {}
            self.call("set_adapters", context.set_adapters, adapters)
        else:
            self.call("synchronize", context.synchronize)

    def on_batch(self) -> None:
        options = {
            "sequence": self.integer(0, 0, 0, 1, 2),
            "positions": self.integers(20) if self.random.random() < 0.2 else None,
            "outputs": self.random.choice(("last", "all", "none", "x", [True], [0, "a", None], 3)),
        }
        batch = self.some("batch")
        if batch is not None and self.flag():
            self.call("add", batch.add, self.integers(), **options)
            if self.random.random() < 0.2:
                self.call("clear", batch.clear)
        else:
            self.make("batch", Batch, self.integers(), **options)

    def on_decode(self) -> None:
        context, batch = self.some("context"), self.some("batch")
        if context is None:
            return
        if batch is None or self.flag():
            batch = Batch([self.random.randrange(319) for _ in range(self.random.choice((1, 1, 3, 8)))])
        self.call("decode", context.encode if self.random.random() < 0.2 else context.decode, batch)

    on_decode_again = on_decode
    on_decode_more = on_decode

    def on_result(self) -> None:
        context = self.some("context")
        if context is None:
            return
        row = self.integer(-1, -1, 0, 1)
        kind = self.random.randrange(3)
        if kind == 0:
            self.make("view", context.logits, row, copy=self.flag())
        elif kind == 1:
            self.make("view", context.embeddings, row, copy=self.flag())
        else:
            self.call("sequence_embedding", context.sequence_embedding, self.integer(0, 1))
        for view in self.objects["view"]:
            float(view.sum())

    def on_state(self) -> None:
        context = self.some("context")
        if context is None:
            return
        kind = self.random.randrange(5)
        if kind == 4:
            state = self.call("state", context.state)
            if state is not None:
                self.call("load_state", context.load_state, state)
        elif kind == 0:
            self.make("state", context.state)
        elif kind == 1:
            self.make("state", context.sequence_state, self.integer(0, 1))
        else:
            state = self.some("state") or b""
            if self.random.random() < 0.3 and state:
                at = self.random.randrange(len(state))
                state = state[:at] + bytes([self.random.randrange(256)]) + state[at + 1 :]
            state = self.random.choice((state, state, state, state[:50], b"INLLAMAS" * 9, "x"))
            if kind == 2:
                self.call("load_state", context.load_state, state)
            else:
                self.call("load_sequence_state", context.load_sequence_state, state, self.integer(0, 1))

    def on_memory(self) -> None:
        context = self.some("context")
        if context is not None and self.flag():
            self.make("memory", getattr, context, "memory")
        memory = self.some("memory")
        if memory is None:
            return
        sequence, other = self.integer(0, 0, 1, 200), self.integer(0, 1, 2, 200)
        begin, end = self.integer(0, 0, 1, 3), self.random.choice((None, None, self.integer(1, 2, 9)))
        kind = self.random.randrange(8)
        if kind == 0:
            self.call("remove", memory.remove, sequence, begin, end)
        elif kind == 1:
            self.call("copy", memory.copy, sequence, other, begin, end)
        elif kind == 2:
            self.call("keep", memory.keep, sequence)
        elif kind == 3:
            self.call("add", memory.add, sequence, self.integer(-1, 1, 5), begin, end)
        elif kind == 4:
            self.call("divide", memory.divide, sequence, self.integer(2, 3), begin, end)
        elif kind == 5:
            self.call("clear", memory.clear, data=self.flag())
        elif kind == 6:
            self.call("pos_max", self.random.choice((memory.pos_max, memory.pos_min)), sequence)
        else:
            self.call("can_shift", getattr, memory, self.random.choice(("can_shift", "n_sequences")))

    def stage(self) -> Any:
        number, integer = self.number, self.integer
        token = self.integer(3, 68, 319)
        makers: Sequence[Callable[[], Any]] = (
            lambda: samplers.top_k(integer(0, 1, 5)),
            lambda: samplers.top_p(number(), integer(0, 1)),
            lambda: samplers.min_p(number(), integer(0, 1)),
            lambda: samplers.typical_p(number(), integer(0, 1)),
            lambda: samplers.top_n_sigma(number()),
            lambda: samplers.xtc(number(), number(), integer(0, 1), integer(1)),
            lambda: samplers.temperature(number()),
            lambda: samplers.dynamic_temperature(number(), number(), number()),
            lambda: samplers.penalties(integer(0, 64), number(), number(), number()),
            lambda: samplers.dry(number(), number(), integer(2), integer(0, 64), [self.text()]),
            lambda: samplers.logit_bias({token: number()}),
            samplers.infill,
            lambda: samplers.grammar(self.random.choice(GRAMMARS)),
            lambda: samplers.lazy_grammar(
                self.random.choice(GRAMMARS),
                trigger_patterns=self.random.choice(([], ["a"], ["("], ["a\0"])),
                trigger_tokens=[token] if self.flag() else [],
            ),
        )
        return self.call("stage", self.random.choice(makers))

    def selecting(self) -> Any:
        number, integer = self.number, self.integer
        makers: Sequence[Callable[[], Any]] = (
            samplers.greedy,
            samplers.greedy,
            lambda: samplers.dist(integer(1)),
            samplers.dist,
            lambda: samplers.mirostat(number(), number(), integer(2, 100), integer(1)),
            lambda: samplers.mirostat_v2(number(), number(), integer(1)),
            lambda: samplers.adaptive_p(number(), number(), integer(1)),
        )
        return self.call("selecting", self.random.choice(makers))

    def on_sampler(self) -> None:
        stages = [self.stage() for _ in range(self.random.randrange(4))]
        chain = [stage for stage in (*stages, self.selecting()) if stage is not None]
        if self.random.random() < 0.1:
            self.random.shuffle(chain)
        context = self.some("context")
        model = context.model if context is not None else self.some("model")
        if model is not None:
            self.make("sampler", Sampler, model, chain)

    def on_sample(self) -> None:
        sampler, context = self.some("sampler"), self.some("context")
        if sampler is None:
            return
        kind = self.random.randrange(6)
        if kind == 0 and context is not None:
            self.call("sample", sampler.sample, context, self.integer(-1, 0), accept=self.flag())
        elif kind in (1, 2):
            values = np.random.default_rng(self.random.randrange(99)).standard_normal(320).astype(np.float32)
            if self.flag():
                odd_number = self.random.choice((math.nan, math.inf, -math.inf, 1e38, -1e38))
                values[self.random.randrange(320) :: self.random.choice((1, 3))] = odd_number
            odd = (values[:0], values[::2], values.astype("f8"), values.reshape(2, 160), "x")
            values = values if self.random.random() < 0.8 else self.random.choice(odd)
            self.call("sample_logits", sampler.sample_logits, values, accept=self.flag())
        elif kind == 3:
            self.call("accept", sampler.accept, self.integer(2, 3, 100, 101, 319))
        elif kind == 4:
            self.call("accept_prompt", sampler.accept_prompt, self.integers())
        elif self.flag():
            self.make("sampler", sampler.clone)
        else:
            self.call("reset", sampler.reset)

    on_sample_again = on_sample

    def on_adapter(self) -> None:
        path = self.random.choice((self.lora_path, self.lora_path, *self.paths[:2], "/nowhere", None))
        if self.some("model") is not None:
            self.make("adapter", Adapter, self.some("model"), path)


def run_child(seed: int, paths: Sequence[Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, __file__, str(seed), *map(str, paths)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("half", [0, 1])
def test_random_calls_raise_only_errors_of_python(request: pytest.FixtureRequest, half: int) -> None:
    paths = [request.getfixturevalue(f"{name}_path") for name in (*MODELS, "lora")]
    seeds = range(half, N_SEEDS, 2)
    outcomes: Counter[str] = Counter()
    n_calls = 0
    with ThreadPoolExecutor(2) as pool:
        for seed, child in zip(seeds, pool.map(lambda seed: run_child(seed, paths), seeds), strict=True):
            last = "\n".join(child.stdout.splitlines()[-5:])
            assert child.returncode == 0, f"seed {seed}: {child.returncode}\n{last}\n{child.stderr}"
            assert child.stderr == "", f"seed {seed}\n{last}\n{child.stderr}"
            report = json.loads(child.stdout.splitlines()[-1])
            n_calls += report["n_calls"]
            outcomes.update(report["outcomes"])
    assert n_calls >= N_CALLS * len(seeds)
    assert 0.2 < outcomes["success"] / n_calls < 0.9, outcomes
    assert {"InvalidRequestError", "UnsupportedError", "TypeError", "StateError", "GrammarError"} <= set(outcomes)
    for name in ("decode", "context", "sampler", "sample_logits", "sample", "load_state", "add", "view"):
        assert outcomes[f"{name} succeeded"] >= 5, outcomes


if __name__ == "__main__":
    *model_paths, adapter_path = map(Path, sys.argv[2:])
    calls = RandomCalls(int(sys.argv[1]), model_paths, adapter_path)
    calls.run(N_CALLS)
    calls.end()
    print(json.dumps({"n_calls": calls.n_calls, "outcomes": calls.outcomes}))
