"""Tools that a model can call: from Python functions, or from JSON schemas in OpenAI's shape."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import inspect
import json
import re
import typing
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Literal, TypeAlias
from uuid import UUID

from inllama import docstrings
from inllama.errors import InvalidRequestError, UnsupportedError
from inllama.output_types import OutputType
from inllama.type_shapes import Part

ToolLike: TypeAlias = "Tool | Callable[..., Any] | Mapping[str, Any]"

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_WORDS = ("auto", "none", "required")


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that a model can ask for by name, with arguments.

    Attributes:
        name: At most 64 letters, digits and ``_ . -``.
        description: For the model: what it does and when to use it.
        parameters: JSON schema of its arguments, which are one object.
        function: What ``call`` runs, if it was made of a function.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    function: Callable[..., Any] | None = None
    _arguments: OutputType[dict[str, Any]] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or _NAME.fullmatch(self.name) is None:
            raise InvalidRequestError(
                f"the tool name {self.name!r} is not made of 1 to 64 letters, digits and '_', '.', '-'", name=self.name
            )
        if not isinstance(self.parameters, dict):
            raise TypeError(f"parameters must be a JSON schema, not {type(self.parameters).__name__}")
        kind = self.parameters.get("type", "object")
        if kind != "object":
            raise InvalidRequestError(
                f"the parameters of the tool {self.name!r} have the type {kind!r} but must have 'object'",
                name=self.name,
            )

    @classmethod
    def of(cls, tool: ToolLike) -> Tool:
        """Return the tool of a function or of a schema ``{"type": "function", "function": {...}}``.

        Raises:
            InvalidRequestError: The schema is no such schema, or the name has odd characters.
            UnsupportedError: A parameter of the function has no type, or none with a JSON form.
            TypeError: It is neither.
        """
        if isinstance(tool, Tool):
            return tool
        if isinstance(tool, Mapping):
            return _of_schema(tool)
        if not callable(tool) or isinstance(tool, type):
            raise TypeError(f"a tool must be a function or a JSON schema, not {_type_name(tool)}")
        return _of_function(tool)

    def to_dict(self) -> dict[str, Any]:
        """Return OpenAI's shape."""
        described = {"description": self.description} if self.description else {}
        return {"type": "function", "function": {"name": self.name, **described, "parameters": self.parameters}}

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """Call the function; of a coroutine function, return what is to be awaited.

        Args:
            arguments: As they came from the model; dataclasses, enums, dates and so on are made of them.

        Raises:
            InvalidRequestError: They do not fit the parameters, or the tool has no function.
        """
        if self.function is None or self._arguments is None:
            raise InvalidRequestError(f"the tool {self.name!r} is a schema without a function to call", name=self.name)
        for name in arguments:
            if name not in self.parameters["properties"]:
                known = ", ".join(self.parameters["properties"]) or "none"
                raise InvalidRequestError(f"{self.name} has no parameter {name!r}; it has {known}", parameter=name)
        # Those that were not given stay so: the function's own default may be no value of JSON.
        return self.function(**self._arguments.build(dict(arguments), f"the arguments of {self.name}"))


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether a model may, must not or must call tools.

    Attributes:
        mode: ``auto``, ``none`` or ``required``.
        name: The tool that is required, if only that one will do.
    """

    mode: Literal["auto", "none", "required"] = "auto"
    name: str | None = None

    @classmethod
    def of(cls, choice: ToolChoice | str | Mapping[str, Any], tools: Iterable[Tool]) -> ToolChoice:
        """Return the choice that a word, a tool's name or ``{"type": "function", "function": {"name": ...}}`` means.

        Raises:
            InvalidRequestError: No tool has that name, or one is required and there is none.
            TypeError: It is something else.
        """
        names = [tool.name for tool in tools]
        if isinstance(choice, ToolChoice):
            found = choice
        elif isinstance(choice, str):
            found = cls(choice) if choice in _WORDS else cls("required", choice)  # type: ignore[arg-type]
        elif isinstance(choice, Mapping):
            function = choice.get("function")
            name = function.get("name") if isinstance(function, Mapping) else None
            if choice.get("type") != "function" or not isinstance(name, str):
                shape = '{"type": "function", "function": {"name": ...}}'
                raise InvalidRequestError(f"tool_choice {dict(choice)!r} must look like {shape}", option="tool_choice")
            found = cls("required", name)
        else:
            raise TypeError(f"tool_choice must be text or a mapping, not {type(choice).__name__}")
        if found.name is not None and found.name not in names:
            known = ", ".join(names) or "none"
            raise InvalidRequestError(
                f"tool_choice is {found.name!r}, but the tools are: {known}", option="tool_choice", names=names
            )
        if found.mode == "required" and not names:
            raise InvalidRequestError("tool_choice is 'required' but there are no tools", option="tool_choice")
        return found


def tools_of(tools: Iterable[ToolLike] | None) -> tuple[Tool, ...]:
    """Return the tools of functions and schemas; of ``None``, none.

    Raises:
        InvalidRequestError: Two of them have one name; also as ``Tool.of``.
        TypeError: It is a single tool, or no iterable.
    """
    if tools is None:
        return ()
    if isinstance(tools, (str, Mapping, Tool)) or not isinstance(tools, Iterable):
        raise TypeError(f"tools must be a list of functions or JSON schemas, not {_type_name(tools)}")
    found = tuple(Tool.of(tool) for tool in tools)
    for name, n in Counter(tool.name for tool in found).items():
        if n > 1:
            raise InvalidRequestError(f"{n} tools have the name {name!r}; rename one", name=name)
    return found


def result_text(value: Any) -> str:
    """Return what a tool gave back as the text of a message: text as it is, everything else as JSON.

    Raises:
        TypeError: It has no JSON form.
        ValueError: It holds itself.
    """
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        return value
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (UUID, Decimal, PurePath)):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        return value.tolist()
    raise TypeError(f"a tool's result must have a JSON form, and {type(value).__name__} has none; return text")


def _of_schema(schema: Mapping[str, Any]) -> Tool:
    function = schema.get("function")
    if schema.get("type") != "function" or not isinstance(function, Mapping):
        shape = '{"type": "function", "function": {"name": ..., "parameters": {...}}}'
        raise InvalidRequestError(f"a tool's schema must look like {shape}, not {dict(schema)!r}")
    name = function.get("name")
    for key, value in function.items():
        kinds = _KINDS.get(key)
        if kinds is None:
            known = ", ".join(_KINDS)
            raise InvalidRequestError(f"the tool {name!r} has the key {key!r}; known are {known}", name=name, key=key)
        if value is not None and not isinstance(value, kinds):
            raise InvalidRequestError(
                f"{key} of the tool {name!r} must be {_NAMES[kinds]}, not {type(value).__name__}", name=name, key=key
            )
    if name is None:
        raise InvalidRequestError("a tool's schema has no name")
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    return Tool(name, function.get("description") or "", dict(parameters))


# Arguments are always held to the schema, whatever `strict` says.
_KINDS: dict[str, Any] = {"name": str, "description": str, "parameters": Mapping, "strict": bool}
_NAMES: dict[Any, str] = {str: "text", Mapping: "an object", bool: "true or false"}


def _of_function(function: Callable[..., Any]) -> Tool:
    inner: Any = function
    fixed: set[str] = set()
    while isinstance(inner, functools.partial):
        fixed |= set(inner.keywords)
        inner = inner.func
    name = getattr(inner, "__name__", None)
    if name is None:
        raise TypeError(f"a tool must be a function, not {_type_name(inner)}; give its method")
    texts = docstrings.read(inspect.getdoc(inner))
    parts = {
        parameter: part._replace(description=texts.parameters.get(parameter, ""))
        for parameter, part in _parameters(function, inner, name, fixed).items()
    }
    arguments = OutputType.of_parameters(name, parts)
    tool = Tool(name, texts.summary, arguments.schema, function)
    object.__setattr__(tool, "_arguments", arguments)
    return tool


def _parameters(function: Any, inner: Any, name: str, fixed: set[str]) -> dict[str, Part]:
    try:
        parameters = inspect.signature(function).parameters.values()
        hints = typing.get_type_hints(inner, include_extras=True)
    except (NameError, TypeError, ValueError) as error:
        raise UnsupportedError(
            f"the signature of {name} cannot be read: {error}; import what it names", name=name
        ) from None
    found = {}
    for parameter in parameters:
        if parameter.name in fixed:
            continue
        problem = _REFUSED.get(parameter.kind)
        if problem is None and parameter.name not in hints:
            problem = f"has no type; write {parameter.name}: str, or what it is"
        if problem is not None:
            raise UnsupportedError(
                f"the parameter {parameter.name} of {name} {problem}", name=name, parameter=parameter.name
            )
        is_required = parameter.default is inspect.Parameter.empty
        found[parameter.name] = Part(hints[parameter.name], is_required, parameter.default)
    return found


_REFUSED: dict[Any, str] = {
    inspect.Parameter.POSITIONAL_ONLY: "is positional only, but arguments come by name; remove the '/'",
    inspect.Parameter.VAR_POSITIONAL: "takes any number of arguments, which have no names; use a list",
    inspect.Parameter.VAR_KEYWORD: "takes any names, which a model does not know; name its parameters",
}


def _type_name(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
