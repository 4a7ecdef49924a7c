"""Docstrings of three styles are read: the first paragraph, and a text for each parameter."""

from __future__ import annotations

import pytest

from inllama.docstrings import read

GOOGLE = """Return the weather
    of a city.

    It may be wrong.

    Args:
        city: Its name,
            in English: not in French.
        day (date, optional): When.
        *more: Ignored.

    Returns:
        city: Not a parameter.
    """
NUMPY = """Return the weather of a city.

    Parameters
    ----------
    city : str
        Its name,
        in English.

        Not in French.
    day, hour : int, optional
        When.
    plain
        No type.

    Returns
    -------
    text : str
        Not a parameter.
    """
SPHINX = """Return the weather of a city.

    :param city: Its name,
        in English.
    :param datetime.date day: When.
    :type city: str
    :returns: text: not a parameter
    """
ATTRIBUTES = """A place.

    Attributes:
        street: With number.
    """


@pytest.mark.parametrize(
    ("text", "summary", "parameters"),
    [
        (
            GOOGLE,
            "Return the weather of a city.",
            {"city": "Its name, in English: not in French.", "day": "When.", "more": "Ignored."},
        ),
        (
            NUMPY,
            "Return the weather of a city.",
            {"city": "Its name, in English. Not in French.", "day": "When.", "hour": "When.", "plain": "No type."},
        ),
        (SPHINX, "Return the weather of a city.", {"city": "Its name, in English.", "day": "When."}),
        (ATTRIBUTES, "A place.", {"street": "With number."}),
        ("Only this.", "Only this.", {}),
        ("\nArgs:\n    a: First.", "", {"a": "First."}),
        ("Say it:\nlike this.", "Say it: like this.", {}),
        ("Do it.\nReturns:\n    nothing", "Do it.", {}),
        ("", "", {}),
        (None, "", {}),
    ],
)
def test_docstring_is_read(text: str | None, summary: str, parameters: dict[str, str]) -> None:
    found = read(text)
    assert (found.summary, found.parameters) == (summary, parameters)
