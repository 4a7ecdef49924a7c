"""Checks with llama-server that llama.cpp writes dialogues as ``dialogue.py`` does, and understands the answers."""

from __future__ import annotations

import argparse
import json
import random
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from corpus import draw_dialogue
from dialogue import Dialogue, prompt

TEMPLATE = Path(__file__).parent / "template.jinja"
START_SECONDS = 60.0


@contextmanager
def server(program: Path, model: Path) -> Iterator[str]:
    """Runs llama-server with the template and yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = f"-m {model} --port {port} --chat-template-file {TEMPLATE} --jinja -t 1 -c 2048 -np 1"
    command = [str(program), *options.split()]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(address)
            yield address
        finally:
            process.terminate()


def wait_for(address: str) -> None:
    """Waits until a server is ready."""
    started = time.monotonic()
    while time.monotonic() - started < START_SECONDS:
        try:
            with urllib.request.urlopen(f"{address}/health"):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise TimeoutError(f"llama-server is not ready after {START_SECONDS:.0f} s")


def post(address: str, path: str, data: dict[str, Any]) -> dict[str, Any]:
    """Sends a request and returns the answer."""
    request = urllib.request.Request(
        address + path, json.dumps(data).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request) as reply:
        result: dict[str, Any] = json.load(reply)
    return result


def chat_request(dialogue: Dialogue, thinking: bool) -> dict[str, Any]:
    """Returns the chat request for the next turn of a dialogue."""
    data: dict[str, Any] = {
        "messages": dialogue.messages(),
        "chat_template_kwargs": {"enable_thinking": thinking},
    }
    if dialogue.tools:
        data["tools"] = list(dialogue.tools)
    return data


def requests(count: int) -> Iterator[tuple[Dialogue, bool]]:
    """Yields dialogues cut before each turn of the assistant, with and without reasoning."""
    for number in range(count):
        rng = random.Random(number)
        dialogue = draw_dialogue(rng, number % 3 != 0, rng.randint(1, 4))
        for end, turn in enumerate(dialogue.turns):
            if turn.role == "assistant":
                yield replace(dialogue, turns=dialogue.turns[:end]), True
                turns = tuple(replace(turn, thought="") for turn in dialogue.turns[:end])
                yield replace(dialogue, turns=turns), False


def check_prompts(address: str, count: int) -> int:
    """Compares what ``/apply-template`` gives, byte for byte, and returns the number of prompts."""
    checked = 0
    for dialogue, thinking in requests(count):
        actual = post(address, "/apply-template", chat_request(dialogue, thinking))["prompt"]
        expected = prompt(dialogue, thinking)
        if actual != expected:
            raise ValueError(f"prompts differ:\n{actual!r}\n{expected!r}")
        checked += 1
    return checked


def check_answers(address: str, count: int) -> tuple[int, int, int]:
    """Chats with the model; returns how many answers are calls and how many hold reasoning, of how many."""
    calls = thoughts = asked = 0
    for dialogue, thinking in requests(count):
        if not dialogue.tools or len(dialogue.turns) > 1:
            continue
        reply = post(address, "/v1/chat/completions", chat_request(dialogue, thinking) | {"seed": 1})
        message = reply["choices"][0]["message"]
        if any(tag in (message["content"] or "") for tag in ("<think>", "</think>", "<tool_call>")):
            raise ValueError(f"llama-server did not understand {message['content']!r}")
        asked += 1
        calls += bool(message.get("tool_calls"))
        thoughts += bool(message.get("reasoning_content"))
    return calls, thoughts, asked


def main() -> None:
    """Checks from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="a GGUF; only --answers needs the trained one")
    parser.add_argument("--server", type=Path, default=Path("build/bench-tools/bin/llama-server"))
    parser.add_argument("--count", type=int, default=60, help="number of dialogues")
    parser.add_argument("--answers", action="store_true", help="also let llama-server parse the model's answers")
    args = parser.parse_args()
    with server(args.server, args.model) as address:
        print(f"{check_prompts(address, args.count)} prompts are the same")
        if args.answers:
            calls, thoughts, asked = check_answers(address, args.count)
            print(f"{asked} answers to questions with tools: {calls} calls, {thoughts} with reasoning")


if __name__ == "__main__":
    main()
