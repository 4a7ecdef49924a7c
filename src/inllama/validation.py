"""Checks a value against a JSON schema: the subset of 2020-12 that generation can follow, and nothing beyond it.

A keyword that is not known here raises instead of being skipped. Depth and work are bounded, patterns are matched
without backtracking, and a reference never leaves the schema.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote

from inllama import formats
from inllama.errors import InvalidRequestError, UnsupportedError
from inllama.json_text import child
from inllama.patterns import compiled

MAX_DEPTH = 200
MAX_STEPS = 200_000

Schema: TypeAlias = "Mapping[str, Any] | bool"


class Violation(NamedTuple):
    """Where a value breaks its schema.

    Attributes:
        pointer: JSON pointer of the part that does; empty for the whole value.
        keyword: The keyword that it breaks.
        problem: What is wrong and what would be right, to be read after the pointer.
    """

    pointer: str
    keyword: str
    problem: str

    def error(self, what: str) -> InvalidRequestError:
        """Return it as an error; ``what`` names the whole value."""
        place = f"{what} at {self.pointer}" if self.pointer else what
        return InvalidRequestError(f"{place} {self.problem}", pointer=self.pointer, keyword=self.keyword)


def validate(instance: Any, schema: Schema, *, what: str = "the value") -> None:
    """Raise if ``instance``, as ``json.loads`` gives it, does not fit ``schema``.

    Args:
        instance: The value.
        schema: Its JSON schema.
        what: The value's name in errors.

    Raises:
        InvalidRequestError: It does not fit; ``.pointer`` and ``.keyword`` say where first.
        UnsupportedError: The schema has something that is not checked, or needs too much depth or work.
    """
    violation = Validation(schema).violation(instance)
    if violation is not None:
        raise violation.error(what)


class Validation:
    """A schema, and what was spent on checking against it. One user at a time."""

    def __init__(self, schema: Schema) -> None:
        self._root = schema
        self._n_steps = 0
        # By identity, with the part of the schema, which keeps it.
        self._rules: dict[int, tuple[Any, list[Rule]]] = {}

    def violation(self, value: Any, schema: Schema | None = None, at: str = "") -> Violation | None:
        """Return the first violation of the schema, or of a part of it."""
        try:
            return self._check(value, self._root if schema is None else schema, at, 0)
        except RecursionError:  # the caller stood near the end of the stack
            raise _unsupported("the schema is nested too deeply to be checked here") from None

    def _check(self, value: Any, schema: Any, at: str, depth: int) -> Violation | None:
        self._n_steps += 1
        if depth > MAX_DEPTH:
            raise _unsupported(f"the schema and the value go deeper than {MAX_DEPTH} levels, or for ever", at=at)
        if self._n_steps > MAX_STEPS:
            raise _unsupported(f"the schema needs more than {MAX_STEPS} steps to be checked", at=at)
        if isinstance(schema, bool):
            return None if schema else Violation(at, "false", "is not allowed to be there")
        if not isinstance(schema, Mapping):
            raise _unsupported(f"a schema must be an object or a boolean, not {_type_name(schema)}", at=at)
        known = self._rules.get(id(schema))
        if known is None:
            known = self._rules[id(schema)] = (schema, rules_of(schema, at))
        for rule in known[1]:
            violation = rule.check(self, value, schema, at, depth + 1)
            if violation is not None:
                return violation
        return None

    # ------------------------------------------------------------------------------------------------ any value

    def _reference(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> Violation | None:
        return self._check(value, self.resolve(schema["$ref"]), at, depth)

    def resolve(self, reference: str) -> Any:
        """Return the schema that a ``$ref`` names; raises ``UnsupportedError`` if there is none."""
        if reference != "#" and not reference.startswith("#/"):
            raise _unsupported(f"$ref {reference!r} leaves the schema; use '#/$defs/...'", reference=reference)
        found: Any = self._root
        for part in reference[2:].split("/") if reference != "#" else ():
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and key in found:
                found = found[key]
            elif isinstance(found, list) and key in map(str, range(len(found))):
                found = found[int(key)]
            else:
                raise _unsupported(f"$ref {reference!r} names nothing in the schema", reference=reference)
        return found

    def _type(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> Violation | None:
        names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        for name in names:
            if not isinstance(name, str) or name not in _TYPES:
                raise _unsupported(f"the type {name!r} is none of a JSON schema", at=at)
            if _TYPES[name](value):
                return None
        return Violation(at, "type", f"is {_shown(value)}, which is no {' or '.join(names)}")

    def _enum(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> Violation | None:
        if any(equal(value, one) for one in schema["enum"]):
            return None
        return Violation(at, "enum", f"is {_shown(value)}, which is none of {_shown(schema['enum'], 200)}")

    def _const(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> Violation | None:
        if equal(value, schema["const"]):
            return None
        return Violation(at, "const", f"is {_shown(value)} but must be {_shown(schema['const'])}")

    def _all_of(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> Violation | None:
        return next(self._violations(value, schema["allOf"], at, depth), None)

    def _any_of(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> Violation | None:
        violations = []
        for one in schema["anyOf"]:
            violation = self._check(value, one, at, depth)
            if violation is None:
                return None
            violations.append(violation)
        return _nearest(violations, at, "anyOf", value)

    def _one_of(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> Violation | None:
        violations = list(self._violations(value, schema["oneOf"], at, depth))
        n_fitting = len(schema["oneOf"]) - len(violations)
        if n_fitting > 1:
            return Violation(at, "oneOf", f"is {_shown(value)}, which fits {n_fitting} alternatives and not just one")
        return None if n_fitting == 1 else _nearest(violations, at, "oneOf", value)

    def _violations(self, value: Any, schemas: list[Any], at: str, depth: int) -> Iterator[Violation]:
        for one in schemas:
            violation = self._check(value, one, at, depth)
            if violation is not None:
                yield violation

    # -------------------------------------------------------------------------------------------------- objects

    def _required(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> Violation | None:
        missing = [name for name in schema["required"] if isinstance(value, dict) and name not in value]
        return Violation(at, "required", f"has no {missing[0]!r}") if missing else None

    def _properties(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> Violation | None:
        if not isinstance(value, dict):
            return None
        named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        others = schema.get("additionalProperties", schema.get("unevaluatedProperties", True))
        for name, member in value.items():
            schemas = [named[name]] if name in named else []
            schemas += [one for pattern, one in patterns.items() if compiled(pattern).search(name)]
            if not schemas and others is False:
                return Violation(at, "additionalProperties", f"has {name!r}, which is not allowed there")
            for one in schemas or [others]:
                violation = self._check(member, one, child(at, name), depth)
                if violation is not None:
                    return violation
        return None

    def _property_names(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> Violation | None:
        for name in value if isinstance(value, dict) else ():
            violation = self._check(name, schema["propertyNames"], at, depth)
            if violation is not None:
                return Violation(at, "propertyNames", f"has the name {name!r}, which {violation.problem}")
        return None

    # --------------------------------------------------------------------------------------------------- arrays

    def _items(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> Violation | None:
        if not isinstance(value, list):
            return None
        first, others = schema.get("prefixItems", []), schema.get("items", schema.get("unevaluatedItems", True))
        if others is False and len(value) > len(first):
            return Violation(at, "items", f"has {len(value)} items but must have at most {len(first)}")
        for i, item in enumerate(value):
            violation = self._check(item, first[i] if i < len(first) else others, child(at, i), depth)
            if violation is not None:
                return violation
        return None

    def _unique(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> Violation | None:
        if not isinstance(value, list) or not schema["uniqueItems"]:
            return None
        for i, item in enumerate(value):
            self._n_steps += i
            if self._n_steps > MAX_STEPS:
                raise _unsupported(f"the schema needs more than {MAX_STEPS} steps to be checked", at=at)
            if any(equal(item, other) for other in value[:i]):
                return Violation(at, "uniqueItems", f"has {_shown(item)} twice")
        return None

    # -------------------------------------------------------------------------------------------------- strings

    def _pattern(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> Violation | None:
        if not isinstance(value, str) or compiled(schema["pattern"]).search(value):
            return None
        return Violation(at, "pattern", f"is {_shown(value)}, which does not match {schema['pattern']!r}")

    def _format(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> Violation | None:
        name = schema["format"]
        if name not in formats.PATTERNS:
            raise _unsupported(f"the format {name!r} is not supported", format=name, at=at)
        if not isinstance(value, str) or formats.has_format(value, name):
            return None
        return Violation(at, "format", f"is {_shown(value)}, which is no {name}")


class Rule(NamedTuple):
    """What keywords of a schema demand together.

    Attributes:
        check: From the value, the schema, the pointer and the depth to the first violation.
        keywords: Any of them calls for the check; with what can stand behind it.
    """

    check: Callable[[Validation, Any, Mapping[str, Any], str, int], Violation | None]
    keywords: Mapping[str, type | tuple[type, ...]]


def is_number(value: Any) -> bool:
    """Whether it is a number of JSON; ``True`` is none."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def is_integer(value: Any) -> bool:
    """Whether it is a number of JSON without a fraction, such as ``1`` and ``1.0``."""
    return is_number(value) and (isinstance(value, int) or value.is_integer())


