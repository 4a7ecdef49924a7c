"""``inllama chat``: what it does with what a person says; the terminal itself is in tests/model/test_cli_chat.py."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from inllama import LLM
from inllama.cli.chat import Dialogue
from inllama.cli.console import PlainConsole
from inllama.testing import FakeEngine

CALL = '<tool_call>{"name": "add", "arguments": {"a": 2, "b": 3}}</tool_call>'
TOOLS = '''
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def _private(x): ...
'''


class Script:
    """A console with a person who says what a test wants."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.shown: list[tuple[str, str]] = []

    def ask(self) -> str | None:
        return next(self._lines, None)

    def text(self, text: str) -> None:
        self.shown.append(("text", text))

    def reasoning(self, text: str) -> None:
        self.shown.append(("reasoning", text))

    def call(self, name: str | None, arguments: str) -> None:
        self.shown.append(("call", f"{name or ''}{arguments}"))

    def end(self) -> None:
        self.shown.append(("end", ""))

    def note(self, text: str) -> None:
        self.shown.append(("note", text))

    def all(self, kind: str) -> str:
        return "".join(text for of, text in self.shown if of == kind)

    def notes(self) -> list[str]:
        return [text for of, text in self.shown if of == "note"]


def talk(reply: str | Callable[[str], str], *lines: str, step_s: float = 0.0, **options: Any) -> Script:
    script = Script(lines)
    with LLM(FakeEngine(reply, step_s=step_s)) as llm:
        Dialogue(llm, script, None, options).run()
        llm.engine.close()
    return script


def test_an_answer_is_shown_with_its_speed() -> None:
    script = talk("<think>hm</think>Hello!", "Hi", "", "Again")
    assert script.all("text") == "Hello!" * 2
    assert script.all("reasoning") == "hm" * 2
    assert "23 tokens in" in script.notes()[0]
    assert "tokens/s" in script.notes()[0]


def test_commands(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    script = talk(
        "Yes.",
        *("/system", "/system Be brief.", "One", "/undo", "/undo", "Two", f"/save {path}", "/save", "/load"),
        *(f"/load {path}", "/system -", "/help", "/nonsense", "/tools", "/quit", "never said"),
    )
    notes = script.notes()
    assert notes[0] == "there are no instructions"
    assert notes[1] == "Be brief."
    assert notes[3] == "taken back: One"
    assert notes[4] == "there is nothing to undo"
    assert notes[6] == f"3 messages written to {path}"
    assert notes[7:9] == ["/save needs the name of a file", "/load needs the name of a file"]
    assert notes[9] == f"3 messages read from {path}"
    assert notes[10] == "there are no instructions"
    assert "/undo" in notes[11]
    assert notes[12] == "/nonsense is no command; /help lists them"
    assert notes[13] == "there are no tools"
    assert script.all("text") == "Yes." * 2


def test_functions_of_a_file_can_be_called(tmp_path: Path) -> None:
    path = tmp_path / "tools.py"
    path.write_text(TOOLS)
    script = talk(lambda prompt: "It is 5." if "tool\n5" in prompt else CALL, f"/tools {path}", "2 + 3?")
    assert script.notes()[0] == "add"
    assert script.all("call") == 'add{"a": 2, "b": 3}'
    assert script.all("text") == "It is 5."


@pytest.mark.parametrize(
    ("text", "what"), [("x = 1", "has no functions"), ("1 / 0", "ZeroDivisionError"), ("", "no functions")]
)
def test_files_without_functions_are_refused(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "tools.py"
    path.write_text(text)
    script = talk("Yes.", f"/tools {path}", "/tools /nowhere.py", "Hi")
    assert what in script.notes()[0]
    assert "nowhere" in script.notes()[1]
    assert script.all("text") == "Yes."


def test_an_error_is_shown_and_the_dialogue_goes_on() -> None:
    script = talk("Yes.", "x" * 2_000_000, "Hi")
    assert script.notes()[0].startswith("inllama: ")
    assert script.all("text") == "Yes."


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_stops_the_answer_and_not_the_program() -> None:
    before = signal.getsignal(signal.SIGINT)

    def press() -> None:
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    script = talk("x" * 100_000, "Hi", "/undo", step_s=0.002)
    assert script.all("text").startswith("x")
    assert script.notes()[0].endswith(", stopped")
    assert script.notes()[1] == "taken back: Hi"
    assert signal.getsignal(signal.SIGINT) is before


def test_the_plain_console_joins_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = iter(["one\\\n", "two\n", "three\n", ""])
    monkeypatch.setattr("sys.stdin.readline", lambda: next(lines), raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    console = PlainConsole()
    assert [console.ask(), console.ask(), console.ask()] == ["one\ntwo", "three", None]
    console.reasoning("I ")
    console.reasoning("think")
    console.text("\n\nHello")
    console.call("f", "{")
    console.call(None, "}")
    console.end()
    assert capsys.readouterr().out == "(reasoning) I think\nHello\n(calls f) {}\n"
