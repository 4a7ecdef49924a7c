"""From the arguments of a chat to a request that an engine takes, and to what reads its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import inllama._core as _core
from inllama.chat_checks import check_documents, check_parameters, check_tools, check_variables, shows_tools
from inllama.chat_format import ChatFormat, ChatPrompt, ChatReader, PreparedPrompt
from inllama.chat_frame import MARKED, Frame
from inllama.chat_params import ChatOptions
from inllama.errors import InvalidRequestError, UnsupportedError
from inllama.messages import Messages, normalized, to_json
from inllama.options import split_keywords
from inllama.output_types import OutputType
from inllama.params import RequestOptions, SamplingParams
from inllama.reasoning import Reasoning
from inllama.references import plain_references
from inllama.request import Prepared, Preparing, Template
from inllama.tools import Tool, ToolChoice, tools_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ChatEngine(Preparing, Protocol):
    """What an engine tells about itself for chats."""

    def chat_template(self, chosen: str | None) -> ChatFormat:
        """Return the model's template, one of its named ones, or the one that is given as text."""

    def structure(
        self, kind: str, source: Any, *, spelled: Sequence[int] = (), frame: Frame | None = None
    ) -> _core.Structure:
        """Return what an output must look like, compiled."""


@dataclass(frozen=True, slots=True)
class AskedPrompt:
    """What a model is asked.

    Attributes:
        text: The prompt.
        token_ids: Its tokens, ``(n_tokens,)``.
        generation_prompt: What it ends with: the beginning of the model's turn.
    """

    text: str
    token_ids: NDArray[np.int32]
    generation_prompt: str


@dataclass(slots=True)
class ChatRequest:
    """A request and how its answer is read.

    Attributes:
        request: For the engine.
        parser: Finds reasoning and calls in the answer's text.
        opened: What the prompt ends with and the parser shall see: a tag that opens reasoning.
        tools: What can be called.
        output: What the content is turned into.
        prompt: What the model is asked.
    """

    request: Prepared
    parser: ChatReader
    opened: str
    tools: tuple[Tool, ...]
    output: OutputType[Any] | None
    prompt: AskedPrompt


