"""The official client for Node.js."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from asking import ANSWERED, MODEL, is_idle, wait_until

from inllama import Engine

NODE, NPM = shutil.which("node"), shutil.which("npm")
SCRIPTS = Path(__file__).parent / "npm"
FOLDER = Path(__file__).parents[2] / "build" / "npm"
PARIS = "The capital of France is Paris."

pytestmark = [
    pytest.mark.npm,
    pytest.mark.skipif(NODE is None or NPM is None, reason="needs Node.js and npm"),
]


@pytest.fixture(scope="module")
def installed() -> Path:
    """The folder in which the client is installed; once for all runs."""
    if not (FOLDER / "node_modules" / "openai" / "package.json").exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = [str(NPM), "install", "--no-audit", "--no-fund", "openai"]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            pytest.skip(f"npm cannot install openai: {done.stderr.strip()[-200:]}")
    return FOLDER


def printed(script: str, installed: Path, url: str) -> Any:
    """Return the JSON that a script prints."""
    # Modules are looked for beside the script.
    path = shutil.copy(SCRIPTS / script, installed / script)
    done = subprocess.run(
        [str(NODE), path],
        cwd=installed,
        env={**os.environ, "INLLAMA_URL": f"{url}/v1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_answers_and_streams(installed: Path, demo_url: str) -> None:
    found = printed("chat.mjs", installed, demo_url)
    (choice,) = found["answer"]["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (PARIS, "stop")
    assert found["ignored"] == "tempurature"

    first, *chunks, last = found["chunks"]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == PARIS
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert (last["choices"], last["usage"]) == ([], found["answer"]["usage"])

    assert found["errors"] == [
        ["BadRequestError", 400, "invalid_value", "temperature"],
        ["NotFoundError", 404, "model_not_found", "model"],
        ["BadRequestError", 400, "invalid_value", "temperature"],
    ]
    assert found["models"] == [MODEL]


def test_helpers_gather_streams(installed: Path, demo_url: str, demo: Engine) -> None:
    n_cancelled = demo.stats().cancelled
    found = printed("stream.mjs", installed, demo_url)
    assert found["text"] == found["final"]["choices"][0]["message"]["content"] == PARIS
    events = found["events"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] == "response.completed"
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == events[-1]["response"]["output"][-1]["content"][0]["text"] == PARIS
    assert found["n_values"] == 256
    assert found["n_read"] == 3
    wait_until(lambda: demo.stats().cancelled == n_cancelled + 1)
    wait_until(lambda: is_idle(demo))


def test_tools_are_called(installed: Path, demo_url: str) -> None:
    found = printed("tools.mjs", installed, demo_url)
    (call,) = found["first"]["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}
    assert found["second"]["choices"][0]["message"]["content"] == ANSWERED
    first, *others = found["pieces"]
    assert first["function"]["name"] == "get_weather"
    assert all("id" not in piece and "name" not in piece["function"] for piece in others)
    assert json.loads("".join(piece["function"]["arguments"] for piece in found["pieces"])) == {"city": "Paris"}
    assert found["told"] == ANSWERED
