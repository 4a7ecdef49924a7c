"""docs/guards.md is whole, and it lists the asserts of the pinned llama.cpp tree."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "guards.md"
TOOL = ROOT / "tools" / "list_guards.py"
ERRORS = ROOT / "core" / "error.h"
TESTS = ROOT / "tests" / "model"
# Guards for models that cannot be generated.
WITHOUT_TEST = {"G-cell-window", "G-embedding-width"}

SAMPLE = r"""
// GGML_ASSERT(not_this);
#define CHECK(x) GGML_ASSERT(x)
namespace space {
struct box {
    box(int n) : n(n), values{1, 2} {
        GGML_ASSERT(n > 0);
    }
    /* GGML_ABORT("nor this"); */
    const int n;
};
}
static const char * names[] = { "{", "GGML_ASSERT(text)" };
template<typename T> static std::pair<bool, T> find_one(T * p, int n) {
    for (int i = 0; i < n; ++i) { GGML_ASSERT(p != nullptr); }
    auto twice = [&](int k) { GGML_ASSERT(p != nullptr); return 2*k; };
    GGML_ASSERT(p[0] ||
                twice(n) == ')' &&
                "a (text)");
}
bool list::add(int i) {
    if (i < 0) {
        GGML_ABORT("negative");
    }
    return true;
}
"""


def load_tool() -> ModuleType:
    specification = importlib.util.spec_from_file_location("list_guards", TOOL)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["list_guards"] = module
    specification.loader.exec_module(module)
    return module


list_guards = load_tool()


def pinned_tree() -> Path | None:
    """The pinned llama.cpp tree, if something on this machine can name it without a download."""
    named = os.environ.get("LLAMA_CPP_SOURCE_DIR")
    if named:
        return Path(named)
    finder = ROOT / "tools" / "llama_source.py"
    if finder.exists():
        found = subprocess.run([sys.executable, str(finder)], capture_output=True, text=True, timeout=60, check=False)
        path = Path(found.stdout.strip().splitlines()[-1]) if found.returncode == 0 and found.stdout.strip() else None
        return path if path is not None and path.is_dir() else None
    return None


@pytest.fixture(scope="module")
def table() -> dict[object, tuple[str, str]]:
    rows: dict[object, tuple[str, str]] = list_guards.read_table(TABLE.read_text(encoding="utf-8"))
    assert rows
    return rows


@pytest.fixture(scope="module")
def guards() -> dict[str, tuple[str, str]]:
    """Error and test of every guard."""
    found: dict[str, tuple[str, str]] = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        row = list_guards.cells(line)
        if len(row) == 5 and row[0].startswith("G-"):
            assert row[0] not in found, f"two rows for {row[0]}"
            assert all(row), f"{row[0]} has an empty cell"
            found[row[0]] = (row[3], row[4])
    assert found
    return found


def test_every_row_has_a_verdict_and_a_reason(table: dict[object, tuple[str, str]]) -> None:
    for guard, (verdict, reason) in table.items():
        assert verdict in ("guarded", "unreachable", "documented"), guard
        assert reason, guard


def test_guarded_rows_name_guards_and_only_they_do(
    table: dict[object, tuple[str, str]], guards: dict[str, tuple[str, str]]
) -> None:
    for guard, (verdict, reason) in table.items():
        named = re.findall(r"\bG-[a-z0-9-]+", reason)
        assert set(named) <= set(guards), guard
        if verdict == "guarded":
            assert reason.startswith("G-"), guard
        elif verdict == "unreachable":
            assert not named, guard


def test_every_guard_has_one_test_and_an_error_that_exists(guards: dict[str, tuple[str, str]]) -> None:
    tests = [test for _, test in guards.values()]
    assert len(set(tests)) == len(tests)
    known = set(re.findall(r"\bX\((\w+), \w+\)", ERRORS.read_text(encoding="utf-8")))
    files = sorted(TESTS.glob("test_guards_*.py"))
    written = {name for file in files for name in re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE)}
    for name, (error, test) in guards.items():
        assert error in known, name
        if name in WITHOUT_TEST:
            assert test.startswith("no test: "), name
        else:
            assert test in written, name


def test_named_guards_are_in_the_guards_table(guards: dict[str, tuple[str, str]]) -> None:
    named = set(re.findall(r"`(G-[a-z0-9-]+)`", TABLE.read_text(encoding="utf-8")))
    assert named == set(guards)


def test_table_matches_the_pinned_tree() -> None:
    tree = pinned_tree()
    if tree is None:
        pytest.skip("no llama.cpp tree: set LLAMA_CPP_SOURCE_DIR, or add tools/llama_source.py that prints its path")
    run = subprocess.run(
        [sys.executable, str(TOOL), str(tree), "--check", str(TABLE)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_parser_finds_asserts_with_their_functions() -> None:
    found = [(guard.function, guard.condition, guard.ordinal) for guard in list_guards.parse(SAMPLE, "a.cpp")]
    assert found == [
        ("space::box::box", "n > 0", 1),
        ("find_one", "p != nullptr", 1),
        ("find_one", "p != nullptr", 2),
        ("find_one", "p[0] || twice(n) == ')' && \"a (text)\"", 1),
        ("list::add", 'abort("negative")', 1),
    ]


def test_keys_survive_moved_lines() -> None:
    moved = "\n\n" + SAMPLE.replace("||\n", "||\n\n        ")
    assert list_guards.parse(moved, "a.cpp") == list_guards.parse(SAMPLE, "a.cpp")


def test_rows_survive_the_table() -> None:
    found = list_guards.parse(SAMPLE, "src/a.cpp")
    empty = "\n".join(list_guards.as_markdown(found))
    assert list(list_guards.read_table(empty)) == found


@pytest.fixture
def small_tree(tmp_path: Path) -> Path:
    """A tree with a file for every pattern; each holds one assert."""
    for pattern, functions in list_guards.SOURCES:
        path = tmp_path / pattern.replace("*", "")
        path.parent.mkdir(parents=True, exist_ok=True)
        name = functions.removesuffix(r"\w*") or "run"
        path.write_text(f"void {name}(int n) {{\n    GGML_ASSERT(n > 0);\n}}\n", encoding="utf-8")
    return tmp_path


def test_check_reports_added_and_removed_asserts(small_tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = small_tree / "guards.md"
    page.write_text("\n".join(list_guards.as_markdown(list_guards.read_source(small_tree))), encoding="utf-8")
    arguments = [str(small_tree), "--check", str(page)]
    assert list_guards.main(arguments) == 0
    source = small_tree / "src" / "llama-batch.cpp"
    source.write_text("void run(int n) {\n    GGML_ASSERT(n > 1);\n}\n", encoding="utf-8")
    capsys.readouterr()
    assert list_guards.main(arguments) == 1
    assert capsys.readouterr().out.splitlines() == [
        "not in the table: src/llama-batch.cpp: run: n > 1",
        "not in the source: src/llama-batch.cpp: run: n > 0",
    ]


def test_tree_without_a_listed_file_is_an_error(small_tree: Path) -> None:
    (small_tree / "src" / "llama-vocab.cpp").unlink()
    with pytest.raises(FileNotFoundError, match=r"llama-vocab\.cpp"):
        list_guards.read_source(small_tree)
