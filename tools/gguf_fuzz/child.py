"""Loads one file after the other, within limits; says of each what happened. Run by ``parent.py``.

Each line of the input is the path of a file and, for adapters, of its model; each line of the output is a JSON object.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

LIMIT_BYTES = 4 << 30


def peak_bytes() -> int:
    """Return the most memory that was in use since ``forget_peak``."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def forget_peak() -> None:
    """Begin to measure the peak anew."""
    Path("/proc/self/clear_refs").write_text("5")


def compute(model: object, adapter: str | None) -> None:
    """Tokenize, and compute a few tokens with the model in every way that it has."""
    from inllama import Adapter, Batch, Context, Model, UnsupportedError

    assert isinstance(model, Model)
    if not model.is_vocab_only and adapter is None:
        try:
            tokenizer = model.tokenizer
            tokenizer.decode(tokenizer.encode("Once a\n€", add_special=False))
        except UnsupportedError:
            pass
    sizes: dict[str, Any] = {"n_ctx": 64, "n_batch": 16, "n_ubatch": 16, "n_threads": 1}
    tokens = [1, 2, 0, 3]
    with Context(model, **sizes) as context:
        if adapter is not None:
            context.set_adapters({Adapter(model, adapter): 1.0})
        if model.has_encoder or not model.has_decoder:
            context.encode(Batch(tokens, outputs="all"))
        if model.has_decoder:
            context.decode(Batch(tokens))
            context.decode(Batch([2]))
    for pooling in ("none", "mean") if adapter is None else ():
        try:
            with Context(model, embeddings=True, pooling=pooling, **sizes) as context:
                is_decoder = model.has_decoder and not model.has_encoder
                (context.decode if is_decoder else context.encode)(Batch(tokens, outputs="all"))
                context.embeddings() if pooling == "none" else context.sequence_embedding()
        except UnsupportedError:
            continue


def handle(path: str, base: str | None) -> tuple[str, str]:
    """Return the outcome and its text for a file."""
    from inllama import InllamaError, Model, ModelLoadError

    try:
        model = Model(base or path)
    except ModelLoadError as error:
        return "refused", error.reason
    try:
        compute(model, path if base else None)
    except ModelLoadError as error:
        return "refused", error.reason
    except InllamaError as error:
        return "refused later", f"{type(error).__name__}: {error}"
    finally:
        model.close()
    return "loaded", ""


def main() -> None:
    """Handle what the input names, until it ends."""
    sys.path[:] = [entry for entry in sys.path if entry != str(Path(__file__).parent)]
    import inllama

    inllama.Model(sys.argv[1]).close()
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        path, _, base = line.rstrip("\n").partition("\t")
        forget_peak()
        before = peak_bytes()
        start = time.process_time()
        try:
            outcome, text = handle(path, base or None)
        except Exception as error:  # not ours: it counts as a fault, but the next file can go on
            outcome, text = "foreign error", f"{type(error).__name__}: {error}"
        seconds = time.process_time() - start
        row = {"outcome": outcome, "text": text, "seconds": seconds, "bytes": peak_bytes() - before}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
