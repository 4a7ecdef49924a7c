"""The keywords of JSON Schema about objects."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from inllama.structure.characters import Characters, literal, plain_pattern
from inllama.structure.ebnf import Grammar, matching
from inllama.structure.json_text import PLAIN, SHORT_ESCAPES, JsonText
from inllama.structure.json_values import Write, counts, string_rule
from inllama.structure.place import Place

# Of neighbours, in a whole schema: 2,000 members that may be missing compile in half a second.
_MAX_OPTIONAL_PAIRS = 2_000_000


@dataclass(slots=True)
class _Node:
    """A beginning of names: what may follow it, and whether it is a whole one."""

    is_name: bool = False
    children: dict[str, _Node] = field(default_factory=dict)


class ObjectRules:
    """Writes the rules of objects.

    Args:
        grammar: Where.
        text: The parts of JSON texts.
        write: Writes the schema of a member.
    """

    def __init__(self, grammar: Grammar, text: JsonText, write: Write) -> None:
        self._grammar = grammar
        self._json = text
        self._write = write
        self._n_optional_pairs = 0

    def rule(self, schema: dict[str, Any], place: Place) -> str:
        """Return the rule of the objects that a schema allows."""
        if schema.get("unevaluatedProperties", False) is not False:
            (place / "unevaluatedProperties").fail("only false can be enforced; use 'additionalProperties'")
        if "patternProperties" in schema:
            return self._by_pattern(schema, place)
        properties = self._properties(schema, place)
        others = self._others(schema, place, has_properties=bool(properties))
        if not properties:
            return self._free(schema, place, others)
        if "propertyNames" in schema:
            place.fail("'propertyNames' beside 'properties' or 'required' cannot be enforced; remove it")
        self._check_counts(schema, place, properties, has_others=others is not None)
        self._count_optional(place, sum(not is_required for _, is_required in properties.values()))
        return self._fixed(properties, others)

    # --------------------------------------------------------------------------------------------- named properties

    def _properties(self, schema: dict[str, Any], place: Place) -> dict[str, tuple[str, bool]]:
        """Return the rule of each member by its name, and whether it is required."""
        declared = schema.get("properties", {})
        required = schema.get("required", [])
        here = place / "properties"
        if not isinstance(declared, dict):
            here.fail("must be an object of schemas")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            (place / "required").fail("must be a list of names")
        needed = set(required)
        found: dict[str, tuple[str, bool]] = {}
        for name, inner in declared.items():
            if inner is False and name not in needed:
                continue  # it is never there
            found[name] = (self._member(name, self._write(inner, here / name)), name in needed)
        rest = schema.get("additionalProperties", True)
        for name in dict.fromkeys(required):
            if name in found:
                continue
            if rest is False or "unevaluatedProperties" in schema:
                (place / "required").fail(f"'{name[:60]}' is required but not allowed; declare it in 'properties'")
            found[name] = (self._member(name, self._write(rest, place / "additionalProperties")), True)
        return found

    def _member(self, name: str, value: str) -> str:
        key = literal(json.dumps(name, ensure_ascii=False))
        return self._grammar.rule(f"{key} {self._json.colon} {value}")

    def _others(self, schema: dict[str, Any], place: Place, *, has_properties: bool) -> str | None:
        """Return the rule of the values of all other members; ``None`` if there are none."""
        is_free = not has_properties and "unevaluatedProperties" not in schema and "properties" not in schema
        rest = schema.get("additionalProperties", is_free)
        return None if rest is False else self._write(rest, place / "additionalProperties")

    def _check_counts(
        self, schema: dict[str, Any], place: Place, properties: dict[str, tuple[str, bool]], *, has_others: bool
    ) -> None:
        minimum, maximum = counts(schema, place, "minProperties", "maxProperties")
        n_required = sum(is_required for _, is_required in properties.values())
        if maximum is not None and n_required > maximum:
            place.fail(f"'required' names {n_required} members but 'maxProperties' is {maximum}")
        if not has_others and minimum > len(properties):
            place.fail(f"'minProperties' is {minimum} but only {len(properties)} members are allowed")
        if minimum > n_required:
            (place / "minProperties").fail("cannot be enforced with 'properties'; require some of them by name")
        if maximum is not None and (has_others or maximum < len(properties)):
            (place / "maxProperties").fail(
                "cannot be enforced with 'properties'; leave out members that may be missing"
            )

    def _count_optional(self, place: Place, n_optional: int) -> None:
        # Any of them can follow any earlier one.
        self._n_optional_pairs += n_optional**2 // 2
        if self._n_optional_pairs > _MAX_OPTIONAL_PAIRS:
            (place / "properties").fail(
                f"has {n_optional} members that may be missing, of which each can follow each; make some required"
            )

    def _fixed(self, properties: dict[str, tuple[str, bool]], others: str | None) -> str:
        """Return the objects with members in this order, then any number of others."""
        after, first = '""', '""'
        if others is not None:
            other = self._grammar.rule(f"{self._other_name(properties)} {self._json.colon} {others}")
            after = self._grammar.rule(f"({self._json.comma} {other})*")
            first = self._grammar.rule('""', f"{other} {after}")
        # From the last member to the first: what may come behind some member, and what if none came yet.
        for member, is_required in reversed(properties.values()):
            with_after, with_first = f"{self._json.comma} {member} {after}", f"{member} {after}"
            first = self._grammar.rule(with_first) if is_required else self._grammar.rule(first, with_first)
            after = self._grammar.rule(with_after) if is_required else self._grammar.rule(after, with_after)
        space = self._json.space
        return self._grammar.rule(f"{literal('{')} {space} {first} {space} {literal('}')}")

    # --------------------------------------------------------------------------------------------------- any names

    def _free(self, schema: dict[str, Any], place: Place, others: str | None) -> str:
        """Return the objects whose members have no names of their own."""
        minimum, maximum = counts(schema, place, "minProperties", "maxProperties")
        if others is None:
            if minimum > 0:
                place.fail(f"'minProperties' is {minimum} but no member is allowed")
            return self._json.members('""', 0, 0)
        name = self._json.string
        if "propertyNames" in schema:
            name = self._name_rule(schema["propertyNames"], place / "propertyNames")
        return self._members(name, others, minimum, maximum, place)

    def _members(self, name: str, value: str, minimum: int, maximum: int | None, place: Place) -> str:
        if minimum > 1:
            # A name that comes twice is one member.
            (place / "minProperties").fail("only 0 and 1 can be enforced; require members by name")
        member = self._grammar.rule(f"{name} {self._json.colon} {value}")
        return self._json.members(member, minimum, maximum)

    def _name_rule(self, schema: Any, place: Place) -> str:
        if schema is True:
            return self._json.string
        if not isinstance(schema, dict) or schema.get("type", "string") != "string":
            place.fail("must be a schema of strings")
        if {"$ref", "anyOf", "oneOf", "allOf"} & set(schema):
            place.fail("must say itself what strings it allows, by 'pattern', 'enum' or lengths")
        return self._write({**schema, "type": "string"}, place)

    def _by_pattern(self, schema: dict[str, Any], place: Place) -> str:
        here = place / "patternProperties"
        patterns = schema["patternProperties"]
        if not isinstance(patterns, dict) or len(patterns) != 1:
            here.fail("must be one pattern with a schema; several cannot be enforced, as a name may match two")
        beside = [key for key in ("properties", "required", "propertyNames") if schema.get(key)]
        if beside or schema.get("additionalProperties", False) is not False:
            place.fail(
                f"'{beside[0] if beside else 'additionalProperties'}' beside 'patternProperties' cannot be enforced; "
                "use one of them"
            )
        minimum, maximum = counts(schema, place, "minProperties", "maxProperties")
        pattern, inner = next(iter(patterns.items()))
        name = string_rule({"pattern": pattern}, here, self._json)
        return self._members(name, self._write(inner, here / pattern), minimum, maximum, place)

    # ------------------------------------------------------------------------------------------------- other names

    def _other_name(self, names: Iterable[str]) -> str:
        """Return the names that are none of ``names``, each in one spelling: another one could hide one of them."""
        root = _Node()
        for name in names:
            node = root
            for unit in _units(name):
                node = node.children.setdefault(unit, _Node())
            node.is_name = True
        nodes = [root]
        for node in nodes:
            nodes.extend(node.children.values())
        rules: dict[int, str] = {}
        for node in reversed(nodes):
            rules[id(node)] = self._grammar.rule(*self._not(node, rules))
        return self._grammar.rule(f'"\\u0022" {rules[id(root)]}')

    def _not(self, node: _Node, rules: dict[int, str]) -> list[str]:
        """Return how a name goes on that began like ``node`` and is none of those below it."""
        found = [] if node.is_name else ['"\\u0022"']
        plain = PLAIN - Characters.of("".join(unit for unit in node.children if len(unit) == 1))
        found.append(f"{plain.written()} {self._any_name}")
        found += [f"{literal(unit)} {self._any_name}" for unit in _ESCAPED_UNITS if unit not in node.children]
        return found + [f"{literal(unit)} {rules[id(child)]}" for unit, child in node.children.items()]

    @property
    def _any_name(self) -> str:
        escapes = "|".join(plain_pattern(unit) for unit in _ESCAPED_UNITS)
        return self._grammar.rule(matching(f"(?:{PLAIN.pattern()}|{escapes})*{plain_pattern(chr(34))}"))


# What a name is written with, besides characters that mean themselves; controls by number are left out.
_ESCAPED_UNITS = tuple(SHORT_ESCAPES.values())


def _units(name: str) -> list[str]:
    """Return what each character of a name is written with."""
    return [json.dumps(character, ensure_ascii=False)[1:-1] for character in name]
