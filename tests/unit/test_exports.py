"""The public surface is the one of tests/api.txt: a change of it is a decision, and shows in a review.

``python tests/unit/test_exports.py --write`` writes the file anew.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import inllama
from inllama import gguf, samplers, testing

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "api.txt"
STUB = ast.parse((ROOT / "src" / "inllama" / "_core.pyi").read_text(encoding="utf-8"))
NATIVE: dict[str, ast.stmt] = {
    node.name: node for node in STUB.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))
}
# Of ordinary objects, not of the public surface.
SPECIAL = {"__init__", "__enter__", "__exit__", "__iter__", "__next__", "__len__"}


def public(names: Any) -> list[str]:
    return sorted(name for name in names if not name.startswith("_") or name in SPECIAL)


def native_lines(name: str, node: ast.stmt) -> Iterator[str]:
    """Yield the lines of a class or function of the native module, from its stub: it has no signatures at run time."""
    if isinstance(node, ast.FunctionDef):
        result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        if any(ast.unparse(decorator) == "property" for decorator in node.decorator_list):
            yield f"{name}: {ast.unparse(node.returns) if node.returns else 'Any'}"
        else:
            yield f"{name}({ast.unparse(node.args)}){result}"
        return
    assert isinstance(node, ast.ClassDef)
    yield f"class {name}"
    members = {member.name: member for member in node.body if isinstance(member, ast.FunctionDef)}
    for member in public(members):
        yield from native_lines(f"{name}.{member}", members[member])


def signature(function: Any) -> str:
    """Return the signature without the quotes of annotations that are not evaluated."""
    return re.sub(r"""(: |-> )(["'])(.*?)\2""", r"\1\3", str(inspect.signature(function)))


def python_lines(name: str, value: Any) -> Iterator[str]:
    """Yield the lines of a class, function or constant written in Python."""
    if not inspect.isclass(value):
        yield f"{name}{signature(value)}" if callable(value) else f"{name}: {type(value).__name__}"
        return
    bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
    yield f"class {name}({bases})" if bases else f"class {name}"
    annotations = inspect.get_annotations(value)
    for member in public(set(vars(value)) | set(annotations)):
        found = inspect.getattr_static(value, member, None)
        if isinstance(found, property):
            yield f"{name}.{member}: {inspect.signature(found.fget).return_annotation}"  # type: ignore[arg-type]
        elif member in annotations and not str(annotations[member]).startswith("typing.ClassVar"):
            yield f"{name}.{member}: {annotations[member]}"
        elif member == "__init__" and hasattr(value, "__dataclass_fields__"):
            continue  # its fields say it
        elif callable(found) or isinstance(found, (classmethod, staticmethod)):
            yield f"{name}.{member}{signature(getattr(value, member))}"


def module_lines(module: ModuleType) -> Iterator[str]:
    prefix = module.__name__
    for name in sorted(module.__all__):
        value = getattr(module, name)
        if isinstance(value, ModuleType):
            yield from module_lines(value)
        elif name in NATIVE and getattr(inllama._core, name, None) is value:
            yield from native_lines(f"{prefix}.{name}", NATIVE[name])
        else:
            yield from python_lines(f"{prefix}.{name}", value)


def surface() -> str:
    return "\n".join([*module_lines(inllama), *module_lines(testing), *module_lines(gguf)]) + "\n"


def test_public_surface_is_the_golden_list() -> None:
    assert surface().splitlines() == GOLDEN.read_text(encoding="utf-8").splitlines(), (
        "the public surface changed; if that is meant, run: python tests/unit/test_exports.py --write"
    )


def test_golden_list_shows_methods_fields_and_functions() -> None:
    text = GOLDEN.read_text(encoding="utf-8")
    for line in (
        r"class inllama\.ContextFullError\(InvalidRequestError\)",
        r"inllama\.LLM\.generate\(self, prompt: ",
        r"inllama\.Tokenizer\.encode\(self, text: str, \*, add_special: bool=True",
        r"inllama\.Model\.n_embd: int",
        r"inllama\.Usage\.total_tokens: int",
        r"inllama\.Choice\.finish_reason: FinishReason",
        r"inllama\.samplers\.top_k\(k: int\) -> SamplerStage",
    ):
        assert re.search(rf"^{line}", text, re.MULTILINE), line


@pytest.mark.parametrize("module", [inllama, samplers, testing, gguf], ids=lambda module: module.__name__)
def test_exported_names_exist_and_are_listed_once(module: ModuleType) -> None:
    names = module.__all__
    assert len(names) == len(set(names))
    assert all(hasattr(module, name) for name in names)


def test_exported_names_are_the_public_names() -> None:
    submodules = {path.stem for path in (ROOT / "src" / "inllama").iterdir()} | {"cli"}
    # Those with @ are pytest's: it rewrites the asserts of packages that bring a plugin.
    names = {name for name in vars(inllama) if not name.startswith(("_", "@"))}
    hidden = {name for name in names if isinstance(getattr(inllama, name), ModuleType) and name in submodules}
    # The function has the name of its module.
    assert names - (hidden - {"samplers", "build_info"}) == set(inllama.__all__) - {"__version__"}


def test_exported_names_are_sorted() -> None:
    # As ruff sorts them: constants, classes, then the rest.
    def rank(name: str) -> tuple[int, str]:
        return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)

    assert inllama.__all__ == sorted(inllama.__all__, key=rank)
    assert samplers.__all__ == sorted(samplers.__all__, key=rank)
    assert testing.__all__ == sorted(testing.__all__, key=rank)
    assert gguf.__all__ == sorted(gguf.__all__, key=rank)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (module, name)
        for module in (inllama, testing, gguf)
        for name in module.__all__
        if inspect.isclass(getattr(module, name))
    ],
)
def test_class_says_that_it_is_of_the_package(module: ModuleType, name: str) -> None:
    cls = getattr(module, name)
    assert cls.__module__ == module.__name__
    assert cls.__qualname__ == name
    assert cls.__doc__


def public_members() -> Iterator[tuple[str, Any]]:
    for module in (inllama, samplers, testing, gguf):
        for name in module.__all__:
            value = getattr(module, name)
            yield f"{module.__name__}.{name}", value
            if inspect.isclass(value):
                for member in public(vars(value)):
                    if not member.startswith("__"):
                        yield f"{module.__name__}.{name}.{member}", inspect.getattr_static(value, member)


def test_everything_public_is_documented() -> None:
    for name, value in public_members():
        # Fields are described in the docstring of their class.
        if callable(value) or isinstance(value, (property, classmethod, staticmethod)):
            assert value.__doc__, name


def test_types_are_marked_as_such() -> None:
    assert (Path(inllama.__path__[0]) / "py.typed").exists()


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        GOLDEN.write_text(surface(), encoding="utf-8")
    else:
        sys.exit("say --write to write tests/api.txt anew")
