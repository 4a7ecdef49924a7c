"""What is asked of a chat template and would be left out without a word: refused, with what to do instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from inllama.chat_format import ChatFormat, PreparedPrompt
from inllama.errors import GrammarError, InvalidRequestError, UnsupportedError
from inllama.schema_check import check_schema
from inllama.tools import Tool, ToolChoice

_MAX_VARIABLES = 1000
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# llama.cpp sets these variables too.
_ALIASES: dict[str, frozenset[str]] = {
    "preserve_reasoning": frozenset(
        {"preserve_thinking", "clear_thinking", "truncate_history_thinking", "drop_thinking"}
    ),
    "reasoning_effort": frozenset({"reasoning_strength"}),
}
_REMEDY = "give another template with chat_template=, or use a model whose template does"


def check_parameters(tool: Tool) -> None:
    """Raise ``GrammarError`` if the arguments of a tool cannot be held to its schema."""
    from inllama.structure import grammar_of  # with the first tool: it takes a while

    try:
        grammar_of("json_schema", tool.parameters)
        check_schema(tool.parameters)  # the arguments are checked again when they are there
    except (GrammarError, UnsupportedError) as problem:
        raise GrammarError(f"the parameters of {tool.name}: {problem}", **problem.fields, tool=tool.name) from None


def check_variables(names: Iterable[str], source: str) -> None:
    """Raise ``InvalidRequestError`` for a variable that the text of a template never mentions."""
    names = list(names)
    if len(names) > _MAX_VARIABLES:
        raise InvalidRequestError(
            f"chat_template_kwargs has {len(names)} variables and at most {_MAX_VARIABLES} are possible",
            option="chat_template_kwargs",
            limit=_MAX_VARIABLES,
        )
    words = {"enable_thinking", *_WORD.findall(source)}  # llama.cpp knows this one itself
    for name in names:
        if name in words or words & _ALIASES.get(name, frozenset()):
            continue
        near = difflib.get_close_matches(name, sorted(words), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; leave it out"
        raise InvalidRequestError(
            f"chat_template_kwargs has {name!r}, which this template does not mention{hint}",
            option="chat_template_kwargs",
            name=name,
        )


def check_documents(template: ChatFormat, inputs: Mapping[str, object], text: str) -> None:
    """Raise ``UnsupportedError`` for documents that do not change ``text``, the prompt with them."""
    if inputs["documents"] is not None and template.render({**inputs, "documents": None}).text == text:
        raise UnsupportedError(
            f"this model's template shows no documents; put them into a message, {_REMEDY}", option="documents"
        )


def check_tools(
    template: ChatFormat,
    inputs: Mapping[str, object],
    tools: Sequence[Tool],
    choice: ToolChoice,
    prepared: PreparedPrompt,
) -> None:
    """Raise ``UnsupportedError`` for tools that the model is not shown, and for calls that cannot be enforced."""
    if choice.mode == "none" or prepared.grammar is not None:
        return
    if choice.mode == "required":
        raise UnsupportedError(
            f"tool_choice={choice.name or 'required'!r} cannot be enforced, since this model's template has no format "
            f"of calls; leave it out, {_REMEDY}",
            option="tool_choice",
        )
    if not shows_tools(template, inputs, tools, prepared.text):
        raise UnsupportedError(
            f"this model's template does not show tools to the model; leave them out, {_REMEDY}", option="tools"
        )


def shows_tools(template: ChatFormat, inputs: Mapping[str, object], tools: Sequence[Tool], text: str) -> bool:
    """Whether a prompt tells the model about all of its tools."""
    if not all(tool.name in text for tool in tools):
        return False
    if not tools or template.capabilities["supports_tools"]:
        return True
    # Their names can also stand in messages.
    return template.render({**inputs, "tools": None, "kwargs": {}}).text != text
