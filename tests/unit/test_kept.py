"""Kept: made once, kept while it is used."""

from __future__ import annotations

from inllama.kept import Kept


def test_a_value_is_made_once() -> None:
    kept: Kept[str, list[int]] = Kept(4)
    first = kept.get("a", lambda: [1])
    assert kept.get("a", lambda: [2]) is first


def test_what_was_not_used_for_longest_goes_first() -> None:
    kept: Kept[int, int] = Kept(2)
    made: list[int] = []

    def get(key: int) -> None:
        def make() -> int:
            made.append(key)
            return key

        kept.get(key, make)

    for key in (1, 2, 1, 3, 1, 2):
        get(key)
    assert made == [1, 2, 3, 2]


def test_a_failure_is_not_kept() -> None:
    kept: Kept[int, int] = Kept(2)

    def fail() -> int:
        raise ValueError("no")

    for _ in range(2):
        try:
            kept.get(1, fail)
        except ValueError:
            continue
        raise AssertionError("it did not fail")
    assert kept.get(1, lambda: 7) == 7
