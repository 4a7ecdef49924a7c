"""Exports a checkpoint as GGUF: matrices in Q8_0, norms in float32."""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
import numpy as np
from model import Config, DemoModel
from tokenizer import CONTROLS, TAGS, Tokenizer
from torch import Tensor
from train import load_checkpoint

NAME = "inllama demo"
DESCRIPTION = (
    'A tiny model to try inllama with: it continues "Once upon a time", chats about simple things, calls tools for the '
    "weather, the time and calculations, and can reason in a sentence before it answers."
)
TEMPLATE = Path(__file__).parent / "template.jinja"
LICENSE = "Apache-2.0"
TEMPERATURE = 0.3
TOP_K = 40
TOP_P = 0.95


def tensor_names(config: Config) -> dict[str, str]:
    """Maps the names of the PyTorch weights to the names in the GGUF."""
    names = {"embedding.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}
    for layer in range(config.n_layer):
        for source, target in (
            ("attn_norm", "attn_norm"),
            ("attn.q", "attn_q"),
            ("attn.k", "attn_k"),
            ("attn.v", "attn_v"),
            ("attn.out", "attn_output"),
            ("ffn_norm", "ffn_norm"),
            ("ffn.gate", "ffn_gate"),
            ("ffn.up", "ffn_up"),
            ("ffn.down", "ffn_down"),
        ):
            names[f"blocks.{layer}.{source}.weight"] = f"blk.{layer}.{target}.weight"
    return names


def add_general(writer: gguf.GGUFWriter, model: DemoModel) -> None:
    """Adds what the model is and how it should be sampled."""
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(NAME)
    writer.add_description(DESCRIPTION)
    writer.add_license(LICENSE)
    writer.add_languages(["en"])
    writer.add_size_label(f"{model.parameter_count() / 1e6:.1f}M")
    writer.add_sampling_temp(TEMPERATURE)
    writer.add_sampling_top_k(TOP_K)
    writer.add_sampling_top_p(TOP_P)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def add_sizes(writer: gguf.GGUFWriter, config: Config) -> None:
    """Adds the sizes of the architecture."""
    writer.add_vocab_size(config.n_vocab)
    writer.add_context_length(config.n_ctx)
    writer.add_embedding_length(config.n_embd)
    writer.add_block_count(config.n_layer)
    writer.add_feed_forward_length(config.n_ff)
    writer.add_head_count(config.n_head)
    writer.add_head_count_kv(config.n_head_kv)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_base)


def add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    """Adds the vocabulary and the chat template."""
    kinds = dict.fromkeys(CONTROLS, gguf.TokenType.CONTROL) | dict.fromkeys(TAGS, gguf.TokenType.USER_DEFINED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokenizer.tokens)
    writer.add_token_types([kinds.get(token, gguf.TokenType.NORMAL) for token in tokenizer.tokens])
    writer.add_token_merges([f"{left} {right}" for left, right in tokenizer.merges])
    writer.add_bos_token_id(tokenizer.end)
    writer.add_eos_token_id(tokenizer.end_of_turn)
    writer.add_eot_token_id(tokenizer.end_of_turn)
    writer.add_pad_token_id(tokenizer.end)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(TEMPLATE.read_text(encoding="utf-8"))


def add_tensor(writer: gguf.GGUFWriter, name: str, weight: Tensor) -> None:
    """Adds one weight: a matrix of shape (outputs, inputs) as Q8_0, a vector as float32."""
    data = weight.detach().numpy().astype(np.float32)
    if data.ndim == 2:
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)
    else:
        writer.add_tensor(name, data)


def export(checkpoint: Path, tokenizer_path: Path, output: Path) -> None:
    """Writes the GGUF file of a checkpoint and its tokenizer."""
    model = load_checkpoint(checkpoint)
    output.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(output, "llama")
    add_general(writer, model)
    add_sizes(writer, model.config)
    add_tokenizer(writer, Tokenizer.load(tokenizer_path))
    weights = model.state_dict()
    for source, target in tensor_names(model.config).items():
        add_tensor(writer, target, weights[source])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Exports from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    export(args.checkpoint, args.tokenizer, args.output)
    print(f"{args.output}: {args.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
