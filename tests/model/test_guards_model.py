"""Guards of models, tokenizers and adapters: the bad call raises, and the object still works. See docs/guards.md."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny

from inllama import (
    Adapter,
    Batch,
    Context,
    InvalidRequestError,
    Model,
    ModelLoadError,
    Sampler,
    Tokenizer,
    UnsupportedError,
    gguf,
    samplers,
)

OUTSIDE = (-1, tiny.N_VOCAB, -(2**31), 2**31 - 1)


@pytest.mark.parametrize(
    "overrides",
    [
        {"llama.block_count": 100_000},
        {"llama.embedding_length": 32},
        {"llama.attention.head_count": 0},
        {"llama.expert_used_count": 0},
        {"llama.expert_used_count": 1},
        {"llama": 1},
        {"": 1},
        {"general.architecture": "gpt2"},
        {"llama.expert_count": 1_000_000},
        {"llama.context_length": 128, "llama.feed_forward_length": 1},
        {"llama.context_length": 0},
        {"llama.context_length": 2**40},
        {"llama.rope.scaling.type": "sideways"},
        {"llama.rope.freq_base": float("nan")},
        {"llama.rope.scaling.factor": -1.0},
    ],
)
def test_overrides_of_the_architecture_are_refused(moe_path: Path, overrides: dict[str, float | str]) -> None:
    with pytest.raises(InvalidRequestError, match="kv_overrides") as raised:
        Model(moe_path, kv_overrides=overrides)
    assert raised.value.option == "kv_overrides"
    allowed = {"llama.context_length": 128, "llama.rope.freq_base": 5000.0, "general.name": "other"}
    with Model(moe_path, kv_overrides=allowed) as model:
        assert model.n_ctx_train == 128
        tiny.assert_decodes(Context(model, **tiny.SMALL))


@pytest.mark.parametrize(
    ("metadata", "place"),
    [
        ({".block_count": 513}, "entry llama.block_count"),
        ({".attention.head_count": 0}, "entry llama.attention.head_count"),
        ({".attention.layer_norm_rms_epsilon": -1.0}, "entry llama.attention.layer_norm_rms_epsilon"),
        ({".rope.scaling.type": "sideways"}, "entry llama.rope.scaling.type"),
        ({".expert_used_count": 2}, "entry llama.expert_used_count"),
        ({"tokenizer.ggml.scores": [0.0, 1.0]}, "entry tokenizer.ggml.scores"),
    ],
)
def test_damaged_model_files_are_refused(
    llama_path: Path, tmp_path: Path, metadata: dict[str, Any], place: str
) -> None:
    path = tiny.llama(tmp_path / "bad.gguf", metadata=metadata)
    with pytest.raises(ModelLoadError) as raised:
        Model(path)
    assert (raised.value.path, raised.value.where) == (str(path), place)
    with Model(llama_path) as model:
        tiny.assert_decodes(Context(model, **tiny.SMALL))


def test_a_failed_assertion_while_a_file_is_loaded_is_an_error(
    llama_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = list(gguf.read(llama_path).metadata["tokenizer.ggml.tokens"])
    tokens[300:302] = ["same", "same"]
    path = tiny.llama(tmp_path / "bad.gguf", metadata={"tokenizer.ggml.tokens": tokens})
    for vocab_only in (False, True):
        caplog.clear()
        with pytest.raises(ModelLoadError, match=r"the same text twice: token 300 \('same'\) and token 301"):
            Model(path, vocab_only=vocab_only)
        assert "GGML_ASSERT(id_to_token.size() == token_to_id.size()) failed" in caplog.text
    with Model(llama_path) as model:
        tiny.assert_decodes(Context(model, **tiny.SMALL))


def test_what_llama_cpp_says_of_a_file_is_not_replaced(llama_path: Path, tmp_path: Path) -> None:
    tokens = list(gguf.read(llama_path).metadata["tokenizer.ggml.tokens"])
    tokens[300:302] = ["same", "same"]
    metadata = {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.model": "frobnicator"}
    with pytest.raises(ModelLoadError, match="unknown tokenizer: 'frobnicator'"):
        Model(tiny.llama(tmp_path / "bad.gguf", metadata=metadata))


def test_vocab_only_model_cannot_compute(llama_path: Path, lora_path: Path) -> None:
    with Model(llama_path, vocab_only=True) as model:
        with pytest.raises(UnsupportedError, match="weights"):
            Context(model, **tiny.SMALL)
        with pytest.raises(UnsupportedError, match="weights"):
            Adapter(model, lora_path)
        assert model.tokenizer.decode(model.tokenizer.encode("still a tokenizer")) == "still a tokenizer"


def test_model_without_vocabulary_has_no_tokenizer(no_vocabulary: Model) -> None:
    with pytest.raises(UnsupportedError, match="tokenizer"):
        _ = no_vocabulary.tokenizer
    with pytest.raises(UnsupportedError, match="tokenizer"):
        Sampler(no_vocabulary, [samplers.greedy()])
    tiny.assert_decodes(Context(no_vocabulary, **tiny.SMALL))


def uses_of_a_token(model: Model) -> dict[str, Callable[[int], object]]:
    tokenizer = model.tokenizer
    context = Context(model, **tiny.SMALL)
    sampler = Sampler(model, [samplers.penalties(64, 1.1), samplers.greedy()])
    return {
        "decode": lambda token: context.decode(Batch([3, token])),
        "detokenize": lambda token: tokenizer.decode([3, token]),
        "bytes": lambda token: tokenizer.decode_bytes([3, token]),
        "piece": tokenizer.piece,
        "text": tokenizer.token_text,
        "score": tokenizer.score,
        "is_end": tokenizer.is_end,
        "is_control": tokenizer.is_control,
        "stream": lambda token: tokenizer.decoder().push(token),
        "accept": sampler.accept,
        "accept_prompt": lambda token: sampler.accept_prompt([3, token]),
        "logit_bias": lambda token: Sampler(model, [samplers.logit_bias({token: 1.0}), samplers.greedy()]),
        "trigger": lambda token: Sampler(
            model, [samplers.lazy_grammar('root ::= "a"', trigger_tokens=[token]), samplers.greedy()]
        ),
    }


def test_tokens_outside_the_vocabulary_are_refused(llama: Model) -> None:
    for name, use in uses_of_a_token(llama).items():
        for token in OUTSIDE:
            with pytest.raises(InvalidRequestError, match="vocabulary") as raised:
                use(token)
            assert raised.value.token == token, name
            assert raised.value.n_vocab == tiny.N_VOCAB, name
        # Not cut to 32 bits, which would make it token 3.
        with pytest.raises((InvalidRequestError, TypeError)):
            use(2**32 + 3)
        use(tiny.N_VOCAB - 1)


def test_tokens_outside_a_vocabulary_without_text_are_refused(no_vocabulary: Model) -> None:
    context = Context(no_vocabulary, **tiny.SMALL)
    for token in OUTSIDE:
        with pytest.raises(InvalidRequestError, match="vocabulary"):
            context.decode(Batch([token]))
    tiny.assert_decodes(context)


@pytest.mark.parametrize("name", ["no_separator", "no_beginning"])
def test_missing_special_token_is_refused(name: str, request: pytest.FixtureRequest) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(name).tokenizer
    with pytest.raises(UnsupportedError, match="special token"):
        tokenizer.encode("a b")
    assert len(tokenizer.encode("a b", add_special=False)) > 0


def test_whitespace_splitter_under_another_tokenizer_is_refused(whitespace: Model) -> None:
    with pytest.raises(UnsupportedError, match="white space"):
        _ = whitespace.tokenizer
    context = Context(whitespace, n_ctx=256, n_threads=1)
    context.decode(Batch([1, 2]))
    assert context.n_outputs == 1


@pytest.mark.parametrize("unit", ["a", "7", "!", "é"])
def test_long_runs_of_text_do_not_overflow_the_stack(regex: Model, unit: str) -> None:
    tokenizer = regex.tokenizer
    limit = 1 << 19
    with pytest.raises(InvalidRequestError, match="run") as raised:
        tokenizer.encode(unit * (limit + 1))
    assert (raised.value.n_run, raised.value.limit) == (limit + 1, limit)
    encoded: list[int] = []
    old = threading.stack_size(512 << 10)
    try:
        thread = threading.Thread(target=lambda: encoded.extend(tokenizer.encode(unit * 50_000).tolist()))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(old)
    assert len(encoded) >= 50_000


def test_text_that_cannot_be_tokenized_is_refused(no_bytes: Model, llama: Model) -> None:
    with pytest.raises(InvalidRequestError, match="tokenize"):
        no_bytes.tokenizer.encode("a €", add_special=False)
    with pytest.raises(InvalidRequestError, match="surrogate") as raised:
        llama.tokenizer.encode("ab\ud800")
    assert raised.value.character == 2
    with pytest.raises(InvalidRequestError, match="surrogate"):
        llama.tokenizer.encode_batch(["fine", "\udfff"])
    assert llama.tokenizer.decode(llama.tokenizer.encode("ab\0c")) == "ab\0c"
    assert no_bytes.tokenizer.n_tokens == tiny.N_VOCAB


@pytest.mark.slow
def test_text_above_a_gibibyte_is_refused(llama: Model) -> None:
    with pytest.raises(InvalidRequestError, match="bytes") as raised:
        llama.tokenizer.encode("a" * (2**30 + 1))
    assert raised.value.n_bytes == 2**30 + 1
    assert llama.tokenizer.encode("a").size > 0


def test_token_without_bytes_has_no_crashing_text(llama_path: Path, tmp_path: Path) -> None:
    entries = tiny.byte_vocabulary()
    tokens = list(entries["tokenizer.ggml.tokens"])  # type: ignore[arg-type]
    tokens[10] = "x"  # a byte token that names no byte
    path = tiny.llama(tmp_path / "byte.gguf", vocab=entries | {"tokenizer.ggml.tokens": tokens})
    try:
        model = Model(path)
    except ModelLoadError:
        return
    with pytest.raises(InvalidRequestError):
        model.tokenizer.piece(10)
    with pytest.raises(InvalidRequestError):
        model.tokenizer.decode([10])
    assert model.tokenizer.piece(tiny.byte_token("a")) == b"a"


RANDOM = np.random.default_rng(3)
HALF = (RANDOM.standard_normal((4, tiny.N_EMBD)) * 0.1).astype(np.float32)
BAD_ADAPTERS: dict[str, dict[str, Any]] = {
    "integers in the first half": {"a": np.ones((4, tiny.N_EMBD), np.int32)},
    "integers in the second half": {"b": np.ones((tiny.N_EMBD, 4), np.int32)},
    "doubles": {"a": HALF.astype(np.float64), "b": HALF.T.astype(np.float64)},
    "different ranks": {"b": np.ones((tiny.N_EMBD, 8), np.float32)},
    "third dimension": {"a": np.stack([HALF, HALF]), "b": np.stack([HALF.T, HALF.T])},
    "third dimension in one half": {"a": np.stack([HALF, HALF])},
    "another width": {"a": np.ones((4, 32), np.float32)},
    "unknown weight": {"target": "blk.9.attn_q.weight"},
    "alpha as text": {"metadata": {"adapter.lora.alpha": "eight"}},
    "type as number": {"metadata": {"general.type": 3}},
    "another type": {"metadata": {"general.type": "model"}},
    "adapter type as number": {"metadata": {"adapter.type": 1}},
    "another architecture": {"architecture": "gpt2"},
}


@pytest.mark.parametrize("fault", BAD_ADAPTERS)
def test_damaged_adapter_files_are_refused(llama: Model, lora_path: Path, tmp_path: Path, fault: str) -> None:
    path = tiny.lora(tmp_path / "bad.gguf", **BAD_ADAPTERS[fault])
    with pytest.raises(ModelLoadError) as raised:
        Adapter(llama, path)
    assert raised.value.path == str(path)
    assert raised.value.reason
    assert_adapter_works(llama, lora_path)


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.2, 0.9])
def test_cut_files_are_refused(llama: Model, llama_path: Path, lora_path: Path, tmp_path: Path, keep: float) -> None:
    with pytest.raises(ModelLoadError):
        Model(tiny.damaged(tmp_path / "model.gguf", llama_path, keep=keep))
    with pytest.raises(ModelLoadError):
        Adapter(llama, tiny.damaged(tmp_path / "lora.gguf", lora_path, keep=keep))
    assert_adapter_works(llama, lora_path)


def test_flat_adapter_of_an_expert_weight_is_refused(moe: Model, tmp_path: Path) -> None:
    half = HALF[:, : tiny.N_EMBD]
    target = "blk.0.ffn_up_exps.weight"
    flat = tiny.lora(tmp_path / "flat.gguf", target=target, a=half, b=np.ones((tiny.N_FF_EXPERT, 4), np.float32))
    with pytest.raises(ModelLoadError):
        Adapter(moe, flat)
    whole = {"a": np.stack([half] * 4), "b": np.ones((4, tiny.N_FF_EXPERT, 4), np.float32)}
    context = Context(moe, **tiny.SMALL)
    context.set_adapters({Adapter(moe, tiny.lora(tmp_path / "whole.gguf", target=target, **whole)): 1.0})
    tiny.assert_decodes(context)


def assert_adapter_works(model: Model, path: Path) -> None:
    context = Context(model, **tiny.SMALL)
    context.decode(Batch([3, 4]))
    before = context.logits()
    context.memory.clear()
    context.set_adapters({Adapter(model, path): 1.0})
    context.decode(Batch([3, 4]))
    assert np.isfinite(context.logits()).all()
    assert not np.allclose(context.logits(), before)


def test_adapter_of_another_model_is_refused(llama: Model, llama_path: Path, lora_path: Path) -> None:
    context = Context(llama, **tiny.SMALL)
    with Model(llama_path) as other, pytest.raises(InvalidRequestError, match="another Model"):
        context.set_adapters({Adapter(other, lora_path): 1.0})
    adapter = Adapter(llama, lora_path)
    for scale in (float("nan"), float("inf"), float("-inf"), 1e300):
        with pytest.raises(InvalidRequestError, match="finite"):
            context.set_adapters({adapter: scale})
    context.set_adapters({adapter: 0.5})
    tiny.assert_decodes(context)
    context.set_adapters({})
    tiny.assert_decodes(context)


def test_adapter_on_nvfp4_weights_is_refused(nvfp4: Model, lora_path: Path) -> None:
    context = Context(nvfp4, **tiny.SMALL)
    with pytest.raises(UnsupportedError, match="NVFP4"):
        Adapter(nvfp4, lora_path)
    tiny.assert_decodes(context)
