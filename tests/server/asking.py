"""What the tests of the APIs ask, and how they wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import openai
from serving import served

from inllama import Engine

MODEL = "demo.gguf"
QUESTION = "What is the weather in Paris?"
CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "The city"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: Any = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Get the weather in a city", "parameters": CITY},
}
TIME: Any = {
    "type": "function",
    "function": {"name": "get_time", "description": "Get the time in a city", "parameters": CITY},
}
TOOLS: Any = [WEATHER, TIME]
RESULT = '{"temperature": 18, "condition": "sunny"}'
ANSWERED = "It is sunny in Paris, with 18 degrees."
PET: Any = {
    "type": "object",
    "properties": {"kind": {"enum": ["dog", "cat"]}, "is_good": {"type": "boolean"}},
    "required": ["kind", "is_good"],
    "additionalProperties": False,
}
# Computed alone and without the prefix cache: the same text every time.
ALONE: Any = {"reproducible": True}


def user(content: Any) -> Any:
    """Return the messages of one question."""
    return [{"role": "user", "content": content}]


@contextmanager
def client_of(
    engine: Engine, *, api_key: str = "none", max_retries: int = 0, **options: Any
) -> Generator[openai.OpenAI, None, None]:
    """Serve an engine for one official client."""
    with (
        served(engine, **options) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key=api_key, max_retries=max_retries) as made,
    ):
        yield made


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait for something that another thread brings about."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.002)


def is_idle(engine: Engine) -> bool:
    """Whether an engine computes nothing."""
    stats = engine.stats()
    return stats.running + stats.waiting == 0
