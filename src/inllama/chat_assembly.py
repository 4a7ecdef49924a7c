"""Reads what a model answers: text becomes content, reasoning and calls, as it comes and at the end."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from inllama.chat_format import ParsedAnswer
from inllama.chat_outputs import (
    ChatChoice,
    ChatCompletion,
    ChatEvent,
    Finished,
    Message,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from inllama.chat_request import ChatRequest
from inllama.errors import GrammarError, InvalidRequestError
from inllama.json_text import loads
from inllama.outputs import Choice, Chunk, Completion, FinishReason, TokenLogprob
from inllama.reception import instance_of
from inllama.validation import validate


class AnswerReader:
    """One output of a chat.

    What was published is never taken back: where the parser sees more and thinks again, new text is published as far as
    it continues the old one, and the message at the end has it all.
    """

    def __init__(self, chat: ChatRequest, index: int, text: str = "") -> None:
        self._chat = chat
        self._index = index
        self._text = chat.opened + text
        self._content = ""
        self._reasoning = ""
        self._arguments: list[str] = []
        self._ids: list[str] = []
        self._marks = chat.parser.marks
        # What text without a mark makes longer.
        self._open: Literal["content", "reasoning"] | None = None
        # Of text that was not published yet.
        self._logprobs: tuple[TokenLogprob, ...] = ()
        self._tokens: tuple[int, ...] = ()

    def push(self, chunk: Chunk) -> list[ChatEvent]:
        """Take the next piece of the text; returns what is new in it."""
        text, finish = chunk.text, chunk.finish_reason
        self._text += text
        self._logprobs += chunk.logprobs
        self._tokens += chunk.token_ids
        if finish is None:
            if self._open is not None and self._marks.isdisjoint(text):
                return self._goes_on(text)
            return self._news(self._parse(None)) if text else []
        parsed = self._parse(finish)
        events = self._news(parsed)
        message = self._message(parsed, finish)
        if message.parse_error is not None and (rest := _continuation(self._content, message.content)):
            events.append(TextDelta(rest, self._index, self._logprobs, self._tokens))
        events.append(Finished(self._index, _finish_of(message, finish), chunk.stop))
        return events

    def choice(self, choice: Choice) -> ChatChoice:
        """Return the whole answer."""
        message = self._message(self._parse(choice.finish_reason), choice.finish_reason)
        return ChatChoice(
            choice.index,
            message,
            _finish_of(message, choice.finish_reason),
            choice.stop,
            choice.seed,
            choice.logprobs,
            choice.token_ids,
            choice.text,
        )

    def _parse(self, finish: FinishReason | None) -> ParsedAnswer | None:
        return self._chat.parser.parse(self._text, finish != "stop")

    def _message(self, parsed: ParsedAnswer | None, finish: FinishReason) -> Message:
        if parsed is None:
            return self._plain("the answer is not in the format of the model's template")
        content, reasoning, calls, _ = parsed
        made: list[ToolCall] = []
        problem: str | None = None
        for place, (name, text, given) in enumerate(calls):
            try:
                arguments = _arguments_of(name, text)
            except InvalidRequestError as wrong:
                if finish == "stop":
                    return self._plain(str(wrong))
                problem = str(wrong)  # the output ended inside of this call, which is none then
            else:
                made.append(ToolCall(self._id(place, given), name, arguments, text))
        return Message("assistant", content, reasoning or None, tuple(made), problem)

    def _plain(self, problem: str) -> Message:
        return Message("assistant", self._text[len(self._chat.opened) :], parse_error=problem)

    def _id(self, place: int, given: str) -> str:
        while len(self._ids) <= place:
            # Mistral's templates want nine letters and digits.
            self._ids.append(given or uuid.uuid4().hex[:9])
        return self._ids[place]

    def _goes_on(self, text: str) -> list[ChatEvent]:
        # To parse an answer takes longer the longer it is.
        if not text:
            return []
        event: ChatEvent
        if self._open == "reasoning":
            self._reasoning += text
            event = ReasoningDelta(text, self._index)
        else:
            self._content += text
            event = TextDelta(text, self._index, self._logprobs, self._tokens)
        self._logprobs, self._tokens = (), ()
        return [event]

    def _news(self, parsed: ParsedAnswer | None) -> list[ChatEvent]:
        self._open = None
        if parsed is None:
            return []
        content, reasoning, calls, goes_on = parsed
        events: list[ChatEvent] = []
        if thought := _continuation(self._reasoning, reasoning):
            self._reasoning += thought
            events.append(ReasoningDelta(thought, self._index))
        if said := _continuation(self._content, content):
            self._content += said
            events.append(TextDelta(said, self._index, self._logprobs, self._tokens))
        for place, (name, arguments, given) in enumerate(calls):
            is_new = place == len(self._arguments)
            if is_new:
                self._arguments.append("")
            more = _continuation(self._arguments[place], arguments)
            self._arguments[place] += more
            if is_new or more:
                events.append(ToolCallDelta(self._index, place, self._id(place, given), name if is_new else None, more))
        if events:
            self._logprobs, self._tokens = (), ()
        if content == self._content and reasoning == self._reasoning:
            self._open = goes_on
        return events


def _continuation(old: str, new: str) -> str:
    return new[len(old) :] if new.startswith(old) else ""


def _finish_of(message: Message, finish: FinishReason) -> FinishReason:
    return "tool_calls" if finish == "stop" and message.tool_calls else finish


def _arguments_of(name: str, text: str) -> dict[str, Any]:
    arguments = loads(text or "{}", f"the arguments of {name}")
    if not isinstance(arguments, dict):
        raise InvalidRequestError(f"the arguments of {name} are no JSON object")
    return arguments


def chat_completion(
    chat: ChatRequest, completion: Completion, readers: Sequence[AnswerReader] | None = None
) -> ChatCompletion[Any]:
    """Return the answers of a request that has ended.

    Args:
        chat: The request.
        completion: What the engine gave.
        readers: Of each output, if it was streamed: ids of calls stay the same.

    Raises:
        GrammarError: A call that the declared tools do not allow; ``.completion`` has it.
        IncompleteOutputError: ``output`` was asked for, and the answer ended before it was complete; ``.completion``
            has it.
    """
    if readers is None:
        readers = [AnswerReader(chat, choice.index, choice.text) for choice in completion.choices]
    choices = tuple(reader.choice(choice) for reader, choice in zip(readers, completion.choices, strict=True))
    made: ChatCompletion[Any] = ChatCompletion(
        completion.request_id, completion.model, choices, completion.usage, completion.timings
    )
    for choice in choices:
        _check_calls(chat, choice, made)
    if chat.output is None or any(choice.finish_reason == "tool_calls" for choice in choices):
        return made
    return replace(
        made, outputs=tuple(instance_of(chat.output, choice, choice.message.content, made) for choice in choices)
    )


def _check_calls(chat: ChatRequest, choice: ChatChoice, completion: ChatCompletion[Any]) -> None:
    if choice.finish_reason != "tool_calls":
        return
    declared = {tool.name: tool for tool in chat.tools}
    for call in choice.message.tool_calls:
        if call.name not in declared:
            raise GrammarError(
                f"the model called {call.name!r}, which is none of the tools; .completion has its answer",
                completion=completion,
                tool=call.name,
            )
        try:
            validate(call.arguments, declared[call.name].parameters, what="the value")
        except InvalidRequestError as problem:
            raise GrammarError(
                f"the model's arguments for {call.name} do not fit its schema: {problem}; .completion has its answer",
                completion=completion,
                tool=call.name,
            ) from None
