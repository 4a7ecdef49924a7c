"""Conversations that are saved with what the KV cache holds of them."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest
from engines import EXACT

from inllama import LLM, AsyncConversation, AsyncLLM, Conversation, Engine, Model, StateError

OPTIONS = {"temperature": 0.0, "max_tokens": 60}
IN_ANOTHER_PROCESS = """
import sys
from inllama import LLM, Conversation
with LLM(sys.argv[1], n_threads=1, flash_attention="off", kv_type_k="f32", kv_type_v="f32") as llm:
    talk = Conversation.load(llm, sys.argv[2], temperature=0.0, max_tokens=60)
    reply = talk.send("And what is my name?")
    print(reply.usage.cached_tokens, repr(reply.message.content))
"""


def talked(llm: LLM) -> Conversation:
    talk = Conversation(llm, system="You are a helpful assistant.", **OPTIONS)
    talk.send("Hello! My name is Ada.")
    talk.send("Tell me a story about a dog.")
    return talk


def test_a_conversation_goes_on_in_another_engine_without_computing_it(
    llm: LLM, exact_demo: Model, tmp_path: Path
) -> None:
    talk = talked(llm)
    talk.save(tmp_path / "talk.inllama", kv=True)
    own = talk.send("And what is my name?")
    with Engine(exact_demo, **EXACT) as engine:
        loaded = Conversation.load(LLM(engine), tmp_path / "talk.inllama", **OPTIONS)
        reply = loaded.send("And what is my name?")
    assert loaded.messages == talk.messages
    assert reply.message == own.message
    assert reply.usage.cached_tokens == own.usage.cached_tokens > 50
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, exact_demo.path, str(tmp_path / "talk.inllama")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{own.usage.cached_tokens} {own.message.content!r}"


def test_without_the_state_the_same_is_computed(llm: LLM, exact_demo: Model, tmp_path: Path) -> None:
    talk = talked(llm)
    talk.save(tmp_path / "talk.json")
    with Engine(exact_demo, **EXACT) as engine:
        loaded = Conversation.load(LLM(engine), tmp_path / "talk.json", **OPTIONS)
        reply = loaded.send("And what is my name?")
    assert reply.usage.cached_tokens == 0
    assert reply.message == talk.send("And what is my name?").message


def test_a_conversation_that_was_not_computed_is_saved_without_a_state(llm: LLM, tmp_path: Path) -> None:
    for talk in (Conversation(llm), Conversation(llm, messages=[{"role": "user", "content": "Hi there"}])):
        talk.save(tmp_path / "talk.inllama", kv=True)
        assert Conversation.load(llm, tmp_path / "talk.inllama").messages == talk.messages


def test_damaged_files_are_refused(llm: LLM, tmp_path: Path) -> None:
    talked(llm).save(tmp_path / "talk.inllama", kv=True)
    data = (tmp_path / "talk.inllama").read_bytes()
    chance = random.Random(3)
    damaged = tmp_path / "damaged"
    for index in range(60):
        changed = bytearray(data)
        if index % 2:
            changed[chance.randrange(len(changed))] ^= 0x10
        else:
            del changed[chance.randrange(8, len(changed)) :]
        damaged.write_bytes(changed)
        with pytest.raises(StateError):
            Conversation.load(llm, damaged)
    assert Conversation.load(llm, tmp_path / "talk.inllama", **OPTIONS).send("Hello!").message.content is not None


def test_a_conversation_of_another_model_is_refused(llm: LLM, tmp_path: Path) -> None:
    talked(llm).save(tmp_path / "talk.inllama", kv=True)
    with LLM(n_threads=1) as other, pytest.raises(StateError, match="another model"):
        Conversation.load(other, tmp_path / "talk.inllama")


def test_a_loop_saves_and_loads_too(llm: LLM, exact_demo: Model, tmp_path: Path) -> None:
    async def run() -> tuple[int, str | None]:
        async with AsyncLLM(llm.engine) as aio:
            talk = AsyncConversation(aio, **OPTIONS)
            await talk.send("Hello! My name is Ada.")
            await talk.save(tmp_path / "talk.inllama", kv=True)
        with Engine(exact_demo, **EXACT) as engine:
            async with AsyncLLM(engine) as aio:
                loaded = await AsyncConversation.load(aio, tmp_path / "talk.inllama", **OPTIONS)
                reply = await loaded.send("What is my name?")
                return reply.usage.cached_tokens, reply.message.content

    n_cached, content = asyncio.run(run())
    assert n_cached > 10
    assert content
