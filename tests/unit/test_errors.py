"""One tree of errors: in C++, in Python, in the drawing and in what is exported."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest

import inllama
from inllama import InllamaError, _core, errors

BASES: dict[str, type[Exception]] = {
    "InvalidRequestError": ValueError,
    "ModelLoadError": OSError,
    "EngineError": RuntimeError,
    "InsufficientMemoryError": MemoryError,
    "DeadlineError": TimeoutError,
    "StateError": ValueError,
}


def python_tree(cls: type[InllamaError] = InllamaError) -> dict[str, str]:
    """Return the parent of every class, by name; the root has none."""
    parents = [base.__name__ for base in cls.__bases__ if issubclass(base, InllamaError)]
    found = {cls.__name__: parents[0] if parents else ""}
    for child in cls.__subclasses__():
        found |= python_tree(child)
    return found


def drawn_tree() -> dict[str, tuple[str, str]]:
    """Return the parent and the Python base of every class in the drawing of the module's docstring."""
    found: dict[str, tuple[str, str]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        drawn = re.match(r"^    ((?:[│ ]   )*(?:[├└]── )?)(\w+Error)(?: \((\w+)\))?", line)
        if drawn is None:
            continue
        depth = len(drawn[1]) // 4
        path[depth:] = [drawn[2]]
        found[drawn[2]] = (path[depth - 1] if depth else "", drawn[3] or "")
    return found


CLASSES = [getattr(errors, name) for name in python_tree()]


def test_native_side_declares_the_same_tree() -> None:
    assert dict(_core.error_kinds()) == python_tree()


def test_native_side_declares_parents_first() -> None:
    seen = {""}
    for name, parent in _core.error_kinds():
        assert parent in seen, name
        seen.add(name)


def test_drawing_shows_the_same_tree() -> None:
    assert {name: parent for name, (parent, _) in drawn_tree().items()} == python_tree()


def test_drawing_names_the_python_bases() -> None:
    assert {name: base for name, (_, base) in drawn_tree().items() if base} == {
        name: base.__name__ for name, base in BASES.items()
    }


def test_every_error_is_exported() -> None:
    assert set(python_tree()) <= set(inllama.__all__)
    for name in python_tree():
        assert getattr(inllama, name) is getattr(errors, name)


@pytest.mark.parametrize(("name", "base"), BASES.items())
def test_error_is_also_the_python_error_of_its_kind(name: str, base: type[Exception]) -> None:
    assert issubclass(getattr(errors, name), base)
    for child in getattr(errors, name).__subclasses__():
        assert issubclass(child, base)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_error_has_a_docstring_and_the_public_module(cls: type[InllamaError]) -> None:
    assert (cls.__doc__ or "").endswith(".")
    assert cls.__module__ == "inllama"


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_fields_are_attributes(cls: type[InllamaError]) -> None:
    error = cls("it does not fit", path="a.gguf", limit=7, ratio=0.5, is_last=True)
    assert error.fields == {"path": "a.gguf", "limit": 7, "ratio": 0.5, "is_last": True}
    assert (error.path, error.limit, error.ratio, error.is_last) == ("a.gguf", 7, 0.5, True)
    assert error.message == "it does not fit"


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_text_is_the_message_alone(cls: type[InllamaError]) -> None:
    error = cls("it does not fit", limit=7)
    assert str(error) == "it does not fit"
    assert error.args == ("it does not fit",)
    assert repr(error) == f"{cls.__name__}('it does not fit')"
    assert str(cls()) == ""


@pytest.mark.parametrize("duplicate", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_error_survives_pickling_and_copying(cls: type[InllamaError], duplicate: Any) -> None:
    error = cls("it does not fit", path="ä\0b", limit=7)
    error.fields["index"] = 3
    twin = duplicate(error)
    assert type(twin) is cls
    assert (str(twin), twin.fields) == (str(error), error.fields)
    assert twin.index == 3


def test_field_that_is_not_there_is_an_attribute_error() -> None:
    error = errors.InvalidRequestError("no", limit=1)
    with pytest.raises(AttributeError, match="'InvalidRequestError' object has no attribute 'limits'"):
        _ = error.limits
    assert not hasattr(error, "partial")


def test_own_fields_of_oserror_stay_empty() -> None:
    error = errors.ModelLoadError("could not load a.gguf", path="a.gguf", reason="it is empty")
    assert error.errno is None
    assert error.filename is None
    assert str(error) == "could not load a.gguf"


def test_native_error_is_an_instance_with_fields() -> None:
    with pytest.raises(errors.ModelLoadError) as caught:
        inllama.Model("/no/such/file.gguf")
    assert caught.value.fields == {"path": "/no/such/file.gguf", "reason": caught.value.reason}
    assert pickle.loads(pickle.dumps(caught.value)).path == "/no/such/file.gguf"
