"""Packs the documents of the corpus into rows of equal length; each row depends on the seed and its number alone."""

from __future__ import annotations

import torch
from corpus import PRACTICE_UNTIL, draw_document
from tokenizer import Tokenizer
from torch import Tensor

# More than the documents of the longest row.
_DOCUMENTS_PER_ROW = 1000

# Rows from this one on hold no exercises.
PRACTICE_ROWS = PRACTICE_UNTIL // _DOCUMENTS_PER_ROW


def draw_row(tokenizer: Tokenizer, seed: int, number: int, length: int) -> tuple[list[int], list[bool]]:
    """Returns ``length`` + 1 token ids and whether the model has to learn to write each.

    Each document begins with the token which also ends a story; the last document is cut.
    """
    ids: list[int] = []
    learned: list[bool] = []
    document = number * _DOCUMENTS_PER_ROW
    while len(ids) <= length:
        if not ids or ids[-1] != tokenizer.end:
            ids.append(tokenizer.end)
            learned.append(False)
        for text, learn in draw_document(seed, document).parts:
            piece = tokenizer.encode(text)
            ids += piece
            learned += [learn] * len(piece)
        document += 1
    return ids[: length + 1], learned[: length + 1]


def draw_batch(tokenizer: Tokenizer, seed: int, first: int, count: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the inputs, the targets and the mask of the targets to learn, each of shape (count, length)."""
    drawn = [draw_row(tokenizer, seed, first + index, length) for index in range(count)]
    ids = torch.tensor([row for row, _ in drawn])
    learned = torch.tensor([mask for _, mask in drawn])
    return ids[:, :-1], ids[:, 1:], learned[:, 1:]
