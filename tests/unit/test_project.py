"""What stands twice in the project's files must be the same."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def _project() -> dict[str, Any]:
    with open(ROOT / "pyproject.toml", "rb") as file:
        return tomllib.load(file)


def test_build_group_has_what_the_build_requires() -> None:
    project = _project()
    required = {entry for entry in project["build-system"]["requires"] if entry != "pip"}
    required |= set(project["project"]["dependencies"])
    assert required <= set(project["dependency-groups"]["build"])


def test_core_wheel_depends_on_numpy_only() -> None:
    assert [entry.split(">")[0] for entry in _project()["project"]["dependencies"]] == ["numpy"]


@pytest.mark.parametrize("name", ["llama_cpp_source", "xgrammar_source"])
def test_pin_is_named_in_one_place(name: str) -> None:
    pin = ROOT / "cmake" / f"{name}.cmake"
    sha256 = next(line.split()[1].rstrip(")") for line in pin.read_text().splitlines() if "SHA256 " in line)
    places = [path for path in (ROOT / "cmake").glob("*.cmake") if sha256 in path.read_text()]
    assert places == [pin]
