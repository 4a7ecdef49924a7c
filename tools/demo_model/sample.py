"""Samples stories from a checkpoint with PyTorch."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from model import StoryModel
from tokenizer import Tokenizer
from torch import Tensor
from train import load_checkpoint


def choose(logits: Tensor, temperature: float, top_k: int, top_p: float, generator: torch.Generator) -> int:
    """Draws one token id from logits of shape (n_vocab,); temperature 0 takes the best one."""
    if temperature == 0.0:
        return int(logits.argmax())
    values, ids = logits.topk(top_k)
    nucleus = values.softmax(-1)
    nucleus = nucleus.masked_fill(nucleus.cumsum(-1) - nucleus >= top_p, 0.0)
    scaled = (values / temperature).softmax(-1) * (nucleus > 0)
    return int(ids[torch.multinomial(scaled, 1, generator=generator)])


@torch.no_grad()
def generate(
    model: StoryModel,
    tokenizer: Tokenizer,
    prompt: str,
    temperature: float = 0.8,
    limit: int = 400,
    seed: int = 0,
    top_k: int = 40,
    top_p: float = 0.95,
) -> tuple[list[int], bool]:
    """Continues a prompt.

    Returns:
        The token ids of the continuation and whether it ended by itself.
    """
    generator = torch.Generator().manual_seed(seed)
    ids = [tokenizer.end, *tokenizer.encode(prompt)]
    start = len(ids)
    while len(ids) < min(start + limit, model.config.n_ctx):
        token = choose(model(torch.tensor([ids]))[0, -1], temperature, top_k, top_p, generator)
        if token == tokenizer.end:
            return ids[start:], True
        ids.append(token)
    return ids[start:], False


def main() -> None:
    """Prints stories and how many of them ended by themselves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--prompt", default="Once upon a time")
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--temperature", type=float, default=0.8)
    args = parser.parse_args()
    model, tokenizer = load_checkpoint(args.checkpoint), Tokenizer.load(args.tokenizer)
    ended = 0
    for seed in range(args.count):
        ids, stopped = generate(model, tokenizer, args.prompt, args.temperature, seed=seed)
        ended += stopped
        print(f"{args.prompt}{tokenizer.decode(ids)}\n")
    print(f"{ended} of {args.count} ended by themselves")


if __name__ == "__main__":
    main()
