"""cmake/apply_patch.py: patches apply whole or not at all, to a copy."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATCHES = sorted((ROOT / "cmake" / "patches").glob("*.patch"))

BEFORE = "one\ntwo\nthree\nfour\nfive\n"
PATCH = """\
--- a/part/a.txt
+++ b/part/a.txt
@@ -2,3 +2,4 @@
 two
-three
+THREE
+and a half
 four
--- a/part/new.txt
+++ b/part/new.txt
@@ -0,0 +1 @@
+fresh
"""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("apply_patch", ROOT / "cmake" / "apply_patch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Tree:
    """A folder to be patched, with one patch and a place for the copy."""

    def __init__(self, folder: Path, tool: ModuleType) -> None:
        self.tool = tool
        self.source = folder / "tree"
        self.out = folder / "out"
        self.patch = folder / "change.patch"
        (self.source / "part").mkdir(parents=True)
        (self.source / "part" / "a.txt").write_text(BEFORE, encoding="utf-8")
        (self.source / "part" / "b.bin").write_bytes(b"\xff\x00")
        self.patch.write_text(PATCH, encoding="utf-8")

    def run(self) -> None:
        self.tool.main(self.source, "part", self.out, [self.patch])

    def copy(self, name: str) -> Path:
        return self.out / "part" / name


@pytest.fixture
def tree(tmp_path: Path, tool: ModuleType) -> Tree:
    return Tree(tmp_path, tool)


def test_a_patch_changes_the_copy_only(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    tree.run()
    assert capsys.readouterr().out == "change"
    assert tree.copy("a.txt").read_text(encoding="utf-8") == "one\ntwo\nTHREE\nand a half\nfour\nfive\n"
    assert tree.copy("new.txt").read_text(encoding="utf-8") == "fresh\n"
    assert tree.copy("b.bin").read_bytes() == b"\xff\x00"
    assert (tree.source / "part" / "a.txt").read_text(encoding="utf-8") == BEFORE


def test_lines_may_have_moved(tree: Tree) -> None:
    (tree.source / "part" / "a.txt").write_text("zero\n" * 30 + BEFORE, encoding="utf-8")
    tree.run()
    assert "THREE" in tree.copy("a.txt").read_text(encoding="utf-8")


def test_a_patch_that_does_not_fit_changes_nothing(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    tree.run()
    (tree.source / "part" / "a.txt").write_text(BEFORE.replace("three", "drei"), encoding="utf-8")
    capsys.readouterr()
    tree.run()
    assert capsys.readouterr().out == ""
    assert "drei" in tree.copy("a.txt").read_text(encoding="utf-8")
    assert not tree.copy("new.txt").exists()


def test_files_that_stay_the_same_are_not_written(tree: Tree) -> None:
    tree.run()
    before = {path: path.stat().st_mtime_ns for path in tree.out.rglob("*") if path.is_file()}
    tree.run()
    assert before == {path: path.stat().st_mtime_ns for path in tree.out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("path", PATCHES, ids=lambda path: path.stem)
def test_the_patches_count_their_lines(path: Path) -> None:
    """`patch` and git refuse a hunk whose lines are not as many as it says."""
    text = path.read_text(encoding="utf-8")
    hunks = re.findall(r"^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@.*\n((?:[ +-].*\n)+?)(?=@@|--- a/|\Z)", text, re.M)
    assert hunks
    for old, new, body in hunks:
        lines = body.splitlines()
        assert int(old or 1) == sum(line[0] in " -" for line in lines)
        assert int(new or 1) == sum(line[0] in " +" for line in lines)
