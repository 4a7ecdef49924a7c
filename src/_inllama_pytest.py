"""Pytest's fixtures of inllama; see ``inllama.testing``.

It is no module of the package: every run of pytest where inllama is installed imports it, and importing one of those
would load the native module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from inllama.testing import FakeEngine


@pytest.fixture
def fake_engine() -> Iterator[Callable[..., FakeEngine]]:
    """A function that makes an ``inllama.testing.FakeEngine`` of the same arguments; they are closed after the test."""
    from inllama.testing import FakeEngine

    with ExitStack() as made:

        def make(*reply: Any, **options: Any) -> FakeEngine:
            return made.enter_context(FakeEngine(*reply, **options))

        yield make
