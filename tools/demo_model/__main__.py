"""Builds the demo model: corpus, tokenizer, training, export and check."""

from __future__ import annotations

import argparse
from pathlib import Path

import corpus
import tokenizer
import torch
import train
from export import export
from verify import verify

OUTPUT = Path(__file__).resolve().parents[2] / "src" / "inllama" / "models" / "demo.gguf"


def main() -> None:
    """Runs all steps; the work directory keeps the intermediate files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="directory for the corpus, the tokenizer and the checkpoint")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--count", type=int, default=60_000, help="number of stories")
    parser.add_argument("--minutes", type=float, default=24.0, help="time budget of the training")
    parser.add_argument("--steps", type=int, help="train this many steps instead of a time budget")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    stories, merges, checkpoint = (args.work / name for name in ("corpus.txt", "tokenizer.json", "model.pt"))

    corpus.write(stories, args.count, args.seed)
    tokenizer.train(stories, merges)
    train.train(stories, merges, checkpoint, args.minutes, args.steps, args.seed)
    export(checkpoint, merges, args.output)
    print(verify(checkpoint, merges, args.output))


if __name__ == "__main__":
    main()
