"""A first look: each API answers."""

from __future__ import annotations

import openai


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["demo.gguf"]


def test_chat_answers(client: openai.OpenAI) -> None:
    messages: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "Hello!"}]
    answer = client.chat.completions.create(model="demo.gguf", messages=messages, temperature=0, max_tokens=64)
    assert answer.choices[0].message.content
    assert answer.usage is not None and answer.usage.completion_tokens > 0
