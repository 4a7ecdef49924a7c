"""Tiny models with random weights, one per kind of memory, vocabulary and pooling; each less than 300 kB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from inllama import Batch, Context

Value = bool | int | float | str | Sequence[int] | Sequence[float] | Sequence[str]
Metadata = Mapping[str, Value]
# A shape in numpy's order, or the weights themselves; bytes are blocks of NVFP4.
Tensors = Mapping[str, tuple[int, ...] | npt.NDArray[np.generic]]

N_VOCAB = 320
N_EMBD = 64
N_FF = 32
N_POSITIONS = 16  # rows of a learned position table
BOS, EOS = 1, 2
LONG_WORD = 300  # token of 600 bytes in vocabulary_with_a_long_word
POOLING_MEAN, POOLING_CLS, POOLING_LAST, POOLING_RANK = 1, 2, 3, 4

# Options of a context that is made quickly.
SMALL: dict[str, Any] = {"n_ctx": 256, "n_batch": 64, "n_ubatch": 64, "n_threads": 1}

_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_token(character: str) -> int:
    """Return the token of an ASCII character in the vocabularies of ``byte_vocabulary``."""
    return 3 + ord(character)


def assert_decodes(context: Context, sequence: int = 0) -> None:
    """Check that a context of a model with memory goes on with a sequence."""
    context.decode(Batch([byte_token("a"), byte_token("b")], sequence=sequence))
    assert np.isfinite(context.logits()).all()


def write_model(path: Path, architecture: str, metadata: Metadata, tensors: Tensors) -> Path:
    """Write a GGUF; keys that begin with a dot belong to the architecture, norms are ones."""
    random = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in metadata.items():
        name = architecture + key if key.startswith(".") else key
        if isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        elif isinstance(value, str):
            writer.add_string(name, value)
        else:
            writer.add_array(name, value)
    for name, tensor in tensors.items():
        if isinstance(tensor, np.ndarray):
            is_blocks = tensor.dtype == np.uint8
            writer.add_tensor(name, tensor, raw_dtype=gguf.GGMLQuantizationType.NVFP4 if is_blocks else None)
        elif name.endswith("norm.weight"):
            writer.add_tensor(name, np.ones(tensor, np.float32))
        else:
            writer.add_tensor(name, (random.standard_normal(tensor) * 0.05).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def vocabulary(kind: str, tokens: Sequence[str], types: Sequence[int]) -> dict[str, Value]:
    return {
        "tokenizer.ggml.model": kind,
        "tokenizer.ggml.tokens": list(tokens),
        "tokenizer.ggml.scores": [0.0] * len(tokens),
        "tokenizer.ggml.token_type": list(types),
    }


def byte_vocabulary(n: int = N_VOCAB) -> dict[str, Value]:
    """<unk> <s> </s>, all bytes, a space, then ideographs."""
    words = ["▁", *(chr(0x4E00 + i) for i in range(n - 260))]
    types = [_UNKNOWN, _CONTROL, _CONTROL] + [_BYTE] * 256 + [_NORMAL] * len(words)
    entries = vocabulary("llama", ["<unk>", "<s>", "</s>", *_BYTES, *words], types)
    return entries | {"tokenizer.ggml.add_space_prefix": False}


def vocabulary_with_a_long_word() -> dict[str, Value]:
    entries = byte_vocabulary()
    tokens = list(entries["tokenizer.ggml.tokens"])  # type: ignore[arg-type]
    tokens[LONG_WORD] = "b" * 600
    return entries | {"tokenizer.ggml.tokens": tokens}


def vocabulary_without_bytes() -> dict[str, Value]:
    """Letters and ideographs: no token for any other byte."""
    words = [chr(0x4E00 + i) for i in range(N_VOCAB - 29)]
    letters = [chr(ord("a") + i) for i in range(26)]
    types = [_UNKNOWN, _CONTROL, _CONTROL] + [_NORMAL] * (N_VOCAB - 3)
    return vocabulary("llama", ["<unk>", "<s>", "</s>", *letters, *words], types)


def bpe_vocabulary(splitter: str, n: int = N_VOCAB) -> dict[str, Value]:
    """GPT-2's bytes and one merge, split by the expressions of ``splitter``; end token 11."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    tokens = [*letters, "ab", *(f"token{i}" for i in range(n - 257))]
    extra = {"tokenizer.ggml.pre": splitter, "tokenizer.ggml.merges": ["a b"]}
    return {**vocabulary("gpt2", tokens, [_NORMAL] * n), **extra}


