"""Flash attention: what a row gives does not depend on the rows beside it, nor on where the cells lie that it sees."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tiny_models as tiny

from inllama import Batch, Model

N_SEQUENCES = 5
N_SHARED = 70  # tokens that the last two sequences begin with: more than a tile of cells
# Rows of each sequence in each step: outputs that grow beside prompts of all sizes, alone, and many at once.
STEPS = [
    (1, 0, 0, 0, 0),
    (1, 40, 0, 0, 0),
    (1, 1, 0, 0, 0),
    (1, 1, 3, N_SHARED, 0),
    (1, 1, 1, 1, 1),
    (1, 1, 64, 1, 1),
    (1, 1, 1, 1, 63),
    (2, 1, 1, 1, 1),
    (0, 0, 0, 0, 1),
    (0, 7, 0, 9, 0),
    (70, 1, 1, 80, 1),
    (1, 1, 1, 1, 1),
    (0, 1, 0, 0, 0),
    (0, 0, 250, 0, 0),
    *[(1, 1, 1, 1, 1)] * 3,
    (0, 0, 1, 0, 0),
    (0, 1, 0, 0, 0),
]
# Keys and values are rounded to half precision, and a rounding that comes out otherwise is seen in the logits.
HALF_TOLERANCE = 2e-3
TEXTS = [tiny.random_tokens(400, seed) for seed in range(N_SEQUENCES)]
TEXTS[4][:N_SHARED] = TEXTS[3][:N_SHARED]
OPTIONS: dict[str, Any] = {"n_ctx": 2048, "n_batch": 512, "n_ubatch": 512, "n_seq_max": N_SEQUENCES}


@pytest.fixture(params=["llama", "moe", "gemma", "hybrid"])
def model(request: pytest.FixtureRequest) -> Model:
    loaded: Model = request.getfixturevalue(request.param)
    return loaded


def rows_in_steps(model: Model, **options: Any) -> list[npt.NDArray[np.float32]]:
    """Compute all steps and return the logits of each sequence, without those of the tokens that it got as a copy."""
    context = tiny.exact_context(model, **OPTIONS, **options)
    at = [0] * N_SEQUENCES
    rows: list[list[npt.NDArray[np.float32]]] = [[] for _ in range(N_SEQUENCES)]
    for step in STEPS:
        if at[3] and not at[4]:
            context.memory.copy(3, 4)
            at[4] = at[3]
        batch = Batch()
        for sequence, n_rows in enumerate(step):
            if n_rows:
                batch.add(TEXTS[sequence][at[sequence] : at[sequence] + n_rows], sequence=sequence, outputs="all")
                at[sequence] += n_rows
        found = tiny.decode_rows(context, batch)
        for sequence, n_rows in enumerate(step):
            rows[sequence].append(found[:n_rows])
            found = found[n_rows:]
    return [np.concatenate(of_sequence) for of_sequence in rows]


@pytest.mark.parametrize(
    ("n_threads", "unified", "kv_type"), [(1, True, "f16"), (2, True, "f16"), (2, True, "f32"), (2, False, "f16")]
)
def test_steps_give_what_each_text_gives_alone(model: Model, n_threads: int, unified: bool, kv_type: str) -> None:
    options: dict[str, Any] = {"flash_attention": "on", "kv_type_k": kv_type, "kv_type_v": kv_type}
    found = rows_in_steps(model, **options, n_threads=n_threads, kv_unified=unified)
    for sequence, rows in enumerate(found):
        first = N_SHARED if sequence == 4 else 0
        alone = tiny.fresh_rows(model, TEXTS[sequence][: first + len(rows)], **OPTIONS, **options)
        assert tiny.difference(rows, alone[first:]) <= HALF_TOLERANCE


def test_flash_attention_is_close_to_attention_without_it(model: Model) -> None:
    expected = tiny.fresh_rows(model, TEXTS[0], **OPTIONS)
    found = tiny.fresh_rows(model, TEXTS[0], **OPTIONS, flash_attention="on")  # keys and values have half precision
    assert tiny.difference(found, expected) <= 0.02 * float(np.std(expected))
