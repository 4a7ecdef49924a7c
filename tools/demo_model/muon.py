"""The Muon optimizer: momentum whose matrix steps are made orthogonal.

From the description by Keller Jordan (2024), with the usual quintic Newton-Schulz iteration.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """Returns about the nearest matrices of which all singular values are 1; the shape is (n, rows, columns)."""
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    wide = x.shape[1] <= x.shape[2]
    x = x if wide else x.transpose(1, 2).contiguous()
    for _ in range(steps):
        square = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=_B, alpha=_C), x, beta=_A)
    result: Tensor = x if wide else x.transpose(1, 2)
    return result


class Muon(torch.optim.Optimizer):
    """Steps for matrices inside the layers; other weights need another optimizer."""

    def __init__(
        self, matrices: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, decay: float = 0.01
    ) -> None:
        by_shape: dict[torch.Size, list[nn.Parameter]] = {}
        for matrix in matrices:
            by_shape.setdefault(matrix.shape, []).append(matrix)
        groups = [{"params": group} for group in by_shape.values()]
        super().__init__(groups, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Changes the weights by one step; matrices of the same shape are computed together."""
        for group in self.param_groups:
            weights: list[nn.Parameter] = group["params"]
            gradients = torch.stack([weight.grad for weight in weights if weight.grad is not None])
            state = self.state[weights[0]]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(gradients)
            state["momentum"].lerp_(gradients, 1 - group["momentum"])
            directions = orthogonal(gradients.lerp(state["momentum"], group["momentum"]))
            rows, columns = weights[0].shape
            length = -group["lr"] * max(1.0, rows / columns) ** 0.5
            for weight, direction in zip(weights, directions, strict=True):
                weight.mul_(1 - group["lr"] * group["decay"]).add_(direction, alpha=length)
