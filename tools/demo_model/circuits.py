"""Starting weights that already look at earlier tokens; a short training does not find these heads from noise.

Layer 0 gets heads that look at the token one to four places before. Layer 1 gets a head that looks for the place after
an earlier occurrence of the current token and copies what follows it there. In the layers after it some heads begin by
copying what they look at. All of it is trained further like every other weight.
"""

from __future__ import annotations

from typing import cast

import torch
from model import Block, DemoModel
from torch import Tensor

CONSTANT = 0.25  # the first feature of each embedding, from which heads get queries that do not depend on the token
SHARPNESS = 8  # of the look at an earlier place
FADING = 0.7  # of the slower pairs there: they hardly tell neighbors apart
MATCH = 3  # of the look for the current token
SLOW_PAIRS = 8  # from this pair of features on, positions turn so slowly that tokens can be compared
WRITE = 0.15
COPY = (1.2, 0.12)  # strength of copying in the matching head, and in later ones


def orthonormal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Returns a random matrix with orthonormal rows, which ignores the first feature."""
    q, _ = torch.linalg.qr(torch.randn(columns - 1, rows, generator=generator))
    return torch.cat((torch.zeros(rows, 1), q.T), dim=1)


@torch.no_grad()
def plant(model: DemoModel, seed: int) -> None:
    """Writes the starting weights of these heads into a new model."""
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    width, embd = config.head_dim, config.n_embd
    embedding = model.embedding.weight
    embedding[:, 0] = CONSTANT
    scale = CONSTANT / float(embedding.square().mean().sqrt())
    angles = config.rope_base ** (-torch.arange(0, width, 2) / width)

    before, *later = (cast(Block, block).attn for block in model.blocks)
    drawn = orthonormal(5 * width, embd, generator)
    seen, written = drawn[:width], drawn[width:]
    strength = (SHARPNESS * width**0.5 * FADING ** torch.arange(width // 2)).sqrt() / scale
    before.k.weight[:width] = 0.0
    before.k.weight[0:width:2, 0] = strength
    before.v.weight[:width] = seen
    for head in range(4):
        rows = slice(head * width, (head + 1) * width)
        phase = -(head + 1) * angles
        query = (torch.stack((phase.cos(), phase.sin())) * strength).T.flatten()
        before.q.weight[rows] = 0.0
        before.q.weight[rows, 0] = query
        before.out.weight[:, rows] = WRITE * written[rows].T

    match = later[0]
    slow = slice(2 * SLOW_PAIRS, width)
    count = width - 2 * SLOW_PAIRS
    match.k.weight[:width] = 0.0
    match.k.weight[slow] = MATCH * written[:count]
    match.q.weight[:width] = 0.0
    match.q.weight[slow] = MATCH * seen[:count]
    for index, layer in enumerate(later):
        for group in range(config.n_head_kv):
            copied = orthonormal(width, embd, generator)
            layer.v.weight[group * width : (group + 1) * width] = copied
            per_group = config.n_head // config.n_head_kv
            for head in range(group * per_group, (group + 1) * per_group):
                is_match = index == 0 and head == 0
                if is_match or head % 2:
                    layer.out.weight[:, head * width : (head + 1) * width] = COPY[0 if is_match else 1] * copied.T
