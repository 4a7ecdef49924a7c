"""``inllama quantize``: a model's weights in fewer bits."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "quantize",
        help="store a model's weights in fewer bits",
        description="Write a GGUF file whose weights have another type, such as Q4_K_M.",
    )
    parser.add_argument("source", type=Path, help="the model's file, best in F32, F16 or BF16")
    parser.add_argument("target", type=Path, help="the file to be written")
    parser.add_argument("type", help="such as Q4_K_M, Q5_K_M, Q6_K or Q8_0")
    parser.add_argument("--imatrix", type=Path, metavar="FILE", help="an importance matrix of llama.cpp's, in GGUF")
    parser.add_argument("--n-threads", type=int, metavar="VALUE", help="threads (default: the usable cores)")
    parser.add_argument("--output-type", metavar="TYPE", help="of the output tensor, such as q8_0")
    parser.add_argument("--token-embedding-type", metavar="TYPE", help="of the token embeddings")
    parser.add_argument("--allow-requantize", action="store_true", help="also weights that were quantized before")
    parser.add_argument("--leave-output-tensor", action="store_true", help="do not quantize the output tensor")
    parser.add_argument("--pure", action="store_true", help="all tensors alike, without the mixtures of the type")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Quantize, and say what came of it."""
    from inllama.quantization import quantize

    quantize(
        parsed.source,
        parsed.target,
        parsed.type,
        imatrix=parsed.imatrix,
        n_threads=parsed.n_threads,
        output_type=parsed.output_type,
        token_embedding_type=parsed.token_embedding_type,
        allow_requantize=parsed.allow_requantize,
        quantize_output=not parsed.leave_output_tensor,
        pure=parsed.pure,
        progress=_progress(),
    )
    before, after = parsed.source.stat().st_size, parsed.target.stat().st_size
    print(f"{parsed.target}: {after / 1e6:.1f} MB, {after / before:.0%} of {parsed.source}")
    return 0


def _progress() -> Callable[[float], object] | None:
    if not sys.stderr.isatty():
        return None

    def show(done: float) -> None:
        print(f"\r{done:4.0%}", end="\n" if done >= 1 else "", file=sys.stderr, flush=True)

    return show