class ChatCall:
    """The checked options of a chat, for any number of conversations. The time of ``timeout_s`` begins with it.

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
        # As clients of OpenAI's mean it: what is None is not given.
        given = {name: value for name, value in chatting.items() if value is not None}
        self._chat = chat = ChatOptions.from_keywords(given)
        self._call = Template(engine, params, {**sampling, **asked}, is_streaming=is_streaming, compiles=False)
        self._template = engine.chat_template(chat.chat_template)
        self._tools = tools_of(chat.tools)
        for tool in self._tools:
            check_parameters(tool)
        self._choice = choice = ToolChoice.of(chat.tool_choice, self._tools)
        self._shown = [tool for tool in self._tools if choice.name in (None, tool.name)]
        self._check_effects()
        self._reasons = self._checked_reasoning()
        if self._call.asked is not None and self._choice.mode == "required":
            raise InvalidRequestError(
                f"tool_choice={self._choice.name or 'required'!r} leaves no answer for a structure; give one of them",
                option="tool_choice",
            )

    def _checked_reasoning(self) -> bool | None:
        chat = self._chat
        switches = {
            "reasoning=False": chat.reasoning,
            "chat_template_kwargs={'enable_thinking': False}": chat.chat_template_kwargs.get("enable_thinking"),
        }
        for switch, value in switches.items():
            if chat.reasoning_budget is not None and value is False:
                raise InvalidRequestError(
                    f"reasoning_budget has no effect with {switch}; give one of them", option="reasoning_budget"
                )
        return chat.reasoning

    def _check_effects(self) -> None:
        chat = self._chat
        if chat.parallel_tool_calls and not self._tools:
            raise InvalidRequestError(
                "parallel_tool_calls=True has no effect without tools; leave it out", option="parallel_tool_calls"
            )
        if chat.chat_template_kwargs and self._template.source:
            # Some models have a template of its own for requests with tools.
            has_another = self._tools and chat.chat_template is None and _TOOL_USE in self._template.variants
            used = self._engine.chat_template(_TOOL_USE) if has_another else self._template
            check_variables(chat.chat_template_kwargs, used.source)

    def _check_switch(self, prepared: PreparedPrompt) -> None:
        # A template without the switch leaves it to the model, or knows no reasoning.
        if self._reasons is None or self._template.capabilities["enable_thinking"]:
            return
        if self._reasons != prepared.supports_thinking:
            problem = "knows no reasoning" if self._reasons else "cannot turn it off"
            raise UnsupportedError(
                f"reasoning={self._reasons}, but this model's template {problem}; leave it out", option="reasoning"
            )

    def render(self, messages: Messages) -> ChatPrompt:
        """Return the prompt, as text and as tokens; raises as ``prepare``."""
        if self._call.asked is None and self._reasons is None and self._choice.mode != "required":
            inputs = self._inputs(messages)
            prompt = self._template.render(inputs)
            if self._choice.mode == "none" or shows_tools(self._template, inputs, self._shown, prompt.text):
                check_documents(self._template, inputs, prompt.text)
                return prompt
        return self.prepare(messages).prompt  # the answer decides too

    def prepare(self, messages: Messages) -> ChatRequest:
        """Return the request for one conversation.

        Raises:
            InvalidRequestError: A message is not what it should be; the text says which.
            TemplateError: The template refuses the messages.
            UnsupportedError: The model's format cannot do what was asked for.
        """
        inputs = self._inputs(messages)
        prepared = self._template.prepare(inputs)
        self._check_switch(prepared)
        check_tools(self._template, inputs, self._shown, self._choice, prepared)
        check_documents(self._template, inputs, prepared.text)
        reasoning = Reasoning.of(prepared)
        opened = ""
        limits: dict[str, object] = {}
        if self._call.asked is not None:
            forced = self._forced(reasoning)
            opening = "" if forced is None or forced is reasoning else forced.start
            if _carries_structure(prepared, forced, opening):
                opened, reasoning = opening, forced
                limits = self._bare(prepared, reasoning, *self._call.asked)
            else:
                self._check_framed(self._call.asked[0])
                prepared = self._template.prepare({**inputs, "json_schema": MARKED})
                reasoning = Reasoning.of(prepared)
                limits = self._framed(prepared, *self._call.asked)
        elif prepared.grammar is not None:
            limits["structure"] = self._calls(prepared, prepared.grammar)
            limits["structure_start"] = _tools_start(prepared, reasoning)
        limits["spelled_token_ids"] = prepared.preserved_tokens
        limits["stop"] = [*self._call.stops, *prepared.stops]
        tokens = prepared.token_ids
        if opened:
            tokens = self._added(tokens, opened)
        if self._chat.reasoning_budget is not None:
            limits["reasoning"] = self._budget(reasoning, is_bare=self._call.asked is not None)
        request = self._call.prepare_tokens(tokens.tolist(), limits, "chatcmpl")
        request.output = None  # of the content, which is a part of the text
        prompt = AskedPrompt(prepared.text + opened, tokens, prepared.generation_prompt + opened)
        return ChatRequest(request, prepared.parser, opened, self._tools, self._call.output, prompt)

    def _added(self, tokens: NDArray[np.int32], text: str) -> NDArray[np.int32]:
        import numpy as np  # takes a while

        added = self._engine.encode(text, parse_special=True, add_special=False)
        return np.concatenate([tokens, np.array(added, dtype=np.int32)])

    def _forced(self, reasoning: Reasoning | None) -> Reasoning | None:
        # The model would choose between the tag and the structure: the prompt has the tag then.
        if reasoning is not None and reasoning.is_possible and self._reasons is not False:
            return replace(reasoning, is_open=True, is_possible=False)
        return reasoning

    def _calls(self, prepared: PreparedPrompt, grammar: str) -> _core.Structure:
        return self._engine.structure("grammar", grammar, spelled=prepared.preserved_tokens)

    def _bare(self, prepared: PreparedPrompt, reasoning: Reasoning | None, kind: str, source: Any) -> dict[str, object]:
        """Return the structure of an answer that begins at once, or behind reasoning."""
        structure = self._engine.structure(kind, source)
        if prepared.grammar is not None:
            structure = self._calls(prepared, prepared.grammar).either(structure)
        return {"structure": structure, "structure_start": reasoning.structure_start() if reasoning else None}

    def _check_framed(self, kind: str) -> None:
        problem = "cannot have another structure than JSON inside" if kind != "json_schema" else ""
        if self._tools and self._choice.mode != "none":
            problem = "cannot have a structure inside where tools can be called; give one of them"
        if problem:
            raise UnsupportedError(f"this model's answers have a format of their own, which {problem}")

    def _framed(self, marked: PreparedPrompt, kind: str, source: Any) -> dict[str, object]:
        """Return the structure of an output that has its answer inside of something."""
        frame = Frame.of(marked)
        if frame is None:
            raise UnsupportedError(
                "this model's answers have a format of their own, which cannot have a structure inside"
            )
        structure = self._engine.structure(kind, source, spelled=marked.preserved_tokens, frame=frame)
        return {"structure": structure, "structure_start": {"prefix": marked.generation_prompt}}

    def _budget(self, reasoning: Reasoning | None, *, is_bare: bool) -> tuple[int, str, list[str], list[int], bool]:
        if reasoning is None:
            raise UnsupportedError(
                "reasoning_budget needs a model whose template has tags around its reasoning; leave it out",
                option="reasoning_budget",
            )
        budget = self._chat.reasoning_budget
        assert budget is not None
        # A structure begins right behind the tag.
        text = reasoning.closing.rstrip() if is_bare else reasoning.closing
        closing = self._engine.encode(text, parse_special=True, add_special=False)
        return budget, reasoning.start, list(reasoning.ends), closing, reasoning.is_open

    def _inputs(self, messages: Messages) -> dict[str, object]:
        chat, tools = self._chat, self._shown
        can_call_several = self._template.capabilities["supports_parallel_tool_calls"]
        several = can_call_several if chat.parallel_tool_calls is None else chat.parallel_tool_calls
        return {
            "messages": to_json(normalized(messages)),
            "tools": _json([_declared(tool) for tool in tools], "tools") if tools else None,
            "tool_choice": self._choice.mode,
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


_TOOL_USE = "tool_use"
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


def _declared(tool: Tool) -> dict[str, Any]:
    return replace(tool, parameters=plain_references(tool.parameters)).to_dict()


def _carries_structure(prepared: PreparedPrompt, reasoning: Reasoning | None, opened: str) -> bool:
    # Some families write their answers inside of a frame, which a structure would forbid.
    thought = f"{opened}x{reasoning.ends[0]}" if reasoning is not None and reasoning.is_open else ""
    parsed = prepared.parser.parse(thought + "{}", False)
    return parsed is not None and parsed[0].strip() == "{}"


def _json(value: object, name: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as problem:
        raise InvalidRequestError(f"{name} cannot be written as JSON: {problem}", option=name) from None
