"""The sampling options of the native side are those of ``SamplingParams``."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from inllama import SamplingParams, _core
from inllama.params import STRUCTURES

# These end an output, or say what it must look like; the sampler chain knows nothing of them.
NOT_NATIVE = {"max_tokens", "min_tokens", "stop", "stop_token_ids", *STRUCTURES}
NATIVE: dict[str, Any] = dict(_core.sampling_defaults())
DECLARED = {item.name: item for item in fields(SamplingParams)}


def test_both_sides_have_the_same_options() -> None:
    assert set(NATIVE) == set(DECLARED) - NOT_NATIVE
    assert set(DECLARED) >= NOT_NATIVE


@pytest.mark.parametrize("name", NATIVE)
def test_both_sides_have_the_same_default(name: str) -> None:
    declared = DECLARED[name].metadata["default"]
    native = tuple(NATIVE[name]) if isinstance(NATIVE[name], list) else NATIVE[name]
    assert native == declared
    assert type(native) is type(declared)


def test_order_of_the_options_is_the_same() -> None:
    assert list(NATIVE) == [name for name in DECLARED if name in NATIVE]
