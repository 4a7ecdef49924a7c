"""Flags of the command line come from the declared options, with their types, words, defaults and texts."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

import pytest

from inllama import EngineOptions, ModelOptions, RequestOptions, SamplingParams
from inllama.cli.flags import add_flags, flag_values
from inllama.options import Options, types_of

CLASSES: list[type[Options]] = [SamplingParams, RequestOptions, EngineOptions, ModelOptions]
# How a flag is written, and what comes of it.
WRITTEN: dict[str, tuple[list[str], Any]] = {
    "temperature": (["--temperature", "0.5"], 0.5),
    "top_k": (["--top-k", "7"], 7),
    "ignore_eos": (["--ignore-eos"], True),
    "stop": (["--stop", "a", "--stop", "b c"], ("a", "b c")),
    "stop_token_ids": (["--stop-token-ids", "1", "--stop-token-ids", "2"], (1, 2)),
    "logit_bias": (["--logit-bias", "1=0.5", "--logit-bias", "2=-inf"], {1: 0.5, 2: float("-inf")}),
    "grammar": (["--grammar", 'root ::= "a"'], 'root ::= "a"'),
    "json_schema": (["--json-schema", '{"type": "array"}'], '{"type": "array"}'),
    "regex": (["--regex", "a+"], "a+"),
    "choices": (["--choices", "yes", "--choices", "no"], ("yes", "no")),
    "timeout_s": (["--timeout-s", "2"], 2.0),
    "n_ctx": (["--n-ctx", "512"], 512),
    "n_threads": (["--n-threads", "2"], 2),
    "flash_attention": (["--flash-attention", "off"], "off"),
    "gpu_layers": (["--gpu-layers", "0"], 0),
    "repack": (["--no-repack"], False),
    "devices": (["--devices", "CPU"], ("CPU",)),
    "tensor_split": (["--tensor-split", "1", "--tensor-split", "0.5"], (1.0, 0.5)),
    "tensor_overrides": (["--tensor-overrides", "exps=CPU"], {"exps": "CPU"}),
}


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(exit_on_error=False)
    for cls in CLASSES:
        add_flags(made, cls)
    return made


def parse(parser: argparse.ArgumentParser, *arguments: str) -> dict[str, Any]:
    parsed = parser.parse_args(arguments)
    return {name: value for cls in CLASSES for name, value in flag_values(parsed, cls).items()}


def owner_of(name: str) -> type[Options]:
    return next(cls for cls in CLASSES if name in {item.name for item in fields(cls)})


def test_every_option_has_a_flag_with_its_text(parser: argparse.ArgumentParser) -> None:
    shown = " ".join(parser.format_help().split())
    for cls in CLASSES:
        for item in fields(cls):
            assert "--" + item.name.replace("_", "-") in shown
            assert " ".join(item.metadata["text"].split()[:4]) in shown, item.name


def test_help_shows_units_and_defaults(parser: argparse.ArgumentParser) -> None:
    shown = " ".join(parser.format_help().split())
    assert "[seconds]" in shown
    assert "(default: 0.8)" in shown
    assert "(default: auto)" in shown


def test_options_can_be_left_out() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, RequestOptions, without=frozenset({"n"}))
    assert "--timeout-s" in parser.format_help()
    assert "--n " not in parser.format_help()
    assert flag_values(parser.parse_args([]), RequestOptions) == {}


def test_nothing_is_set_by_default(parser: argparse.ArgumentParser) -> None:
    assert parse(parser) == {}


@pytest.mark.parametrize("name", WRITTEN)
def test_flag_gives_the_option(parser: argparse.ArgumentParser, name: str) -> None:
    arguments, expected = WRITTEN[name]
    values = parse(parser, *arguments)
    assert list(values) == [name]
    options = owner_of(name).from_keywords(values)
    kept = getattr(options, name)
    assert kept == expected
    assert type(kept) is type(expected)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_default_can_be_written(parser: argparse.ArgumentParser, cls: type[Options]) -> None:
    for item in fields(cls):
        default = item.metadata["default"]
        if isinstance(default, (int, float, str)) and not isinstance(default, bool):
            values = parse(parser, "--" + item.name.replace("_", "-"), str(default))
            assert getattr(cls.from_keywords(values), item.name) == default


@pytest.mark.parametrize("cls", CLASSES)
def test_flags_can_be_switched_off(parser: argparse.ArgumentParser, cls: type[Options]) -> None:
    for item in fields(cls):
        if bool in types_of(cls)[item.name] and len(types_of(cls)[item.name]) <= 2:
            assert parse(parser, "--no-" + item.name.replace("_", "-")) == {item.name: False}


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (["--top-k", "seven"], "--top-k"),
        (["--top-k", "1.5"], "--top-k"),
        (["--temperature", "warm"], "--temperature"),
        (["--logit-bias", "1"], "--logit-bias"),
        (["--logit-bias", "eos=1"], "--logit-bias"),
        (["--logit-bias", "1=much"], "--logit-bias"),
        (["--stop-token-ids", "x"], "--stop-token-ids"),
        (["--n-ctx", "all"], "--n-ctx"),
        (["--top-k"], "--top-k"),
    ],
)
def test_value_of_the_wrong_kind_is_bad_usage(parser: argparse.ArgumentParser, arguments: list[str], flag: str) -> None:
    with pytest.raises(argparse.ArgumentError, match=flag):
        parser.parse_args(arguments)
