"""Trains the demo model within a time budget, on documents that are drawn as it goes and never repeat."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from circuits import plant
from model import Config, DemoModel
from muon import Muon
from rows import PRACTICE_ROWS, draw_batch
from tokenizer import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

# Rows of a batch and their length, up to this share of the budget: short rows cost less and teach most.
BATCHES = ((0.65, 8, 512), (1.0, 4, 2048))
MATRIX_RATE = 0.008
OTHER_RATE = 2e-3
WARMUP_STEPS = 50
DECAY_SHARE = 0.5
LOG_STEPS = 20
SAVE_MINUTES = 3.0
HELD_OUT_SEED_OFFSET = 1_000_000
HELD_OUT_ROWS = 16


@dataclass
class Progress:
    """How far the training is.

    Attributes:
        step: Steps taken.
        row: Number of the next row of the corpus.
        tokens: Tokens seen.
        minutes: Time spent.
    """

    step: int = 0
    row: int = 0
    tokens: int = 0
    minutes: float = 0.0


def optimizers_of(model: DemoModel) -> list[torch.optim.Optimizer]:
    """Builds Muon for the matrices of the layers and AdamW for the embeddings and norms."""
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "embedding" not in name]
    others = [p for name, p in model.named_parameters() if p.dim() != 2 or "embedding" in name]
    result: list[torch.optim.Optimizer] = [
        Muon(matrices, lr=MATRIX_RATE),
        torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.0),
    ]
    for optimizer in result:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return result


def restore(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Takes over an optimizer's state, but not the peaks of its rates: those are what this file says now."""
    peaks = [group["peak"] for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
        group["peak"] = peak


def rate(step: int, share: float) -> float:
    """Returns the factor of the learning rates: linear warmup, a plateau, linear decay to the end of the budget."""
    return min(1.0, (step + 1) / WARMUP_STEPS, max(0.0, (1 - share) / DECAY_SHARE) + 0.01)


def loss_of(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Returns the mean cross entropy of the tokens to learn."""
    inputs, targets, learned = batch
    return functional.cross_entropy(model(inputs, learned), targets[learned])


@torch.no_grad()
def held_out_loss(model: nn.Module, tokenizer: Tokenizer, seed: int) -> float:
    """Returns the mean loss on rows of full length which the training does not draw, without exercises."""
    seed += HELD_OUT_SEED_OFFSET
    length = BATCHES[-1][2]
    rows = range(PRACTICE_ROWS, PRACTICE_ROWS + HELD_OUT_ROWS)
    losses = [loss_of(model, draw_batch(tokenizer, seed, row, 1, length)).item() for row in rows]
    return sum(losses) / len(losses)


def save(path: Path, model: DemoModel, optimizers: list[torch.optim.Optimizer], progress: Progress) -> None:
    """Writes a checkpoint, from which the training can go on."""
    data = {
        "config": asdict(model.config),
        "weights": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "progress": asdict(progress),
    }
    torch.save(data, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def train(
    tokenizer_path: Path,
    checkpoint: Path,
    minutes: float,
    steps: int | None = None,
    seed: int = 1,
    resume: bool = False,
) -> float:
    """Trains a model and saves its weights with the configuration.

    Args:
        tokenizer_path: File of the tokenizer.
        checkpoint: File to write; it is also written every few minutes.
        minutes: Time budget, over which the learning rate decays.
        steps: Number of steps, instead of a time budget; the result then depends on the seed alone.
        seed: Seed of the weights and of the corpus.
        resume: Whether to go on from the checkpoint.

    Returns:
        The loss on rows which were held out.
    """
    torch.manual_seed(seed)
    tokenizer = Tokenizer.load(tokenizer_path)
    model = DemoModel(Config(n_vocab=len(tokenizer.tokens)))
    plant(model, seed)
    optimizers = optimizers_of(model)
    progress = Progress()
    if resume:
        data: dict[str, Any] = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(data["weights"])
        for optimizer, state in zip(optimizers, data["optimizers"], strict=True):
            restore(optimizer, state)
        progress = Progress(**data["progress"])
    print(f"{model.parameter_count()} parameters", flush=True)

    last = time.monotonic()
    saved, shown, logged_tokens = progress.minutes, progress.minutes, progress.tokens
    share = progress.step / steps if steps else progress.minutes / minutes
    while share < 1.0:
        rows, length = next((rows, length) for until, rows, length in BATCHES if share < until)
        batch = draw_batch(tokenizer, seed, progress.row, rows, length)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate(progress.step, share)
        loss = loss_of(model, batch)
        model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()

        now = time.monotonic()
        progress.minutes += (now - last) / 60
        last = now
        progress.step += 1
        progress.row += rows
        progress.tokens += batch[0].numel()
        share = progress.step / steps if steps else progress.minutes / minutes
        if progress.step % LOG_STEPS == 0:
            speed = (progress.tokens - logged_tokens) / (progress.minutes - shown) / 60
            shown, logged_tokens = progress.minutes, progress.tokens
            print(
                f"step {progress.step} ({share:.1%}): loss {loss.item():.4f}, {progress.minutes:.1f} min, "
                f"{progress.tokens} tokens, {speed:.0f} per second",
                flush=True,
            )
        if progress.minutes - saved > SAVE_MINUTES:
            saved = progress.minutes
            save(checkpoint, model, optimizers, progress)

    save(checkpoint, model, optimizers, progress)
    final = held_out_loss(model, tokenizer, seed)
    print(
        f"held-out loss {final:.4f} after {progress.step} steps, {progress.tokens} tokens, {progress.minutes:.1f} min",
        flush=True,
    )
    return final


def load_checkpoint(path: Path) -> DemoModel:
    """Reads a model which ``train`` has written."""
    data = torch.load(path, weights_only=True)
    model = DemoModel(Config(**data["config"]))
    model.load_state_dict(data["weights"])
    return model.eval()


def main() -> None:
    """Trains from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--steps", type=int, help="train this many steps instead of a time budget")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train(args.tokenizer, args.checkpoint, args.minutes, args.steps, args.seed, args.resume)


if __name__ == "__main__":
    main()
