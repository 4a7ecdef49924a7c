"""From the arguments of a chat to a request that an engine takes, and to what reads its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import inllama._core as _core
from inllama.chat_format import ChatFormat, ChatPrompt, ChatReader, PreparedPrompt
from inllama.chat_params import ChatOptions
from inllama.errors import GrammarError, InvalidRequestError, UnsupportedError
from inllama.messages import Messages, normalized, to_json
from inllama.options import split_keywords
from inllama.output_types import OutputType
from inllama.params import RequestOptions, SamplingParams
from inllama.request import Prepared, Preparing, Template
from inllama.tools import Tool, ToolChoice, tools_of


class ChatEngine(Preparing, Protocol):
    """What an engine tells about itself for chats."""

    def chat_template(self, chosen: str | None) -> ChatFormat:
        """Return the model's template, one of its named ones, or the one that is given as text."""

    def structure(self, kind: str, source: str) -> _core.Structure:
        """Return what an output must look like, compiled."""


@dataclass(slots=True)
class ChatRequest:
    """A request and how its answer is read.

    Attributes:
        request: For the engine.
        parser: Finds reasoning and calls in the answer's text.
        opened: What the prompt ends with and the parser shall see: a tag that opens reasoning.
        tools: What can be called.
        output: What the content is turned into.
        prompt: The prompt's text and tokens.
    """

    request: Prepared
    parser: ChatReader
    opened: str
    tools: tuple[Tool, ...]
    output: OutputType[Any] | None
    prompt: PreparedPrompt


