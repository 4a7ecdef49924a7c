"""The native stop matcher gives what a search in the whole text gives, however the text is split."""

from __future__ import annotations

import random

import pytest

from inllama._core import StopMatcher


def search(stops: list[str], text: str) -> tuple[str, int | None]:
    """Return the text before the stop string that ends first, and its index; of those, the one that begins first."""
    for end in range(1, len(text) + 1):
        found = [(end - len(stop), i) for i, stop in enumerate(stops) if text[:end].endswith(stop)]
        if found:
            begin, index = min(found)
            return text[:begin], index
    return text, None


def split(text: str, generator: random.Random) -> list[str]:
    cuts = sorted(generator.randrange(len(text) + 1) for _ in range(generator.randrange(8)))
    return [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def stream(matcher: StopMatcher, pieces: list[str]) -> tuple[str, int | None]:
    given = ""
    for piece in pieces:
        text, stop = matcher.push(piece)
        given += text
        if stop is not None:
            return given, stop
    return given + matcher.flush(), None


@pytest.mark.parametrize("alphabet", ["ab", "aä", "a\n\0", "é€😀"])
@pytest.mark.parametrize("seed", range(5))
def test_stream_gives_what_a_search_gives(alphabet: str, seed: int) -> None:
    generator = random.Random(f"{alphabet}{seed}")

    def word(longest: int) -> str:
        return "".join(generator.choice(alphabet) for _ in range(generator.randrange(1, longest + 1)))

    for _ in range(2000):
        stops = [word(5) for _ in range(generator.randrange(1, 5))]
        text = word(25)
        pieces = split(text, generator)
        assert stream(StopMatcher(stops), pieces)[0] == search(stops, text)[0], (stops, pieces)
        given, index = stream(StopMatcher(stops), pieces)
        expected = search(stops, text)[1]
        assert (index is None) == (expected is None), (stops, pieces)
        if index is not None:
            assert text.startswith(given + stops[index]), (stops, pieces)


@pytest.mark.parametrize("seed", range(5))
def test_only_what_may_begin_a_stop_string_is_held_back(seed: int) -> None:
    generator = random.Random(seed)
    for _ in range(500):
        stops = ["".join(generator.choice("abc") for _ in range(generator.randrange(1, 6))) for _ in range(3)]
        text = "".join(generator.choice("abcd") for _ in range(30))
        matcher, given, pushed = StopMatcher(stops), "", ""
        for piece in split(text, generator):
            now, stop = matcher.push(piece)
            given += now
            pushed += piece
            if stop is not None:
                break
            held = pushed[len(given) :]
            assert pushed == given + held
            longest = max(
                (n for stop_text in stops for n in range(len(stop_text)) if pushed.endswith(stop_text[:n])), default=0
            )
            assert len(held) == longest, (stops, pushed)


def test_text_after_the_match_is_not_given() -> None:
    matcher = StopMatcher(["END"])
    assert matcher.push("one END two") == ("one ", 0)


def test_stop_string_over_many_pieces() -> None:
    matcher = StopMatcher(["never", "abcdef"])
    given = [matcher.push(piece) for piece in "xabcde"]
    assert given == [("x", None)] + [("", None)] * 5
    assert matcher.push("f") == ("", 1)


def test_broken_off_beginning_is_given_later() -> None:
    matcher = StopMatcher(["aab"])
    assert [matcher.push(piece)[0] for piece in ("a", "a", "a", "c")] == ["", "", "a", "aac"]
    assert matcher.flush() == ""


def test_end_of_the_stream_gives_what_was_held_back() -> None:
    matcher = StopMatcher(["stop"])
    assert matcher.push("go on sto") == ("go on ", None)
    assert matcher.flush() == "sto"
    assert matcher.flush() == ""


def test_without_stop_strings_everything_is_given_at_once() -> None:
    matcher = StopMatcher([])
    assert matcher.push("anything") == ("anything", None)
    assert matcher.flush() == ""


def test_empty_piece_changes_nothing() -> None:
    matcher = StopMatcher(["ab"])
    assert [matcher.push(piece)[0] for piece in ("", "a", "", "c")] == ["", "", "", "ac"]


def test_long_texts_take_time_in_proportion() -> None:
    matcher = StopMatcher(["a" * 1000 + "b"])
    given = sum(len(matcher.push("a" * 100)[0]) for _ in range(5000))
    assert given + len(matcher.flush()) == 500_000