def equal(left: Any, right: Any) -> bool:
    """Whether two values are the same in JSON, where ``1`` is ``1.0`` and not ``true``. No recursion."""
    pairs = [(left, right)]
    while pairs:
        one, other = pairs.pop()
        if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
            pairs.extend(zip(one, other, strict=True))
        elif isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
            pairs.extend((member, other[name]) for name, member in one.items())
        elif isinstance(one, (list, dict)) or isinstance(one, bool) is not isinstance(other, bool) or one != other:
            return False
    return True


def _limit(keyword: str, kind: type, fits: Callable[[Any, Any], bool], text: str) -> Rule:
    """Return the rule of a keyword that limits a number itself, and the length of everything else."""

    def check(_: Validation, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> Violation | None:
        if not (is_number(value) if kind is float else isinstance(value, kind)):
            return None
        found, limit = (value if kind is float else len(value)), schema[keyword]
        return None if fits(found, limit) else Violation(at, keyword, text.format(_shown(found), _shown(limit)))

    return Rule(check, {keyword: (int, float)})


def _is_multiple(number: Any, divisor: Any) -> bool:
    return divisor > 0 and _exact(number) % _exact(divisor) == 0


def _exact(number: Any) -> Fraction:
    # The decimal number as it is written: 0.3 is a multiple of 0.1.
    return Fraction(number) if isinstance(number, int) else Fraction(str(number))


_SCHEMA = (Mapping, bool)
# In the order in which violations are reported. Keywords that belong together are one rule: if each checked the same
# members again, the work would double with every level.
_RULES = (
    Rule(Validation._reference, {"$ref": str}),
    Rule(Validation._type, {"type": (str, list)}),
    Rule(Validation._enum, {"enum": list}),
    Rule(Validation._const, {"const": object}),
    _limit("minimum", float, operator.ge, "is {} but must be at least {}"),
    _limit("exclusiveMinimum", float, operator.gt, "is {} but must be above {}"),
    _limit("maximum", float, operator.le, "is {} but must be at most {}"),
    _limit("exclusiveMaximum", float, operator.lt, "is {} but must be below {}"),
    _limit("multipleOf", float, _is_multiple, "is {} but must be a multiple of {}"),
    _limit("minLength", str, operator.ge, "has {} characters but must have at least {}"),
    _limit("maxLength", str, operator.le, "has {} characters but must have at most {}"),
    Rule(Validation._pattern, {"pattern": str}),
    Rule(Validation._format, {"format": str}),
    _limit("minItems", list, operator.ge, "has {} items but must have at least {}"),
    _limit("maxItems", list, operator.le, "has {} items but must have at most {}"),
    Rule(Validation._items, {"prefixItems": list, "items": _SCHEMA, "unevaluatedItems": _SCHEMA}),
    Rule(Validation._unique, {"uniqueItems": bool}),
    _limit("minProperties", dict, operator.ge, "has {} members but must have at least {}"),
    _limit("maxProperties", dict, operator.le, "has {} members but must have at most {}"),
    Rule(Validation._required, {"required": list}),
    Rule(Validation._property_names, {"propertyNames": _SCHEMA}),
    Rule(
        Validation._properties,
        {
            **{"properties": Mapping, "patternProperties": Mapping},
            **{"additionalProperties": _SCHEMA, "unevaluatedProperties": _SCHEMA},
        },
    ),
    Rule(Validation._all_of, {"allOf": list}),
    Rule(Validation._any_of, {"anyOf": list}),
    Rule(Validation._one_of, {"oneOf": list}),
)
_RANKS = {keyword: rank for rank, rule in enumerate(_RULES) for keyword in rule.keywords}
# These look into what others have checked of the same value.
UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")
_APPLIERS = ("$ref", "allOf", "anyOf", "oneOf")
_ENCODER = json.JSONEncoder(ensure_ascii=False, default=repr)
_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": is_integer,
    "number": is_number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def rules_of(schema: Mapping[str, Any], at: str) -> list[Rule]:
    """Return what a schema demands, apart from its parts; raises ``UnsupportedError`` for what is not checked."""
    from inllama.structure.keywords import ANNOTATIONS  # with the first check: it takes a while

    ranks = set()
    for keyword, argument in schema.items():
        if keyword in ANNOTATIONS or keyword.startswith("x-"):
            continue
        rank = _RANKS.get(keyword)
        if rank is None or (keyword in UNEVALUATED and any(other in schema for other in _APPLIERS)):
            raise _unsupported(f"the schema's keyword {keyword!r} is not supported", keyword=keyword, at=at)
        kinds = _RULES[rank].keywords[keyword]
        if not isinstance(argument, kinds) or (isinstance(argument, bool) and kinds == (int, float)):
            raise _unsupported(f"{keyword} cannot be {_shown(argument)} in a schema", keyword=keyword, at=at)
        ranks.add(rank)
    return [_RULES[rank] for rank in sorted(ranks)]


def _nearest(violations: list[Violation], at: str, keyword: str, value: Any) -> Violation:
    # The alternative that fitted furthest down is most likely the one that was meant.
    deepest = max(violations, key=lambda one: len(one.pointer), default=None)
    if deepest is not None and (len(deepest.pointer) > len(at) or len(violations) == 1):
        return deepest
    return Violation(at, keyword, f"is {_shown(value)}, which fits none of {len(violations)} alternatives")


def _shown(value: Any, limit: int = 60) -> str:
    """Return the beginning of its JSON text, without writing all of it."""
    text = ""
    try:
        for piece in _ENCODER.iterencode(value):
            text += piece
            if len(text) > limit:
                return text[:limit] + "…"
    except ValueError:  # Python writes no integer of more than 4300 digits
        return f"{text}…"
    return text


def _type_name(value: Any) -> str:
    return next((name for name, is_type in _TYPES.items() if is_type(value)), type(value).__name__)


def _unsupported(text: str, **fields: Any) -> UnsupportedError:
    return UnsupportedError(text, **fields)
