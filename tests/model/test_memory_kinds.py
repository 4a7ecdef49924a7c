"""What each kind of memory can copy, cut, move, save and load; what is left gives the logits of a new start.

The table in docs/testing.md says the same in words. An engine rests on it.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tiny_models as tiny

from inllama import Batch, Context, ContextFullError, InvalidRequestError, Model, UnsupportedError

PROMPT, OTHER = tiny.random_tokens(40, 5), tiny.random_tokens(40, 6)
CUT = 24


@dataclass(frozen=True)
class Kind:
    """What a memory allows.

    Attributes:
        cuts: Part of a sequence can be forgotten.
        copies_parts: Part of a sequence can be copied.
        has_cache_only_ids: Sequences from ``n_seq_max`` to 255 can be copied to.
        options: Of the context.
    """

    cuts: bool
    copies_parts: bool
    has_cache_only_ids: bool
    options: dict[str, Any]


SHARED = Kind(cuts=True, copies_parts=True, has_cache_only_ids=True, options={})
SPLIT = Kind(cuts=True, copies_parts=False, has_cache_only_ids=False, options={"kv_unified": False})
STATE = Kind(cuts=False, copies_parts=False, has_cache_only_ids=False, options={})
WINDOW = Kind(cuts=True, copies_parts=True, has_cache_only_ids=True, options={"swa_full": False})

CASES: list[tuple[str, Kind]] = [
    ("llama", SHARED),
    ("llama", SPLIT),
    ("moe", SHARED),
    ("gemma", SHARED),
    ("gemma", SPLIT),
    ("gemma", WINDOW),
    ("mamba", STATE),
    ("hybrid", STATE),
    ("hybrid_swa", STATE),
    ("t5", SHARED),
]
IDS = [name + "".join(f"-{option}" for option in kind.options) for name, kind in CASES]


class Subject:
    """A model, and what its memory allows."""

    def __init__(self, model: Model, kind: Kind) -> None:
        self.model = model
        self.kind = kind

    def context(self, *tokens: list[int]) -> Context:
        """Make a context that has read a text for each of the first sequences."""
        context = tiny.exact_context(self.model, **self.kind.options)
        for sequence, text in enumerate(tokens):
            context.decode(Batch(text, sequence=sequence))
        return context

    def last(self, tokens: list[int]) -> npt.NDArray[np.float32]:
        """Return the logits after a text that was computed alone."""
        return tiny.fresh_rows(self.model, tokens, **self.kind.options)[-1]

    def assert_goes_on(self, context: Context, sequence: int, past: list[int], then: list[int]) -> None:
        """Check that a sequence remembers exactly ``past``: what follows has the logits of the whole text."""
        context.decode(Batch(then, sequence=sequence))
        assert tiny.difference(context.logits(), self.last(past + then)) <= tiny.SAME_TOLERANCE
        assert context.memory.pos_max(sequence) == len(past + then) - 1


@pytest.fixture(params=CASES, ids=IDS)
def subject(request: pytest.FixtureRequest) -> Subject:
    name, kind = request.param
    return Subject(request.getfixturevalue(name), kind)


# ------------------------------------------------------------------------------------------------------- positions


def test_positions_tell_what_is_remembered(subject: Subject) -> None:
    memory = subject.context(PROMPT, OTHER[:7]).memory
    assert (memory.pos_max(0), memory.pos_max(1), memory.pos_max(2)) == (39, 6, None)
    first = 0 if subject.kind.cuts else 39  # a state is of one position
    assert memory.pos_min(0) == first
    assert memory.n_sequences == (256 if subject.kind.has_cache_only_ids else 4)


def test_positions_have_no_gap(subject: Subject) -> None:
    context = subject.context(PROMPT)
    for position in (39, 41):
        with pytest.raises(InvalidRequestError, match="position"):
            context.decode(Batch([PROMPT[0]], positions=[position]))
    subject.assert_goes_on(context, 0, PROMPT, OTHER[:3])


# -------------------------------------------------------------------------------------------------------- removing


def test_the_end_of_a_sequence_is_removed_or_nothing(subject: Subject) -> None:
    for begin in (1, CUT, 39):
        context = subject.context(PROMPT, OTHER)
        assert context.memory.remove(0, begin) is subject.kind.cuts
        past = PROMPT[:begin] if subject.kind.cuts else PROMPT
        assert context.memory.pos_max(0) == len(past) - 1
        subject.assert_goes_on(context, 0, past, OTHER[:5])
        subject.assert_goes_on(context, 1, OTHER, PROMPT[:5])


def test_a_whole_sequence_can_be_removed(subject: Subject) -> None:
    for begin, end in ((0, None), (0, 40), (0, 1000)):
        context = subject.context(PROMPT, OTHER)
        assert context.memory.remove(0, begin, end)
        assert context.memory.pos_min(0) is None
        subject.assert_goes_on(context, 0, [], OTHER[:9])
        subject.assert_goes_on(context, 1, OTHER, PROMPT[:5])


def test_removing_after_the_end_changes_nothing(subject: Subject) -> None:
    context = subject.context(PROMPT)
    assert context.memory.remove(0, 40)
    assert context.memory.remove(3)
    subject.assert_goes_on(context, 0, PROMPT, OTHER[:5])


def test_a_kept_sequence_is_the_only_one_left(subject: Subject) -> None:
    context = subject.context(PROMPT, OTHER, PROMPT[:3])
    context.memory.keep(1)
    assert [context.memory.pos_max(sequence) for sequence in range(3)] == [None, 39, None]
    subject.assert_goes_on(context, 1, OTHER, PROMPT[:5])
    subject.assert_goes_on(context, 0, [], PROMPT[:5])


@pytest.mark.parametrize("name", ["llama", "moe", "gemma", "t5"])
def test_a_removed_beginning_is_no_longer_seen(name: str, request: pytest.FixtureRequest) -> None:
    subject = Subject(request.getfixturevalue(name), SHARED)
    context = subject.context(PROMPT)
    assert context.memory.remove(0, 0, CUT)
    assert (context.memory.pos_min(0), context.memory.pos_max(0)) == (CUT, 39)
    context.decode(Batch(OTHER[:1]))
    assert tiny.difference(context.logits(), subject.last([*PROMPT, OTHER[0]])) > 100 * tiny.SAME_TOLERANCE


@pytest.mark.parametrize("name", ["mamba", "hybrid", "hybrid_swa"])
def test_the_beginning_of_a_state_cannot_be_removed(name: str, request: pytest.FixtureRequest) -> None:
    subject = Subject(request.getfixturevalue(name), STATE)
    for begin, end in ((0, CUT), (3, CUT)):
        context = subject.context(PROMPT)
        assert not context.memory.remove(0, begin, end)
        subject.assert_goes_on(context, 0, PROMPT, OTHER[:5])


# --------------------------------------------------------------------------------------------------------- copying


def test_a_copy_goes_on_as_the_original_would(subject: Subject) -> None:
    context = subject.context(PROMPT[:CUT])
    context.memory.copy(0, 2)
    assert context.memory.pos_max(2) == CUT - 1
    subject.assert_goes_on(context, 2, PROMPT[:CUT], PROMPT[CUT:])
    subject.assert_goes_on(context, 0, PROMPT[:CUT], OTHER)
    subject.assert_goes_on(context, 2, PROMPT, OTHER[:3])


def test_a_copy_outlives_the_original(subject: Subject) -> None:
    context = subject.context(PROMPT[:CUT])
    context.memory.copy(0, 1)
    assert context.memory.remove(0)
    context.decode(Batch(OTHER, sequence=3))
    subject.assert_goes_on(context, 1, PROMPT[:CUT], PROMPT[CUT:])


def test_a_snapshot_can_be_forked_again_and_again(subject: Subject) -> None:
    """Sequence 3 never computes; what runs from it never changes it."""
    context = subject.context(PROMPT[:CUT])
    context.memory.copy(0, 3)
    for text in (PROMPT[CUT:], OTHER, PROMPT[:5]):
        assert context.memory.remove(0)
        context.memory.copy(3, 0)
        subject.assert_goes_on(context, 0, PROMPT[:CUT], text)
        assert context.memory.pos_max(3) == CUT - 1


def test_copies_compute_side_by_side(subject: Subject) -> None:
    context = subject.context(PROMPT[:CUT])
    texts = {0: PROMPT[CUT:], 1: OTHER[:16], 2: OTHER[16:32]}
    for sequence in (1, 2):
        context.memory.copy(0, sequence)
    batch = Batch()
    for position in range(16):
        for sequence, text in texts.items():
            batch.add([text[position]], sequence=sequence, positions=[CUT + position])
    rows = tiny.decode_rows(context, batch)
    for sequence, text in texts.items():
        expected = tiny.fresh_rows(subject.model, PROMPT[:CUT] + text, **subject.kind.options)[CUT:]
        assert tiny.difference(rows[sequence::3], expected) <= tiny.SAME_TOLERANCE


def test_a_part_is_copied_or_refused(subject: Subject) -> None:
    context = subject.context(PROMPT)
    if subject.kind.copies_parts:
        context.memory.copy(0, 1, 0, CUT)
        assert context.memory.pos_max(1) == CUT - 1
        subject.assert_goes_on(context, 1, PROMPT[:CUT], OTHER)
    else:
        with pytest.raises(UnsupportedError, match="whole sequences"):
            context.memory.copy(0, 1, 0, CUT)
        assert context.memory.pos_max(1) is None
    subject.assert_goes_on(context, 0, PROMPT, OTHER[:5])


def test_a_whole_copy_can_be_cut_where_memory_can_forget(subject: Subject) -> None:
    context = subject.context(PROMPT)
    context.memory.copy(0, 1)
    is_cut = context.memory.remove(1, CUT)
    assert is_cut is subject.kind.cuts
    subject.assert_goes_on(context, 1, PROMPT[:CUT] if is_cut else PROMPT, OTHER)
    subject.assert_goes_on(context, 0, PROMPT, OTHER[:5])


@pytest.mark.parametrize("target", [4, 255])
def test_sequences_above_n_seq_max_hold_copies_or_are_refused(subject: Subject, target: int) -> None:
    context = subject.context(PROMPT[:CUT])
    if subject.kind.has_cache_only_ids:
        context.memory.copy(0, target)
        assert context.memory.remove(0)
        context.memory.copy(target, 1)
        subject.assert_goes_on(context, 1, PROMPT[:CUT], PROMPT[CUT:])
    else:
        with pytest.raises(InvalidRequestError, match=f"sequence {target}"):
            context.memory.copy(0, target)
        subject.assert_goes_on(context, 0, PROMPT[:CUT], PROMPT[CUT:])


# ---------------------------------------------------------------------------------------------------------- moving


@pytest.mark.parametrize("name", ["llama", "moe", "gemma", "mamba", "hybrid", "t5"])
def test_moved_positions_are_computed_with(name: str, request: pytest.FixtureRequest) -> None:
    """Only distances count in these models, so a text moved as a whole goes on as before."""
    model: Model = request.getfixturevalue(name)
    context = tiny.exact_context(model)
    context.decode(Batch(PROMPT))
    assert context.memory.can_shift
    context.memory.add(0, 5)
    assert context.memory.pos_max(0) == 44
    context.decode(Batch(OTHER[:3]))
    assert tiny.difference(context.logits(), tiny.fresh_rows(model, PROMPT + OTHER[:3])[-1]) <= tiny.SAME_TOLERANCE
    assert context.memory.pos_max(0) == 47


@pytest.mark.parametrize("name", ["llama", "moe", "gemma", "t5"])
def test_positions_have_no_gap_after_a_context_shift(name: str, request: pytest.FixtureRequest) -> None:
    """The rest of a text moves into the place of what was removed."""
    context = tiny.exact_context(request.getfixturevalue(name))
    context.decode(Batch(PROMPT))
    assert context.memory.remove(0, 0, CUT)
    context.memory.add(0, -CUT, CUT)
    assert (context.memory.pos_min(0), context.memory.pos_max(0)) == (0, 39 - CUT)
    context.decode(Batch(OTHER[:4]))
    assert context.memory.pos_max(0) == 39 - CUT + 4


def test_divided_positions_are_halved(llama: Model) -> None:
    context = tiny.exact_context(llama)
    context.decode(Batch(PROMPT))
    context.memory.divide(0, 2)
    assert (context.memory.pos_min(0), context.memory.pos_max(0)) == (0, 19)
    context.decode(Batch(OTHER[:1]))
    assert tiny.difference(context.logits(), tiny.fresh_rows(llama, [*PROMPT, OTHER[0]])[-1]) > 1e-2


def test_a_small_window_cache_cannot_be_moved(gemma: Model) -> None:
    context = tiny.exact_context(gemma, n_ctx=1024, swa_full=False)
    context.decode(Batch(PROMPT))
    assert not context.memory.can_shift
    with pytest.raises(UnsupportedError, match="moved"):
        context.memory.add(0, 1)


# ---------------------------------------------------------------------------------------------------------- saving


def test_a_saved_sequence_goes_on_elsewhere(subject: Subject) -> None:
    context = subject.context(PROMPT[:CUT], OTHER)
    saved = context.sequence_state(0)
    context.load_sequence_state(saved, 2)
    subject.assert_goes_on(context, 2, PROMPT[:CUT], PROMPT[CUT:])
    subject.assert_goes_on(context, 1, OTHER, PROMPT[:3])
    subject.assert_goes_on(context, 0, PROMPT[:CUT], OTHER[:3])
    other = subject.context(OTHER)
    other.load_sequence_state(saved, 0)
    subject.assert_goes_on(other, 0, PROMPT[:CUT], PROMPT[CUT:])


def test_a_saved_context_goes_on_elsewhere(subject: Subject) -> None:
    context = subject.context(PROMPT[:CUT], OTHER)
    saved = context.state()
    context.decode(Batch(OTHER, sequence=0))
    for target in (context, subject.context(OTHER, PROMPT, PROMPT)):
        target.load_state(saved)
        assert target.memory.pos_max(2) is None
        subject.assert_goes_on(target, 0, PROMPT[:CUT], PROMPT[CUT:])
        subject.assert_goes_on(target, 1, OTHER, PROMPT[:3])


def test_a_saved_copy_equals_the_original(subject: Subject) -> None:
    context = subject.context(PROMPT[:CUT])
    context.memory.copy(0, 3)
    saved = context.sequence_state(3)
    context.memory.clear()
    context.load_sequence_state(saved, 1)
    subject.assert_goes_on(context, 1, PROMPT[:CUT], PROMPT[CUT:])


def test_a_copy_is_not_changed_by_loading_into_the_original(subject: Subject) -> None:
    context = subject.context(PROMPT, OTHER)
    saved = context.sequence_state(1)
    context.memory.copy(0, 2)
    context.load_sequence_state(saved, 0)
    subject.assert_goes_on(context, 2, PROMPT, OTHER[:5])


@pytest.mark.parametrize("name", ["llama", "moe", "gemma", "hybrid"])
def test_a_moved_sequence_can_be_saved(name: str, request: pytest.FixtureRequest) -> None:
    context = tiny.exact_context(request.getfixturevalue(name))
    context.decode(Batch(PROMPT))
    context.memory.add(0, 5)
    other = tiny.exact_context(context.model)
    for load, saved in (
        (other.load_sequence_state, context.sequence_state()),
        (other.load_state, context.state()),
    ):
        load(saved)
        other.decode(Batch(OTHER[:1]))
        expected = tiny.fresh_rows(context.model, [*PROMPT, OTHER[0]])[-1]
        assert tiny.difference(other.logits(), expected) <= tiny.SAME_TOLERANCE


# ------------------------------------------------------------------------------------------------- sliding windows

LONG = tiny.random_tokens(400, 9)
N_LONG = 330
LONG_OPTIONS = {"n_ctx": 1024, "n_ubatch": 32, "n_seq_max": 2, "swa_full": False}


@pytest.fixture
def long_context(gemma: Model) -> Context:
    """A context with a small window cache of 256 cells, of which a text of 330 tokens took all."""
    context = tiny.exact_context(gemma, **LONG_OPTIONS)
    for at in range(0, N_LONG, 30):
        context.decode(Batch(LONG[at : at + 30]))
    return context


def distance(context: Context, n: int) -> float:
    """Return how far the last row is from that of the first ``n`` tokens computed with all cells."""
    with tiny.exact_context(context.model, n_ctx=1024) as whole:
        whole.decode(Batch(LONG[:n]))
        return tiny.difference(context.logits(), whole.logits())


def test_old_cells_of_a_window_are_used_again(long_context: Context) -> None:
    assert long_context.memory.pos_min(0) == N_LONG - 256
    assert distance(long_context, N_LONG) <= tiny.SAME_TOLERANCE


@pytest.mark.parametrize("cut", [N_LONG - 1, N_LONG - 100, 82, 81, 80, 79])
def test_a_cut_sequence_is_right_only_while_its_window_is_there(long_context: Context, cut: int) -> None:
    """``remove`` does not tell; ``pos_min`` does."""
    assert long_context.memory.remove(0, cut)
    first = long_context.memory.pos_min(0)
    assert first == N_LONG - 256
    is_whole = first <= max(0, cut - tiny.N_SWA + 1)
    assert is_whole == (cut >= 81)
    long_context.decode(Batch(LONG[cut : cut + 1]))
    found = distance(long_context, cut + 1)
    assert found <= tiny.SAME_TOLERANCE if is_whole else found > 10 * tiny.SAME_TOLERANCE


def test_a_copy_of_a_full_window_pins_its_cells(long_context: Context) -> None:
    """Cells of two sequences are not used again, also those that have left the window of both."""
    long_context.memory.copy(0, 1)
    with pytest.raises(ContextFullError, match="no room"):
        long_context.decode(Batch(LONG[N_LONG : N_LONG + 30]))
    assert long_context.memory.pos_max(0) == N_LONG - 1
    assert long_context.memory.remove(1)
    long_context.decode(Batch(LONG[N_LONG : N_LONG + 30]))
    assert distance(long_context, N_LONG + 30) <= tiny.SAME_TOLERANCE


def test_a_saved_sequence_is_a_snapshot_of_its_window_only(long_context: Context) -> None:
    saved = long_context.sequence_state(0)
    long_context.load_sequence_state(saved, 1)
    assert long_context.memory.pos_min(1) == N_LONG - tiny.N_SWA
    for sequence in (0, 1):
        long_context.decode(Batch(LONG[N_LONG : N_LONG + 30], sequence=sequence))
        assert distance(long_context, N_LONG + 30) <= tiny.SAME_TOLERANCE


def test_an_early_snapshot_outlives_the_window_of_its_origin(gemma: Model) -> None:
    context = tiny.exact_context(gemma, **LONG_OPTIONS)
    context.decode(Batch(LONG[:30]))
    context.memory.copy(0, 1)
    for at in range(30, N_LONG, 30):
        context.decode(Batch(LONG[at : at + 30]))
    assert (context.memory.pos_min(1), context.memory.pos_max(1)) == (0, 29)
    assert distance(context, N_LONG) <= tiny.SAME_TOLERANCE
    context.decode(Batch(LONG[30:60], sequence=1))
    assert distance(context, 60) <= tiny.SAME_TOLERANCE


# ------------------------------------------------------------------------------------------------- encoder-decoder


def encoded(t5: Model, *questions: list[int]) -> Context:
    context = Context(t5, **tiny.EXACT)
    batch = Batch()
    for sequence, question in enumerate(questions):
        batch.add(question, sequence=sequence)
    context.encode(batch)
    return context


def test_each_sequence_reads_its_own_encoder_output(t5: Model) -> None:
    questions, answer = [PROMPT[:9], OTHER[:13]], [0, *OTHER[:11]]
    both = Batch(answer, sequence=0, outputs="all")
    both.add(answer, sequence=1, outputs="all")
    rows = tiny.decode_rows(encoded(t5, *questions), both)
    alone = [tiny.decode_rows(encoded(t5, question), Batch(answer, outputs="all")) for question in questions]
    assert tiny.difference(rows, np.concatenate(alone)) <= tiny.SAME_TOLERANCE
    assert tiny.difference(*alone) > 100 * tiny.SAME_TOLERANCE


def test_a_new_encode_replaces_the_encoder_output(t5: Model) -> None:
    context = encoded(t5, PROMPT[:9])
    context.decode(Batch([0]))
    context.memory.clear()
    context.encode(Batch(OTHER[:13]))
    rows = tiny.decode_rows(context, Batch([0, 3, 4], outputs="all"))
    alone = tiny.decode_rows(encoded(t5, OTHER[:13]), Batch([0, 3, 4], outputs="all"))
    assert tiny.difference(rows, alone) <= tiny.SAME_TOLERANCE


def test_a_sequence_that_was_not_encoded_is_refused(t5: Model) -> None:
    context = encoded(t5, PROMPT[:9])
    with pytest.raises(InvalidRequestError, match="encode"):
        context.decode(Batch([0], sequence=1))


# ---------------------------------------------------------------------------------------------------------- crashes

MOVE_EMPTY_LAYERS = """
import sys
from inllama import Batch, Context, Model, UnsupportedError
context = Context(Model(sys.argv[1]), n_ctx=256, n_threads=1)
context.decode(Batch([3, 4, 5]))
try:
    context.memory.add(0, 1)
except UnsupportedError:
    pass
context.decode(Batch([6]))
"""


def test_moving_a_memory_whose_layers_all_have_windows_does_not_crash(hybrid_swa_path: Path) -> None:
    child = [sys.executable, "-c", MOVE_EMPTY_LAYERS, str(hybrid_swa_path)]
    assert subprocess.run(child, capture_output=True, timeout=60, check=False).returncode == 0