def wordpiece_vocabulary(n: int = N_VOCAB) -> dict[str, Value]:
    """BERT's places for special tokens, with words of one letter."""
    tokens = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += [f"▁{chr(ord('a') + i)}" for i in range(26)] + [chr(ord("a") + i) for i in range(26)]
    tokens += [f"word{i}" for i in range(N_VOCAB)]
    return vocabulary("bert", tokens[:n], [_NORMAL] * n)


def unigram_vocabulary() -> dict[str, Value]:
    """T5's: a pad and an end token, and none for the beginning."""
    tokens = ["<pad>", "</s>", "<unk>", *(chr(ord("a") + i) for i in range(26))]
    tokens += [chr(0x4E00 + i) for i in range(N_VOCAB - len(tokens))]
    return vocabulary("t5", tokens, [_CONTROL, _CONTROL, _UNKNOWN] + [_NORMAL] * (N_VOCAB - 3))


def no_vocabulary() -> dict[str, Value]:
    return {"tokenizer.ggml.model": "no_vocab", ".vocab_size": N_VOCAB}


def _sizes(n_embd: int = N_EMBD, n_layer: int = 2, n_ctx: int = 64) -> dict[str, Value]:
    return {
        ".context_length": n_ctx,
        ".embedding_length": n_embd,
        ".block_count": n_layer,
        ".feed_forward_length": N_FF,
        ".attention.head_count": 2,
        ".attention.head_count_kv": 2,
        ".attention.layer_norm_rms_epsilon": 1e-5,
        ".attention.layer_norm_epsilon": 1e-5,
    }


def _ends(n_embd: int = N_EMBD, n_vocab: int = N_VOCAB) -> dict[str, tuple[int, ...]]:
    return {"token_embd.weight": (n_vocab, n_embd), "output_norm.weight": (n_embd,)}


def _attention(block: str, n_embd: int) -> dict[str, tuple[int, ...]]:
    names = ("attn_q", "attn_k", "attn_v", "attn_output")
    return {f"{block}.{name}.weight": (n_embd, n_embd) for name in names}


def _gated(block: str, n_embd: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{block}.ffn_gate.weight": (N_FF, n_embd),
        f"{block}.ffn_up.weight": (N_FF, n_embd),
        f"{block}.ffn_down.weight": (n_embd, N_FF),
    }


def _norms(block: str, n_embd: int, *names: str) -> dict[str, tuple[int, ...]]:
    return {f"{block}.{name}.weight": (n_embd,) for name in names}


