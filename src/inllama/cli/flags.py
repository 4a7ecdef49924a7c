"""Command line flags made from declared options."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any

from inllama.options import Options, types_of


def add_flags(parser: argparse.ArgumentParser, cls: type[Options], *, without: frozenset[str] = frozenset()) -> None:
    """Add a flag for every option of ``cls``, with its type, words, default and text."""
    group = parser.add_argument_group(f"options ({cls.__name__})")
    for item in fields(cls):
        if item.name not in without:
            _add_flag(group, cls, item)


def flag_values(parsed: argparse.Namespace, cls: type[Options]) -> dict[str, Any]:
    """Return the options of ``cls`` that were given on the command line."""
    return {
        item.name: getattr(parsed, item.name) for item in fields(cls) if getattr(parsed, item.name, None) is not None
    }


def _add_flag(group: argparse._ArgumentGroup, cls: type[Options], item: Field[Any]) -> None:
    flag = "--" + item.name.replace("_", "-")
    rules = item.metadata
    kinds = types_of(cls)[item.name]
    text = rules["text"] + (f" [{rules['unit']}]" if rules["unit"] else "")
    if rules["default"] not in (None, (), {}):
        text += f" (default: {rules['default']})"
    text = text.replace("%", "%%")
    if bool in kinds and not {str, int} & set(kinds):
        group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
    elif tuple in kinds:
        group.add_argument(
            flag, action="append", type=rules["each"], default=None, metavar="VALUE", help=text + " May be repeated."
        )
    elif Mapping in kinds and str not in kinds:
        group.add_argument(
            flag,
            action=_Pair,
            type=_pair(rules["each"], item.name),
            default=None,
            metavar="KEY=VALUE",
            help=text + " May be repeated.",
        )
    else:
        group.add_argument(flag, type=_scalar(kinds, rules["words"]), default=None, metavar="VALUE", help=text)


def _scalar(kinds: tuple[type, ...], words: tuple[str, ...]) -> Any:
    def parse(text: str) -> int | float | str:
        if text in words:
            return text
        for kind in (int, float):
            if kind in kinds:
                return kind(text)
        return text

    parse.__name__ = next((kind.__name__ for kind in (int, float) if kind in kinds), "text")
    return parse


def _pair(each: type | None, name: str) -> Any:
    def parse(text: str) -> tuple[Any, Any]:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(text)
        number = each is float
        return (int(key) if name == "logit_bias" else key), (float(value) if number else value)

    parse.__name__ = "KEY=VALUE"
    return parse


class _Pair(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        pairs = dict(getattr(namespace, self.dest) or {})
        pairs[values[0]] = values[1]
        setattr(namespace, self.dest, pairs)
