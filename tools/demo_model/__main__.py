"""Builds the demo model: tokenizer, training, export and check."""

from __future__ import annotations

import argparse
from pathlib import Path

import tokenizer
import torch
import train
from export import export
from verify import verify

OUTPUT = Path(__file__).resolve().parents[2] / "src" / "inllama" / "models" / "demo.gguf"


def main() -> None:
    """Runs all steps; the work directory keeps the intermediate files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="directory for the tokenizer and the checkpoint")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--minutes", type=float, default=60.0, help="time budget of the training")
    parser.add_argument("--steps", type=int, help="train this many steps instead of a time budget")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    merges, checkpoint = (args.work / name for name in ("tokenizer.json", "model.pt"))

    tokenizer.train(merges, args.seed)
    train.train(merges, checkpoint, args.minutes, args.steps, args.seed)
    export(checkpoint, merges, args.output)
    print(verify(checkpoint, merges, args.output))


if __name__ == "__main__":
    main()
