"""What is written down twice, or generated, is the same everywhere."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import inllama

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DEMO = Path(inllama.__path__[0]) / "models" / "demo.gguf"
OLDEST = (3, 11)


def code_blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(sys.version_info[:2] != OLDEST, reason="the stub is generated with Python 3.11")
def test_stub_is_that_of_the_native_module() -> None:
    command = [sys.executable, str(ROOT / "tools" / "make_stubs.py"), "--check"]
    check = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert check.returncode == 0, check.stdout + check.stderr


@pytest.mark.parametrize("number", range(len(code_blocks(README, "python"))))
def test_code_of_the_readme_runs(tmp_path: Path, number: int) -> None:
    (tmp_path / "model.gguf").symlink_to(DEMO)
    code = code_blocks(README, "python")[number]
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"INLLAMA_LEAK_WARNINGS": "1"},
    )
    assert child.returncode == 0, child.stderr
    assert child.stderr == ""


def test_readme_shows_code_and_at_most_8_lines_of_it_first() -> None:
    first = code_blocks(README, "python")[0]
    assert len([line for line in first.splitlines() if line.strip()]) <= 8


def test_commands_of_the_readme_exist() -> None:
    help_text = subprocess.run([sys.executable, "-m", "inllama.cli", "--help"], capture_output=True, text=True).stdout
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for block in code_blocks(README, "sh"):
        for line in block.splitlines():
            words = line.split()
            if words[:1] == ["inllama"]:
                assert words[1] in help_text, line
            elif words[:1] == ["make"]:
                assert words[1] in targets, line


def test_links_of_the_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "bench" / "README.md"]
    for page in pages:
        text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in target and not target.startswith("mailto:"):
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links {target}"


def project_version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    version: str = project["project"]["version"]
    return version


def test_version_is_that_of_the_project_everywhere() -> None:
    assert inllama.__version__ == project_version()
    assert inllama.build_info().version == project_version()
    assert importlib.metadata.version("inllama") == project_version()


def test_version_is_written_down_once_in_the_code() -> None:
    written = re.compile(rf"\b{re.escape(project_version())}\b")
    folders = ("core", "bind", "cmake", "src")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    text = {".py", ".pyi", ".h", ".cpp", ".txt", ".cmake", ".in"}
    places = [
        path for path in [*files, ROOT / "CMakeLists.txt"] if path.suffix in text and "__pycache__" not in path.parts
    ]
    assert [path for path in places if written.search(path.read_text(encoding="utf-8"))] == []


def test_changelog_has_the_version() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert any(project_version() in heading for heading in headings)


def test_python_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    oldest = ".".join(map(str, OLDEST))
    assert project["project"]["requires-python"] == f">={oldest}"
    assert project["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    assert f"Programming Language :: Python :: {oldest}" in project["project"]["classifiers"]


def test_pin_of_llama_cpp_is_reported() -> None:
    pin = (ROOT / "cmake" / "llama_cpp_source.cmake").read_text(encoding="utf-8")
    commit = re.search(r"set\(INLLAMA_LLAMA_COMMIT ([0-9a-f]{40})\)", pin)
    assert commit is not None
    reported = inllama.build_info().llama_cpp_commit
    if re.fullmatch(r"[0-9a-f]{40}", reported):
        assert reported == commit[1]
