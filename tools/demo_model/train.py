"""Trains the demo model on a story corpus within a time budget."""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from model import Config, StoryModel
from tokenizer import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

ROW_LENGTH = 512
BATCH_ROWS = 4
PEAK_RATE = 3e-3
WARMUP_STEPS = 100
WEIGHT_DECAY = 0.05
LOG_STEPS = 50


def pack_rows(tokenizer: Tokenizer, stories: list[str]) -> Tensor:
    """Packs whole stories into rows, each beginning with the end token which also separates the stories.

    A story that does not fit into the current row is cut there and starts the next row again, so that every row starts
    like a prompt at position 0.

    Returns:
        Token ids of shape (rows, ROW_LENGTH + 1).
    """
    rows: list[list[int]] = []
    row = [tokenizer.end]
    for story in stories:
        ids = [*tokenizer.encode(story), tokenizer.end]
        row += ids
        if len(row) > ROW_LENGTH:
            rows.append(row[: ROW_LENGTH + 1])
            row = [tokenizer.end, *ids]
    return torch.tensor(rows, dtype=torch.long)


def batches(rows: Tensor, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields endless pairs of inputs and targets, each of shape (BATCH_ROWS, ROW_LENGTH), in shuffled epochs."""
    shuffler = random.Random(seed)
    while True:
        order = list(range(len(rows)))
        shuffler.shuffle(order)
        for start in range(0, len(order) - BATCH_ROWS + 1, BATCH_ROWS):
            batch = rows[order[start : start + BATCH_ROWS]]
            yield batch[:, :-1], batch[:, 1:]


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    """Builds AdamW with weight decay on the matrices alone."""
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() != 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.99), eps=1e-8)


def learning_rate(step: int, progress: float) -> float:
    """Returns the rate after linear warmup and cosine decay, for the given share of the budget."""
    return PEAK_RATE * min(1.0, (step + 1) / WARMUP_STEPS) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


def loss_of(model: StoryModel, inputs: Tensor, targets: Tensor) -> Tensor:
    """Returns the mean cross entropy of next tokens; both arguments have the shape (batch, time)."""
    return functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


def validation_loss(model: StoryModel, rows: Tensor) -> float:
    """Returns the mean loss on rows of shape (rows, ROW_LENGTH + 1)."""
    with torch.no_grad():
        losses = [loss_of(model, part[:, :-1], part[:, 1:]).item() for part in torch.split(rows, BATCH_ROWS)]
    return sum(losses) / len(losses)


def train(
    corpus: Path, tokenizer_path: Path, checkpoint: Path, minutes: float, steps: int | None = None, seed: int = 1
) -> float:
    """Trains a model and saves its weights with the configuration.

    Args:
        corpus: File with one story per line.
        tokenizer_path: File of the tokenizer.
        checkpoint: File to write.
        minutes: Time budget, over which the learning rate decays.
        steps: Number of steps, instead of a time budget; the result then depends on the seed alone.
        seed: Seed of the weights and of the order of the rows.

    Returns:
        The loss on rows which were held out.
    """
    torch.manual_seed(seed)
    tokenizer = Tokenizer.load(tokenizer_path)
    rows = pack_rows(tokenizer, corpus.read_text(encoding="utf-8").splitlines())
    held_out, rows = rows[:32], rows[32:]
    model = StoryModel(Config(n_vocab=len(tokenizer.tokens)))
    optimizer = optimizer_of(model)
    source = batches(rows, seed)
    print(f"{model.parameter_count()} parameters, {len(rows)} rows of {ROW_LENGTH} tokens", flush=True)

    start = time.monotonic()
    step, elapsed, progress = 0, 0.0, 0.0
    while progress < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, progress)
        loss = loss_of(model, *next(source))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        elapsed = (time.monotonic() - start) / 60
        progress = step / steps if steps else elapsed / minutes
        if step % LOG_STEPS == 0:
            print(f"step {step} ({progress:.0%}): loss {loss.item():.4f}, {elapsed:.1f} min", flush=True)

    final = validation_loss(model, held_out)
    torch.save({"config": asdict(model.config), "weights": model.state_dict()}, checkpoint)
    print(f"held-out loss {final:.4f} after {step} steps and {elapsed:.1f} min", flush=True)
    return final


def load_checkpoint(path: Path) -> StoryModel:
    """Reads a model which ``train`` has written."""
    data = torch.load(path, weights_only=True)
    model = StoryModel(Config(**data["config"]))
    model.load_state_dict(data["weights"])
    return model.eval()


def main() -> None:
    """Trains from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--steps", type=int, help="train this many steps instead of a time budget")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train(args.corpus, args.tokenizer, args.checkpoint, args.minutes, args.steps, args.seed)


if __name__ == "__main__":
    main()