def llama(
    path: Path,
    *,
    vocab: Metadata | None = None,
    metadata: Metadata | None = None,
    tensors: Tensors | None = None,
    n_embd: int = N_EMBD,
    n_vocab: int = N_VOCAB,
) -> Path:
    """Full attention in 2 layers of 2 heads; ``metadata`` and ``tensors`` replace or add some."""
    shapes = _ends(n_embd, n_vocab)
    for layer in range(2):
        block = f"blk.{layer}"
        shapes |= _norms(block, n_embd, "attn_norm", "ffn_norm") | _attention(block, n_embd) | _gated(block, n_embd)
    entries = _sizes(n_embd) | {".rope.dimension_count": n_embd // 2}
    entries |= dict(vocab or byte_vocabulary()) | dict(metadata or {})
    return write_model(path, "llama", entries, {**shapes, **(tensors or {})})


def mixture_of_experts(path: Path) -> Path:
    """A llama with 4 experts, of which 2 are used; weights with a third dimension."""
    n_experts = 4
    shapes = _ends()
    block = "blk.0"
    shapes |= _norms(block, N_EMBD, "attn_norm", "ffn_norm") | _attention(block, N_EMBD)
    shapes |= {
        f"{block}.ffn_gate_inp.weight": (n_experts, N_EMBD),
        f"{block}.ffn_gate_exps.weight": (n_experts, N_FF, N_EMBD),
        f"{block}.ffn_up_exps.weight": (n_experts, N_FF, N_EMBD),
        f"{block}.ffn_down_exps.weight": (n_experts, N_EMBD, N_FF),
    }
    entries = _sizes(n_layer=1) | {
        ".rope.dimension_count": N_EMBD // 2,
        ".expert_count": n_experts,
        ".expert_used_count": 2,
    }
    return write_model(path, "llama", entries | byte_vocabulary(), shapes)


def gemma3(path: Path) -> Path:
    """Sliding windows of 8 tokens in one of 2 layers."""
    n_embd, head = 32, 16
    shapes = _ends(n_embd)
    for layer in range(2):
        block = f"blk.{layer}"
        shapes |= _attention(block, n_embd) | _gated(block, n_embd)
        shapes |= _norms(block, n_embd, "attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm")
        shapes |= _norms(block, head, "attn_q_norm", "attn_k_norm")
    entries = _sizes(n_embd) | {
        ".attention.sliding_window": 8,
        ".attention.sliding_window_pattern": 2,
        ".attention.key_length": head,
        ".attention.value_length": head,
    }
    return write_model(path, "gemma3", entries | byte_vocabulary(), shapes)


def gpt2(path: Path) -> Path:
    """A learned table of 16 positions and causal attention."""
    shapes = _ends() | {"position_embd.weight": (N_POSITIONS, N_EMBD), "output_norm.bias": (N_EMBD,)}
    block = "blk.0"
    for name, rows, columns in (
        ("attn_qkv", 3 * N_EMBD, N_EMBD),
        ("attn_output", N_EMBD, N_EMBD),
        ("ffn_up", N_FF, N_EMBD),
        ("ffn_down", N_EMBD, N_FF),
    ):
        shapes |= {f"{block}.{name}.weight": (rows, columns), f"{block}.{name}.bias": (rows,)}
    for name in ("attn_norm", "ffn_norm"):
        shapes |= {f"{block}.{name}.weight": (N_EMBD,), f"{block}.{name}.bias": (N_EMBD,)}
    return write_model(path, "gpt2", _sizes(n_layer=1, n_ctx=N_POSITIONS) | byte_vocabulary(), shapes)


def bert(path: Path, *, pooling: int | None = None, labels: Sequence[str] = (), n_vocab: int = N_VOCAB) -> Path:
    """No memory, 16 positions, and a classifier if there are ``labels``."""
    shapes = _ends(n_vocab=n_vocab) | {
        "position_embd.weight": (N_POSITIONS, N_EMBD),
        "token_types.weight": (2, N_EMBD),
        "token_embd_norm.weight": (N_EMBD,),
        "token_embd_norm.bias": (N_EMBD,),
    }
    del shapes["output_norm.weight"]
    block = "blk.0"
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        shapes |= {f"{block}.{name}.weight": (N_EMBD, N_EMBD), f"{block}.{name}.bias": (N_EMBD,)}
    shapes |= {f"{block}.ffn_up.weight": (N_FF, N_EMBD), f"{block}.ffn_up.bias": (N_FF,)}
    shapes |= {f"{block}.ffn_down.weight": (N_EMBD, N_FF), f"{block}.ffn_down.bias": (N_EMBD,)}
    for name in ("attn_output_norm", "layer_output_norm"):
        shapes |= {f"{block}.{name}.weight": (N_EMBD,), f"{block}.{name}.bias": (N_EMBD,)}
    entries = _sizes(n_layer=1, n_ctx=N_POSITIONS) | {".attention.causal": False, "tokenizer.ggml.token_type_count": 2}
    if pooling is not None:
        entries[".pooling_type"] = pooling
    if labels:
        entries[".classifier.output_labels"] = list(labels)
        shapes |= {"cls.weight": (N_EMBD, N_EMBD), "cls.bias": (N_EMBD,)}
        shapes |= {"cls.output.weight": (len(labels), N_EMBD), "cls.output.bias": (len(labels),)}
    return write_model(path, "bert", entries | wordpiece_vocabulary(n_vocab), shapes)


def mamba(path: Path) -> Path:
    """A recurrent state instead of cells."""
    n_embd, n_inner, n_state, n_step = 32, 64, 16, 2
    block = "blk.0"
    shapes = _ends(n_embd) | {
        f"{block}.attn_norm.weight": (n_embd,),
        f"{block}.ssm_in.weight": (2 * n_inner, n_embd),
        f"{block}.ssm_conv1d.weight": (n_inner, 4),
        f"{block}.ssm_conv1d.bias": (n_inner,),
        f"{block}.ssm_x.weight": (n_step + 2 * n_state, n_inner),
        f"{block}.ssm_dt.weight": (n_inner, n_step),
        f"{block}.ssm_dt.bias": (n_inner,),
        f"{block}.ssm_a": (n_inner, n_state),
        f"{block}.ssm_d": (n_inner,),
        f"{block}.ssm_out.weight": (n_embd, n_inner),
    }
    entries = _sizes(n_embd, n_layer=1) | {
        ".feed_forward_length": 0,
        ".attention.head_count": 0,
        ".attention.head_count_kv": 0,
        ".ssm.conv_kernel": 4,
        ".ssm.inner_size": n_inner,
        ".ssm.state_size": n_state,
        ".ssm.time_step_rank": n_step,
    }
    return write_model(path, "mamba", entries | byte_vocabulary(), shapes)


def lfm2(path: Path) -> Path:
    """A hybrid: a convolution with a state, then full attention."""
    n_embd, head = 32, 16
    shapes = {"token_embd.weight": (N_VOCAB, n_embd), "token_embd_norm.weight": (n_embd,)}
    for layer in range(2):
        block = f"blk.{layer}"
        shapes |= _norms(block, n_embd, "attn_norm", "ffn_norm") | _gated(block, n_embd)
    shapes |= {
        "blk.0.shortconv.conv.weight": (n_embd, 3),
        "blk.0.shortconv.in_proj.weight": (3 * n_embd, n_embd),
        "blk.0.shortconv.out_proj.weight": (n_embd, n_embd),
    }
    shapes |= _attention("blk.1", n_embd) | _norms("blk.1", head, "attn_q_norm", "attn_k_norm")
    entries = _sizes(n_embd) | {".attention.head_count_kv": [0, 2], ".shortconv.l_cache": 3}
    return write_model(path, "lfm2", entries | byte_vocabulary(), shapes)


def t5(path: Path, *, vocab: Metadata | None = None) -> Path:
    """An encoder and a decoder of one layer each."""
    n_embd, head = 32, 16
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (N_VOCAB, n_embd)}
    for side in ("enc", "dec"):
        block = f"{side}.blk.0"
        shapes |= {f"{side}.output_norm.weight": (n_embd,), f"{block}.attn_rel_b.weight": (32, 2)}
        shapes |= _norms(block, n_embd, "attn_norm", "ffn_norm")
        for kind in ("attn", "cross_attn") if side == "dec" else ("attn",):
            shapes |= {f"{block}.{kind}_{name}.weight": (n_embd, n_embd) for name in "qkvo"}
        shapes |= {f"{block}.ffn_up.weight": (N_FF, n_embd), f"{block}.ffn_down.weight": (n_embd, N_FF)}
    shapes |= _norms("dec.blk.0", n_embd, "cross_attn_norm")
    entries = _sizes(n_embd, n_layer=1) | {
        ".attention.key_length": head,
        ".attention.value_length": head,
        ".attention.relative_buckets_count": 32,
        ".decoder_start_token_id": 0,
    }
    return write_model(path, "t5", entries | dict(vocab or unigram_vocabulary()), shapes)


def lora(
    path: Path,
    *,
    target: str = "blk.0.attn_q.weight",
    a: npt.NDArray[np.generic] | None = None,
    b: npt.NDArray[np.generic] | None = None,
    architecture: str = "llama",
    metadata: Metadata | None = None,
) -> Path:
    """An adapter of rank 4 for one weight of ``llama``; by default a sound one."""
    random = np.random.default_rng(11)
    half = (random.standard_normal((4, N_EMBD)) * 0.5).astype(np.float32)
    entries = {"general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 8.0} | dict(metadata or {})
    tensors = {f"{target}.lora_a": half if a is None else a, f"{target}.lora_b": half.T.copy() if b is None else b}
    return write_model(path, architecture, entries, tensors)


def nvfp4_blocks(rows: int) -> npt.NDArray[np.uint8]:
    """Rows of 64 zeros as NVFP4 has them."""
    return np.zeros((rows, 36), np.uint8)


def damaged(path: Path, source: Path, *, keep: float) -> Path:
    """Write the first part of a file."""
    content = source.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path
