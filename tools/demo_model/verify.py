"""Checks a GGUF against its checkpoint, with a NumPy forward pass that follows llama.cpp."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import torch
from export import tensor_names
from model import DemoModel
from tokenizer import Tokenizer
from train import load_checkpoint

Array = npt.NDArray[np.float32]

MAX_BYTES = 8 * 1000 * 1000
MAX_PASS_ERROR = 1e-2
MAX_QUANTIZATION_ERROR = 0.5
GREEDY_TOKENS = 300


class GgufModel:
    """The model as a GGUF file describes it.

    Attributes:
        fields: Metadata by key.
        weights: Dequantized weights by name; matrices have the shape (outputs, inputs).
    """

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        self.fields: dict[str, Any] = {key: field.contents() for key, field in reader.fields.items()}
        self.weights: dict[str, Array] = {
            tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors
        }

    def logits(self, ids: list[int]) -> Array:
        """Returns the logits after the last token, of shape (n_vocab,)."""
        x = self.weights["token_embd.weight"][ids]
        for layer in range(self.fields["llama.block_count"]):
            prefix = f"blk.{layer}."
            x = x + self._attention(self._norm(x, prefix + "attn_norm"), prefix)
            h = self._norm(x, prefix + "ffn_norm")
            gate = self._linear(h, prefix + "ffn_gate")
            x = x + self._linear(gate / (1 + np.exp(-gate)) * self._linear(h, prefix + "ffn_up"), prefix + "ffn_down")
        result: Array = self._linear(self._norm(x[-1:], "output_norm"), "token_embd")[0]
        return result

    def _linear(self, x: Array, name: str) -> Array:
        return x @ self.weights[name + ".weight"].T

    def _norm(self, x: Array, name: str) -> Array:
        eps = self.fields["llama.attention.layer_norm_rms_epsilon"]
        scaled: Array = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * self.weights[name + ".weight"]
        return scaled

    def _rotate(self, x: Array) -> Array:
        """Rotates features of shape (time, heads, head_dim), pair (2i, 2i + 1) by position * base^(-2i / n_dims)."""
        n_dims = self.fields["llama.rope.dimension_count"]
        out = x.copy()
        positions = np.arange(len(x), dtype=np.float32)[:, None]
        for i in range(0, n_dims, 2):
            angle = positions * self.fields["llama.rope.freq_base"] ** (-i / n_dims)
            out[..., i] = x[..., i] * np.cos(angle) - x[..., i + 1] * np.sin(angle)
            out[..., i + 1] = x[..., i] * np.sin(angle) + x[..., i + 1] * np.cos(angle)
        return out

    def _attention(self, x: Array, prefix: str) -> Array:
        heads = self.fields["llama.attention.head_count"]
        groups = self.fields["llama.attention.head_count_kv"]
        width = self.fields["llama.embedding_length"] // heads
        q, k, v = (self._linear(x, f"{prefix}attn_{part}").reshape(len(x), -1, width) for part in "qkv")
        k, v = (np.repeat(part, heads // groups, axis=1) for part in (k, v))
        scores = np.einsum("qhd,khd->hqk", self._rotate(q), self._rotate(k)) / np.sqrt(q.shape[-1])
        scores = np.where(np.tri(len(x), dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return self._linear(np.einsum("hqk,khd->qhd", weights, v).reshape(len(x), -1), prefix + "attn_output")


@torch.no_grad()
def torch_logits(model: DemoModel, ids: list[int]) -> Array:
    """Returns a PyTorch model's logits after the last token, of shape (n_vocab,)."""
    result: Array = model(torch.tensor([ids]))[0, -1].numpy()
    return result


def with_exported_weights(model: DemoModel, exported: GgufModel) -> DemoModel:
    """Returns a PyTorch model of the same sizes with the dequantized weights of the GGUF."""
    result = DemoModel(model.config)
    names = tensor_names(model.config)
    result.load_state_dict({source: torch.tensor(exported.weights[target]) for source, target in names.items()})
    return result.eval()


def verify(checkpoint: Path, tokenizer_path: Path, gguf_path: Path, prompt: str = "Once upon a time") -> str:
    """Compares the GGUF with the checkpoint along the greedy continuation of the GGUF.

    The PyTorch model with the dequantized weights has to choose the same tokens, which shows that names, shapes and
    rotary positions are right. The checkpoint itself may choose another token where two are almost equally likely.

    Returns:
        The greedy text and a line which says what was found.

    Raises:
        ValueError: The file is too large, the vocabularies differ or the logits are too far apart.
    """
    size = gguf_path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{gguf_path} has {size} bytes, more than {MAX_BYTES}")
    exported, original, tokenizer = GgufModel(gguf_path), load_checkpoint(checkpoint), Tokenizer.load(tokenizer_path)
    if exported.fields["tokenizer.ggml.tokens"] != tokenizer.tokens:
        raise ValueError("the vocabulary of the GGUF differs")
    rounded = with_exported_weights(original, exported)

    ids = [tokenizer.end, *tokenizer.encode(prompt)]
    pass_error, quantization_error, steps, same, same_original = 0.0, 0.0, 0, 0, 0
    while steps < GREEDY_TOKENS:
        actual, expected, unrounded = exported.logits(ids), torch_logits(rounded, ids), torch_logits(original, ids)
        pass_error = max(pass_error, float(np.abs(expected - actual).max()))
        quantization_error = max(quantization_error, float(np.abs(unrounded - expected).max()))
        ids.append(int(actual.argmax()))
        steps += 1
        same += int(expected.argmax()) == ids[-1]
        same_original += int(unrounded.argmax()) == ids[-1]
        if ids[-1] in (tokenizer.end, tokenizer.end_of_turn):
            break
    if same < steps or pass_error > MAX_PASS_ERROR or quantization_error > MAX_QUANTIZATION_ERROR:
        raise ValueError(f"logits differ by {pass_error:.4f} in the pass and {quantization_error:.4f} by quantization")
    return (
        f"{tokenizer.decode(ids)}\n\n{size} bytes; {same} of {steps} greedy tokens agree "
        f"(logits within {pass_error:.5f}), {same_original} before quantization (within {quantization_error:.3f})"
    )


def main() -> None:
    """Verifies from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("gguf", type=Path)
    args = parser.parse_args()
    print(verify(args.checkpoint, args.tokenizer, args.gguf))


if __name__ == "__main__":
    main()
