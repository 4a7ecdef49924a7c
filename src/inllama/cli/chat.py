"""``inllama chat``: talk with a model."""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Callable
from typing import Any

from inllama.chat_outputs import ChatCompletion, ReasoningDelta, TextDelta, ToolCallDelta
from inllama.chat_params import ChatOptions
from inllama.cli.console import Console, make_console
from inllama.cli.flags import add_flags, flag_values
from inllama.cli.lora import add_lora_flag, load_adapters
from inllama.cli.model_flag import add_model_flag, local_path
from inllama.cli.tool_file import load_tools
from inllama.conversation import Conversation
from inllama.errors import InllamaError
from inllama.llm import LLM
from inllama.params import EngineOptions, ModelOptions, RequestOptions, SamplingParams

# Without a use in a dialogue, or set by the program.
_NOT_FLAGS = frozenset(
    {
        "n",
        "request_id",
        "wait",
        "tool_choice",
        "kv_overrides",
        "output",
        "tools",
        "documents",
        "add_generation_prompt",
        "continue_final_message",
    }
)

_HELP = """\
/system [TEXT]   show or set the instructions; '/system -' removes them
/undo            take the last turn back
/save FILE       write the conversation
/load FILE       go on with a saved one
/tools [FILE]    show the functions that the model can call, or load those of a Python file
/help            this list
/quit            leave, as Ctrl-D does
A line that ends with \\ goes on with the next one. Ctrl-C stops an answer."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "chat", help="talk with a model", description="Talk with a model; /help lists what else can be done."
    )
    add_model_flag(parser)
    parser.add_argument("-s", "--system", help="instructions, the first message")
    parser.add_argument(
        "--tools", metavar="FILE", help="Python file; the model can call its functions that have type hints"
    )
    add_lora_flag(parser)
    for cls in (ChatOptions, SamplingParams, RequestOptions, EngineOptions, ModelOptions):
        add_flags(parser, cls, without=_NOT_FLAGS)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Read what the user says and show what the model answers, until the input ends."""
    loading = flag_values(parsed, EngineOptions) | flag_values(parsed, ModelOptions)
    asked: dict[str, Any] = {}
    for cls in (SamplingParams, RequestOptions, ChatOptions):
        asked |= flag_values(parsed, cls)
    with LLM(local_path(parsed.model), **loading) as llm:
        asked |= load_adapters(llm, parsed)
        talk = Dialogue(llm, make_console(), parsed.system, asked)
        if parsed.tools is not None:
            talk.command_tools(parsed.tools)
        talk.run()
    return 0


class Dialogue:
    """A conversation with a person at a terminal."""

    def __init__(self, llm: LLM, console: Console, system: str | None, options: dict[str, Any]) -> None:
        self._llm = llm
        self._console = console
        self._options = options
        self._conversation = Conversation(llm, system=system, overflow="drop_oldest", **options)
        self._tools: tuple[Callable[..., Any], ...] = ()
        self._commands: dict[str, Callable[[str], bool | None]] = {
            "/system": self.command_system,
            "/undo": self.command_undo,
            "/save": self.command_save,
            "/load": self.command_load,
            "/tools": self.command_tools,
            "/help": self.command_help,
            "/quit": lambda _: False,
        }

    def run(self) -> None:
        """Take turns until the user leaves."""
        while (said := self._console.ask()) is not None:
            if not said.strip():
                continue
            try:
                if not self._take(said):
                    return
            except (InllamaError, OSError) as error:
                self._console.note(f"inllama: {error}")

    def _take(self, said: str) -> bool:
        if not said.startswith("/"):
            self._answer(said)
            return True
        name, _, rest = said.strip().partition(" ")
        command = self._commands.get(name)
        if command is None:
            self._console.note(f"{name} is no command; /help lists them")
            return True
        return command(rest.strip()) is not False

    def _answer(self, said: str) -> None:
        turn = self._conversation.stream(said, tools=self._tools or None)
        before = signal.signal(signal.SIGINT, lambda *_: turn.cancel())
        started = time.perf_counter()
        try:
            for event in turn:
                if isinstance(event, ReasoningDelta):
                    self._console.reasoning(event.text)
                elif isinstance(event, TextDelta):
                    self._console.text(event.text)
                elif isinstance(event, ToolCallDelta):
                    self._console.call(event.name, event.arguments)
            reply = turn.result()
        finally:
            signal.signal(signal.SIGINT, before)
            self._console.end()
        self._show_end(reply, time.perf_counter() - started)

    def _show_end(self, reply: ChatCompletion[Any], seconds: float) -> None:
        if reply.message.parse_error is not None:
            self._console.note(reply.message.parse_error)
        n_tokens, after = reply.usage.completion_tokens, reply.timings.total_s - reply.timings.first_token_s
        speed = f", {(n_tokens - 1) / after:.1f} tokens/s" if n_tokens > 1 and after > 0 else ""
        ends = {"length": ", cut off: the context or max_tokens is full", "cancelled": ", stopped"}
        self._console.note(f"{n_tokens} tokens in {seconds:.1f} s{speed}{ends.get(reply.finish_reason, '')}")

    def command_system(self, text: str) -> None:
        """Show or set the instructions."""
        if text:
            self._conversation.system = None if text == "-" else text
        self._console.note(self._conversation.system or "there are no instructions")

    def command_undo(self, _: str) -> None:
        """Take the last turn back."""
        said = self._conversation.undo()
        self._console.note("there is nothing to undo" if said is None else f"taken back: {said}")

    def command_save(self, path: str) -> None:
        """Write the conversation."""
        if not path:
            self._console.note("/save needs the name of a file")
            return
        self._conversation.save(path)
        self._console.note(f"{len(self._conversation)} messages written to {path}")

    def command_load(self, path: str) -> None:
        """Go on with a saved conversation."""
        if not path:
            self._console.note("/load needs the name of a file")
            return
        self._conversation = Conversation.load(self._llm, path, overflow="drop_oldest", **self._options)
        self._console.note(f"{len(self._conversation)} messages read from {path}")

    def command_tools(self, path: str) -> None:
        """Show the functions that can be called, or load others."""
        if path:
            self._tools = load_tools(path)
        names = ", ".join(tool.__name__ for tool in self._tools)
        self._console.note(names or "there are no tools")

    def command_help(self, _: str) -> None:
        """List the commands."""
        self._console.note(_HELP)
