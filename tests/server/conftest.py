"""Engines and clients for the tests of the server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import openai
from serving import served

from inllama import Engine


@pytest.fixture(scope="session")
def demo() -> Iterator[Engine]:
    """The demo model's engine."""
    with Engine("demo") as engine:
        yield engine


@pytest.fixture(scope="session")
def demo_url(demo: Engine) -> Iterator[str]:
    """Where it is served, without keys."""
    with served(demo) as url:
        yield url


@pytest.fixture
def client(demo_url: str) -> Iterator[openai.OpenAI]:
    """The official client of that."""
    with openai.OpenAI(base_url=f"{demo_url}/v1", api_key="none", max_retries=0) as made:
        yield made