class ChatCall:
    """The checked options of a chat, for any number of conversations.

    Args:
        engine: What will compute them.
        params: Sampling options.
        options: Fields of ``SamplingParams``, ``RequestOptions`` and ``ChatOptions``, and ``output``.
        is_streaming: Whether answers come piece by piece; otherwise whole.

    Raises:
        EngineClosedError: ``close()`` was called.
        GrammarError: A structure that cannot be enforced.
        InvalidRequestError: An option has a value that is not possible.
        TemplateError: The template cannot be used.
        TypeError: An option that does not exist.
        UnsupportedError: The model has no template, or cannot do what was asked for.
    """

    def __init__(
        self, engine: ChatEngine, params: SamplingParams | None, options: Mapping[str, Any], *, is_streaming: bool
    ) -> None:
        engine.check_usable()
        sampling, asked, chatting = split_keywords(options, SamplingParams, RequestOptions, ChatOptions)
        self._engine = engine
        self._chat = chat = ChatOptions.from_keywords(chatting)
        self._call = Template(engine, params, {**sampling, **asked}, is_streaming=is_streaming)
        self._template = engine.chat_template(chat.chat_template)
        self._tools = tools_of(chat.tools)
        for tool in self._tools:
            _check_parameters(tool)
        self._choice = ToolChoice.of(chat.tool_choice, self._tools)
        self._reasons = self._checked_reasoning()
        if self._call.structure is not None and self._choice.mode == "required":
            raise InvalidRequestError(
                f"tool_choice={self._choice.name or 'required'!r} leaves no answer for a structure; give one of them",
                option="tool_choice",
            )

    def _checked_reasoning(self) -> bool | None:
        chat, can_switch = self._chat, self._template.capabilities["enable_thinking"]
        if chat.reasoning and not can_switch:
            raise UnsupportedError(
                "reasoning=True, but this model's template knows no reasoning; leave it out", option="reasoning"
            )
        if chat.reasoning_budget is not None and chat.reasoning is False:
            raise InvalidRequestError(
                "reasoning_budget has no effect with reasoning=False; give one of them", option="reasoning_budget"
            )
        return chat.reasoning

    def render(self, messages: Messages) -> ChatPrompt:
        """Return the prompt, as text and as tokens."""
        return self._template.render(self._inputs(messages))

    def prepare(self, messages: Messages) -> ChatRequest:
        """Return the request for one conversation.

        Raises:
            InvalidRequestError: A message is not what it should be; the text says which.
            TemplateError: The template refuses the messages.
            UnsupportedError: The model's format cannot do what was asked for.
        """
        prepared = self._template.prepare(self._inputs(messages))
        reasoning = Reasoning.of(prepared)
        limits: dict[str, object] = {
            "spelled_token_ids": prepared.preserved_tokens,
            "stop": [*self._call.stops, *prepared.stops],
        }
        tokens, opened = prepared.tokens.tolist(), ""
        if self._call.structure is not None:
            if reasoning is not None and reasoning.is_possible and self._reasons is not False:
                # The model would choose between the tag and the structure: the prompt has the tag then.
                opened = reasoning.start
                tokens += self._engine.encode(opened, parse_special=True, add_special=False)
                reasoning = replace(reasoning, is_open=True, is_possible=False)
            _check_carries_structure(prepared, reasoning, opened)
            if prepared.grammar is not None:
                calls = self._engine.structure("grammar", prepared.grammar)
                limits["structure"] = calls.either(self._call.structure)
            limits["structure_start"] = reasoning.structure_start() if reasoning else None
        elif prepared.grammar is not None:
            limits["structure"] = self._engine.structure("grammar", prepared.grammar)
            limits["structure_start"] = _tools_start(prepared, reasoning)
        if self._chat.reasoning_budget is not None:
            limits["reasoning"] = self._budget(reasoning)
        request = self._call.prepare_tokens(tokens, limits, "chatcmpl")
        request.output = None  # of the content, which is a part of the text
        return ChatRequest(request, prepared.parser, opened, self._tools, self._call.output, prepared)

    def _budget(self, reasoning: Reasoning | None) -> tuple[int, str, list[str], list[int], bool]:
        if reasoning is None:
            raise UnsupportedError(
                "reasoning_budget needs a model whose template has tags around its reasoning; leave it out",
                option="reasoning_budget",
            )
        budget, end = self._chat.reasoning_budget, reasoning.ends[0]
        assert budget is not None
        closing = self._engine.encode(end, parse_special=True, add_special=False)
        return budget, reasoning.start, list(reasoning.ends), closing, reasoning.is_open

    def _inputs(self, messages: Messages) -> dict[str, object]:
        chat, choice = self._chat, self._choice
        tools = self._tools if choice.name is None else [tool for tool in self._tools if tool.name == choice.name]
        can_call_several = self._template.capabilities["supports_parallel_tool_calls"]
        several = can_call_several if chat.parallel_tool_calls is None else chat.parallel_tool_calls
        return {
            "messages": to_json(normalized(messages)),
            "tools": _json([tool.to_dict() for tool in tools], "tools") if tools else None,
            "tool_choice": choice.mode,
            "parallel_tool_calls": several,
            "add_generation_prompt": chat.add_generation_prompt and not chat.continue_final_message,
            "continue_final_message": chat.continue_final_message,
            "enable_thinking": self._reasons,
            "reasoning": True,
            "kwargs": {name: _json(value, name) for name, value in chat.chat_template_kwargs.items()},
            "documents": _json(chat.documents, "documents") if chat.documents else None,
            "json_schema": None,
            "parse_special_content": chat.parse_special_content,
        }


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How a template marks reasoning, and where its prompt ends.

    Attributes:
        start: The tag that opens it.
        ends: The tags that close it.
        is_open: The prompt ends inside of reasoning.
        is_possible: The model can open it.
    """

    start: str
    ends: tuple[str, ...]
    is_open: bool
    is_possible: bool

    @classmethod
    def of(cls, prepared: PreparedPrompt) -> Reasoning | None:
        """Return what the template says; ``None`` for one without such tags."""
        start, ends = prepared.thinking_start_tag, tuple(prepared.thinking_end_tags)
        if not prepared.supports_thinking or not start or not ends:
            return None
        opened = prepared.generation_prompt.rfind(start)
        closed = max(prepared.generation_prompt.rfind(end) for end in ends)
        return cls(start, ends, is_open=opened > closed, is_possible=opened < 0 and closed < 0)

    def structure_start(self) -> dict[str, object] | None:
        """Return where a structure of the answer begins; ``None``: at once."""
        return {"after": list(self.ends)} if self.is_open else None


# What llama.cpp calls its triggers, and where a structure can begin.
_KINDS = {"word": "at", "pattern": "patterns", "pattern_full": "patterns", "token": "tokens"}


def _tools_start(prepared: PreparedPrompt, reasoning: Reasoning | None) -> dict[str, object]:
    if not prepared.is_grammar_lazy:
        return {"prefix": prepared.generation_prompt}  # the grammar describes it too
    start: dict[str, list[Any]] = {"spelled": list(prepared.preserved_tokens)}
    for kind, value in prepared.triggers:
        is_whole = kind == "pattern_full"
        found = f"^{str(value).removeprefix('^').removesuffix('$')}$" if is_whole else value
        start.setdefault(_KINDS[kind], []).append(found)
    if reasoning is not None and reasoning.is_open:
        start["beyond"] = list(reasoning.ends)
    return dict(start)


def _check_parameters(tool: Tool) -> None:
    from inllama.structure import grammar_of  # with the first tool: it takes a while

    try:
        grammar_of("json_schema", tool.parameters)
    except GrammarError as problem:
        raise GrammarError(f"the parameters of {tool.name}: {problem}", **problem.fields, tool=tool.name) from None


def _check_carries_structure(prepared: PreparedPrompt, reasoning: Reasoning | None, opened: str) -> None:
    # Some families write their answers inside of a frame, which a structure would forbid.
    thought = f"{opened}x{reasoning.ends[0]}" if reasoning is not None and reasoning.is_open else ""
    parsed = prepared.parser.parse(thought + "{}", False)
    if parsed is None or parsed[0].strip() != "{}":
        raise UnsupportedError("this model's answers have a format of their own, which cannot have a structure inside")


def _json(value: object, name: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as problem:
        raise InvalidRequestError(f"{name} cannot be written as JSON: {problem}", option=name) from None
