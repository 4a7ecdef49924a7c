"""Runs the functions that a model calls."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from inllama.chat_outputs import ChatCompletion, ToolCall
from inllama.errors import InvalidRequestError
from inllama.history import JsonMessage
from inllama.tools import result_text, tools_of

MAX_TOOL_ROUNDS = 8


class ToolRounds:
    """Runs what a model calls, a limited number of times.

    Args:
        tools: Functions of this turn; ``None``: those of the conversation.
        limit: How many times.
        options: Of the turn. Its ``tools`` may have declarations without a function, which are not run.
    """

    def __init__(self, tools: Sequence[Any] | None, limit: int, options: Mapping[str, Any]) -> None:
        if isinstance(limit, bool) or not isinstance(limit, int):
            raise TypeError(f"max_tool_rounds must be int, not {type(limit).__name__}")
        if limit < 0:
            raise InvalidRequestError(
                f"max_tool_rounds is {limit} but must be at least 0", option="max_tool_rounds", value=limit
            )
        self._tools = {tool.name: tool for tool in tools_of(options.get("tools") if tools is None else tools)}
        self._options = {**options, "tools": tuple(self._tools.values())}
        self._n_left = limit
        for tool in self._tools.values():
            if tools is not None and tool.function is None:
                raise InvalidRequestError(
                    f"{tool.name!r} is a declaration without a function, which cannot be run; use chat() and answer "
                    "its calls yourself",
                    tool=tool.name,
                )

    @property
    def options(self) -> dict[str, Any]:
        """The options of the next answer, with the tools."""
        return self._options

    def next_calls(self, reply: ChatCompletion[Any]) -> tuple[ToolCall, ...]:
        """Return the calls of an answer that are to be run; none when there is nothing left to do."""
        if reply.finish_reason != "tool_calls" or self._n_left == 0:
            return ()
        calls = reply.message.tool_calls
        if any(self._tools[call.name].function is None for call in calls):
            return ()  # somebody else answers all of them
        self._n_left -= 1
        if self._options.get("tool_choice") not in (None, "none"):
            # The call that was required is made; required again, there would never be an answer in words.
            self._options = {**self._options, "tool_choice": "auto"}
        return calls

    def answer(self, call: ToolCall) -> JsonMessage:
        """Run a function, to its end if it is asynchronous; returns the message with what came of it."""
        try:
            result = self._tools[call.name].call(call.arguments)
            if inspect.isawaitable(result):
                result = _awaited(result)
            text = result_text(result)
        except Exception as error:
            text = _failure(error)
        return _message(call, text)

    async def answer_async(self, call: ToolCall) -> JsonMessage:
        """The same in an event loop: what is not asynchronous runs on another thread."""
        import asyncio  # with the first call: it takes a while

        try:
            tool = self._tools[call.name]
            if inspect.iscoroutinefunction(tool.function):
                result = await tool.call(call.arguments)
            else:
                result = await asyncio.to_thread(tool.call, call.arguments)
                if inspect.isawaitable(result):
                    result = await result
            text = result_text(result)
        except Exception as error:
            text = _failure(error)
        return _message(call, text)


def _awaited(result: Any) -> Any:
    import asyncio  # with the first call: it takes a while

    async def wait() -> Any:
        return await result

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(wait())
    # In a notebook: the loop of this thread waits for us.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, wait()).result()


def _failure(error: Exception) -> str:
    return f"Error: {type(error).__name__}: {error}"


def _message(call: ToolCall, text: str) -> JsonMessage:
    return {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": text}
