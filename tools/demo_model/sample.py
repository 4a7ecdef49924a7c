"""Prints what a checkpoint says to prompts, with PyTorch; for a look at a training that is running."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from model import DemoModel
from prompts import PROMPTS, Prompt
from tokenizer import Tokenizer
from torch import Tensor
from train import load_checkpoint


def choose(logits: Tensor, temperature: float, top_k: int, generator: torch.Generator) -> int:
    """Draws one token id from logits of shape (n_vocab,); temperature 0 takes the best one."""
    if temperature == 0.0:
        return int(logits.argmax())
    values, ids = logits.topk(top_k)
    return int(ids[torch.multinomial((values / temperature).softmax(-1), 1, generator=generator)])


@torch.no_grad()
def generate(
    model: DemoModel,
    tokenizer: Tokenizer,
    prompt: str,
    temperature: float = 0.4,
    limit: int = 400,
    seed: int = 0,
    top_k: int = 40,
) -> str:
    """Returns the continuation of a prompt, with the token that ends it."""
    generator = torch.Generator().manual_seed(seed)
    ids = [tokenizer.end, *tokenizer.encode(prompt)]
    start = len(ids)
    while len(ids) < min(start + limit, model.config.n_ctx):
        ids.append(choose(model(torch.tensor([ids]))[0, -1], temperature, top_k, generator))
        if ids[-1] in (tokenizer.end, tokenizer.end_of_turn):
            break
    return tokenizer.decode(ids[start:])


def main() -> None:
    """Prints held-out prompts and their answers, and how many are good."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--kind", choices=[*PROMPTS], action="append", help="only these kinds of prompts")
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--temperature", type=float, default=0.4)
    args = parser.parse_args()
    model, tokenizer = load_checkpoint(args.checkpoint), Tokenizer.load(args.tokenizer)
    for kind in args.kind or PROMPTS:
        good = 0
        for seed in range(args.count):
            prompt: Prompt = PROMPTS[kind](seed)
            text = generate(model, tokenizer, prompt.text, args.temperature, seed=seed)
            verdict = prompt.is_good(text)
            good += verdict
            print(f"[{kind}] {prompt.text[-160:]!r}\n  {'good' if verdict else 'BAD '} {text!r}", flush=True)
        print(f"{kind}: {good} of {args.count}\n", flush=True)


if __name__ == "__main__":
    main()
