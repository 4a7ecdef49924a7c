"""The examples of the guide run, page by page, in an empty folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"
# Its examples are tests of an application, which tests/unit/test_fake_engine.py has too.
OTHERS = {"testing.md"}
PAGES = sorted(path.name for path in GUIDE.glob("*.md") if path.name not in OTHERS)


def blocks(page: str) -> list[tuple[int, str]]:
    """Return the Python blocks of a page with the lines at which they begin."""
    text = (GUIDE / page).read_text()
    return [
        (text[: found.start(1)].count("\n"), found[1]) for found in re.finditer(r"```python\n(.*?)```", text, re.DOTALL)
    ]


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "guide"}
    found = blocks(page)
    assert found
    for line, block in found:
        # Lines of a traceback are those of the page.
        exec(compile("\n" * line + block, str(GUIDE / page), "exec"), names)
    close = getattr(names.get("llm"), "close", None)
    if callable(close):
        close()


def test_results_of_the_first_structures_follow_them() -> None:
    names: dict[str, Any] = {}
    exec(blocks("structured-output.md")[0][1], names)
    assert names["colour"] in ("blue", "grey")
    assert names["word"] in ("woof", "wuff")
    assert re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])-[0-3]\d", names["date"])
