"""The terminal: plain, or with colours and line editing where the ``cli`` extra is installed."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any, Protocol

_PROMPT = "> "
_GOES_ON = ". "


class Console(Protocol):
    """What a dialogue needs of a terminal."""

    def ask(self) -> str | None:
        """Return what the user says next, of one or more lines; ``None`` when the input ends."""

    def text(self, text: str) -> None:
        """Show a piece of the answer."""

    def reasoning(self, text: str) -> None:
        """Show a piece of the reasoning."""

    def call(self, name: str | None, arguments: str) -> None:
        """Show a call, or more of its arguments."""

    def end(self) -> None:
        """End the answer."""

    def note(self, text: str) -> None:
        """Show what the program has to say."""


class PlainConsole:
    """Standard input and output, without anything else; notes go to standard error."""

    def __init__(self) -> None:
        self._kind = ""

    def ask(self) -> str | None:
        """Read a line, and more as long as they end with a backslash."""
        lines: list[str] = []
        while True:
            try:
                line = self._line(_GOES_ON if lines else _PROMPT)
            except EOFError:
                return "\n".join(lines) if lines else None
            except KeyboardInterrupt:
                self.note("Ctrl-D or /quit leaves")
                lines = []
                continue
            if not line.endswith("\\"):
                return "\n".join([*lines, line])
            lines.append(line[:-1])

    def _line(self, prompt: str) -> str:
        if sys.stdin.isatty():
            return input(prompt)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.removesuffix("\n")

    def text(self, text: str) -> None:
        """Show a piece of the answer."""
        self._show("text", text.lstrip("\n") if self._kind != "text" else text)

    def reasoning(self, text: str) -> None:
        """Show a piece of the reasoning, behind a mark where it begins."""
        self._show("reasoning", text if self._kind == "reasoning" else f"(reasoning) {text}")

    def call(self, name: str | None, arguments: str) -> None:
        """Show a call, or more of its arguments."""
        if name is not None:
            self._kind = self._kind and "call before"
        self._show("call", arguments if name is None else f"(calls {name}) {arguments}")

    def end(self) -> None:
        """End the line."""
        if self._kind:
            self._write("\n")
        self._kind = ""

    def note(self, text: str) -> None:
        """Write to standard error."""
        print(text, file=sys.stderr, flush=True)

    def _show(self, kind: str, text: str) -> None:
        if self._kind not in ("", kind):
            self._write("\n")
        self._kind = kind
        self._write(text)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


class RichConsole(PlainConsole):
    """Colours by rich, line editing with a history by prompt_toolkit; Alt-Enter begins another line."""

    _STYLES = {"reasoning": "dim italic", "call": "cyan", "text": ""}  # noqa: RUF012 - never changed

    def __init__(self) -> None:
        super().__init__()
        from prompt_toolkit import PromptSession
        from prompt_toolkit.key_binding import KeyBindings
        from rich.console import Console as Rich

        keys = KeyBindings()

        @keys.add("escape", "enter")
        def _(event: Any) -> None:
            event.current_buffer.insert_text("\n")

        self._session: Any = PromptSession(key_bindings=keys)
        self._rich: Any = Rich(highlight=False, markup=False, soft_wrap=True)

    def _line(self, prompt: str) -> str:
        line: str = self._session.prompt(prompt)
        return line

    def note(self, text: str) -> None:
        """Show it dimmed."""
        self._rich.print(text, style="dim")

    def _write(self, text: str) -> None:
        self._rich.print(text, end="", style=self._STYLES.get(self._kind, ""))


def make_console() -> Console:
    """Return the best console there is: colours need a terminal and the ``cli`` extra."""
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    has_extra = all(importlib.util.find_spec(name) is not None for name in ("rich", "prompt_toolkit"))
    if is_terminal and has_extra:
        return RichConsole()
    if is_terminal:
        print("plain input; 'pip install inllama[cli]' adds colours and line editing", file=sys.stderr)
    return PlainConsole()
