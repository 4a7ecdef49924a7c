"""JSON Schema as a grammar: what cannot be enforced raises instead of being left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import unquote

from inllama.errors import GrammarError
from inllama.json_text import finite
from inllama.structure.ebnf import Grammar
from inllama.structure.json_object import ObjectRules
from inllama.structure.json_text import JsonText, json_literal
from inllama.structure.json_values import array_rule, number_rule, string_rule
from inllama.structure.keywords import ANNOTATIONS, ENFORCED, OF_TYPE, REMEDIES
from inllama.structure.one_of import require_disjoint
from inllama.structure.place import Place

MAX_BYTES = 1 << 20
MAX_DEPTH = 128

_NAMES = ("string", "number", "integer", "boolean", "null", "array", "object")


def schema_text(schema: Mapping[str, Any] | str | bool) -> str:
    """Return a schema as JSON text.

    Raises:
        GrammarError: It is no JSON, or too large.
    """
    if isinstance(schema, str):
        text = schema
    else:
        try:
            text = json.dumps(schema, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError) as problem:
            raise GrammarError(f"the JSON schema is no JSON: {problem}", pointer="") from None
    if len(text) > MAX_BYTES:
        raise GrammarError(
            f"the JSON schema has {len(text)} characters, the limit is {MAX_BYTES}; make it smaller",
            pointer="",
            limit=MAX_BYTES,
        )
    return text


def schema_grammar(text: str) -> str:
    """Return the grammar of the JSON values that a schema, given as JSON text, allows.

    Raises:
        GrammarError: The schema cannot be enforced, or allows nothing; ``.pointer`` says where.
    """
    try:
        schema = json.loads(text, parse_constant=_refuse_constant, parse_float=finite)
    except RecursionError:
        raise GrammarError(f"the JSON schema is nested more than {MAX_DEPTH} deep", pointer="") from None
    except ValueError as problem:
        raise GrammarError(f"the JSON schema is no JSON: {problem}", pointer="") from None
    try:
        json.dumps(schema, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise GrammarError("the JSON schema has a lone surrogate, which is no Unicode text", pointer="") from None
    return _Schema(schema).grammar()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


class _Schema:
    """Writes the rules of one schema. References are rules of their own, written one after the other."""

    def __init__(self, schema: Any) -> None:
        self._root = schema
        self._grammar = Grammar()
        self._json = JsonText(self._grammar)
        self._objects = ObjectRules(self._grammar, self._json, self.rule)
        self._rules: dict[str, str] = {}  # by pointer
        self._waiting: list[tuple[str, str]] = []
        self._writing = ""  # the rule of the reference that is written
        # From a reference to those that its value can be as it stands.
        self._same: dict[str, set[str]] = {}

    def grammar(self) -> str:
        root = self._reference("")
        while self._waiting:
            pointer, name = self._waiting.pop()
            self._writing = name
            place = Place(pointer)
            self._grammar.define(name, [self.rule(self._find(pointer, place), place, is_same=True)])
        self._check_circles()
        endless = self._grammar.endless()
        for pointer, name in self._rules.items():
            if name in endless:
                Place(pointer).fail(
                    "no value of this ends: it requires itself; let what it refers to be missing or null"
                )
        return self._grammar.text(f"{self._json.space} {root}")

    def rule(self, schema: Any, place: Place, *, is_same: bool = False) -> str:
        """Return the element for the values of a schema; ``is_same``: nothing of the value comes before it."""
        if schema is True or schema == {}:
            return self._json.any
        if schema is False:
            place.fail("false allows no value; leave out what refers to it")
        if not isinstance(schema, dict):
            place.fail(f"a schema must be an object or a boolean, not {json.dumps(schema)[:40]}")
        if place.depth > MAX_DEPTH:
            place.fail(f"the schema is nested more than {MAX_DEPTH} deep; give its inner parts names in '$defs'")
        self._check_known(schema, place)
        used = {key for key in schema if key in ENFORCED}
        if not used:
            return self._json.any
        if "$ref" in used:
            return self._referred(schema, place, used, is_same=is_same)
        for keyword in ("enum", "const"):
            if keyword in used:
                return self._values(schema, place, keyword, used)
        for keyword in ("anyOf", "oneOf", "allOf"):
            if keyword in used:
                return self._combined(schema, place, keyword, used, is_same=is_same)
        types = self._types(schema, place, used)
        return self._grammar.rule(*(self._typed(schema, place, kind, used) for kind in types))

    def _check_known(self, schema: dict[str, Any], place: Place) -> None:
        for key in schema:
            if key in ENFORCED or (key in ANNOTATIONS and (key != "$id" or place.pointer == "")):
                continue
            if key.startswith("x-"):
                continue
            remedy = REMEDIES.get(key, "remove it, or check it afterwards")
            place.fail(f"'{key[:60]}' cannot be enforced; {remedy}", keyword=key)

    def _only(self, place: Place, keyword: str, used: set[str], *allowed: str) -> None:
        others = sorted(used - {keyword, *allowed})
        if others:
            place.fail(f"'{others[0]}' beside '{keyword}' cannot be enforced; move it into what '{keyword}' names")

    # ------------------------------------------------------------------------------------------------- references

    def _referred(self, schema: dict[str, Any], place: Place, used: set[str], *, is_same: bool) -> str:
        self._only(place, "$ref", used)
        target = schema["$ref"]
        here = place / "$ref"
        if not isinstance(target, str):
            here.fail("must be a text such as '#/$defs/name'")
        if target != "#" and not target.startswith("#/"):
            here.fail(f"'{target[:80]}' is not inside the schema, and nothing is fetched; put it into '$defs'")
        pointer = unquote(target[1:])
        self._find(pointer, here)
        name = self._reference(pointer)
        if is_same:
            self._same.setdefault(self._writing, set()).add(name)
        return name

    def _reference(self, pointer: str) -> str:
        if pointer not in self._rules:
            self._rules[pointer] = self._grammar.reserve()
            self._waiting.append((pointer, self._rules[pointer]))
        return self._rules[pointer]

    def _find(self, pointer: str, place: Place) -> Any:
        found = self._root
        for part in pointer.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isascii() and key.isdigit() and int(key[:9]) < len(found):
                found = found[int(key)]
            else:
                place.fail(f"refers to '#{pointer[:80]}', which is not there")
        return found

    def _check_circles(self) -> None:
        for pointer, name in self._rules.items():
            reached: set[str] = set()
            todo = [name]
            while todo:
                for other in self._same.get(todo.pop(), ()):
                    if other == name:
                        Place(pointer).fail("refers to itself without anything around it, so it says nothing")
                    if other not in reached:
                        reached.add(other)
                        todo.append(other)

    # ------------------------------------------------------------------------------------------- values and choices

    def _values(self, schema: dict[str, Any], place: Place, keyword: str, used: set[str]) -> str:
        self._only(place, keyword, used, "type")
        values = [schema["const"]] if keyword == "const" else schema["enum"]
        if not isinstance(values, list):
            (place / "enum").fail("must be a list of values")
        if "type" in used:
            types = self._type_names(schema["type"], place / "type")
            values = [value for value in values if any(is_of_type(value, name) for name in types)]
        if not values:
            (place / keyword).fail("allows no value of the type; give one" if "type" in used else "allows no value")
        return self._grammar.rule(*dict.fromkeys(json_literal(value) for value in values))

    def _combined(self, schema: dict[str, Any], place: Place, keyword: str, used: set[str], *, is_same: bool) -> str:
        self._only(place, keyword, used, "type")
        options = schema[keyword]
        here = place / keyword
        if not isinstance(options, list) or not options:
            here.fail("must be a list of schemas")
        if keyword == "allOf" and len(options) > 1:
            here.fail("several schemas at once cannot be enforced; write them as one")
        if "type" in used:
            options = [self._with_type(option, schema["type"], here / index) for index, option in enumerate(options)]
        if keyword == "oneOf":
            require_disjoint(options, here, self._find)
        found = [
            self.rule(option, here / index, is_same=is_same)
            for index, option in enumerate(options)
            if option is not False
        ]
        if not found:
            here.fail("allows no value")
        return self._grammar.rule(*dict.fromkeys(found))

    def _with_type(self, option: Any, kind: Any, place: Place) -> Any:
        if not isinstance(option, dict) or option.get("type", kind) != kind or "$ref" in option:
            place.fail("'type' beside it cannot be enforced; move it into each schema")
        return {**option, "type": kind}

    # ------------------------------------------------------------------------------------------------------- types

    def _types(self, schema: dict[str, Any], place: Place, used: set[str]) -> list[str]:
        if "type" in used:
            names = self._type_names(schema["type"], place / "type")
            return [name for name in names if name != "integer" or "number" not in names]
        # What is said about one type only is meant to be of that type.
        kinds = [name for name in ("object", "array", "string", "number") if used & OF_TYPE[name]]
        if len(kinds) != 1:
            first, second = (sorted(used & OF_TYPE[name])[0] for name in kinds[:2])
            place.fail(f"'{first}' and '{second}' are about different types; say which with 'type'")
        return kinds

    def _type_names(self, kind: Any, place: Place) -> list[str]:
        names = kind if isinstance(kind, list) else [kind]
        for name in names:
            if name not in _NAMES:
                place.fail(f"{json.dumps(name)[:40]} is no type; there are {', '.join(_NAMES)}")
        if not names:
            place.fail("allows no type")
        return list(dict.fromkeys(names))

    def _typed(self, schema: dict[str, Any], place: Place, kind: str, used: set[str]) -> str:
        mine = {key: schema[key] for key in schema if key in used and key in OF_TYPE[kind]}
        if kind == "object":
            return self._objects.rule(mine, place)
        if kind == "array":
            return array_rule(mine, place, self._json, self.rule)
        if kind == "string":
            return string_rule(mine, place, self._json)
        if kind in ("number", "integer"):
            return number_rule(mine, place, self._json, self._grammar, is_integer=kind == "integer")
        return self._json.boolean if kind == "boolean" else '"null"'


def is_of_type(value: Any, name: str) -> bool:
    """Return whether a JSON value is of a type of JSON Schema."""
    if isinstance(value, bool) or value is None:
        return name == ("null" if value is None else "boolean")
    if isinstance(value, (int, float)):
        return name == "number" or (name == "integer" and value == int(value))
    kinds = ((str, "string"), (list, "array"), (dict, "object"))
    return any(isinstance(value, kind) and name == word for kind, word in kinds)
