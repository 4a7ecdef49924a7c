"""Options: one declaration gives type, range and text, and every value is checked against it."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from inllama import ChatOptions, EngineOptions, InvalidRequestError, ModelOptions, RequestOptions, SamplingParams
from inllama.options import Options, split_keywords, types_of
from inllama.params import STRUCTURES

CLASSES: list[type[Options]] = [SamplingParams, RequestOptions, EngineOptions, ModelOptions]
# All but the option whose value may be anything.
EVERY = [(cls, item) for cls in CLASSES for item in fields(cls) if item.name != "output"]
IDS = [f"{cls.__name__}.{item.name}" for cls, item in EVERY]
DECLARED = [*EVERY, *((ChatOptions, item) for item in fields(ChatOptions))]


def make(cls: type[Options], name: str, value: object) -> Any:
    """Return the option ``name`` as it is kept."""
    return getattr(cls(**{name: value}), name)


def numeric(kind: type) -> list[tuple[type[Options], Any]]:
    return [
        (cls, item) for cls, item in EVERY if kind in types_of(cls)[item.name] and bool not in types_of(cls)[item.name]
    ]


# ----------------------------------------------------------------------------------------------------- declarations


@pytest.mark.parametrize(("cls", "item"), DECLARED, ids=[f"{cls.__name__}.{item.name}" for cls, item in DECLARED])
def test_every_option_has_a_text_and_a_default_that_is_possible(cls: type[Options], item: Any) -> None:
    text = item.metadata["text"]
    assert text[0].isupper()
    assert text.endswith(".")
    default = item.metadata["default"]
    if default is not None:
        kept = cls()._checked(item, default)  # which nobody does for a default
        assert kept == default
        assert type(kept) is type(default)


@pytest.mark.parametrize(("cls", "item"), EVERY, ids=IDS)
def test_every_number_has_a_lower_limit(cls: type[Options], item: Any) -> None:
    kinds = types_of(cls)[item.name]
    if (int in kinds or float in kinds) and item.name != "seed":
        assert item.metadata["low"] is not None


def test_names_are_not_used_twice() -> None:
    names = [item.name for _, item in EVERY]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("cls", "item"), EVERY, ids=IDS)
def test_without_arguments_sampling_is_unset_and_the_rest_has_its_default(cls: type[Options], item: Any) -> None:
    expected = None if cls is SamplingParams else item.metadata["default"]
    assert getattr(cls(), item.name) == expected


@pytest.mark.parametrize("cls", CLASSES)
def test_options_cannot_be_changed_and_take_keywords_only(cls: type[Options]) -> None:
    options = cls()
    with pytest.raises(FrozenInstanceError):
        setattr(options, fields(options)[0].name, 1)
    with pytest.raises(TypeError):
        cls(1)  # type: ignore[call-arg]


# ------------------------------------------------------------------------------------------------- ranges and types


@pytest.mark.parametrize(("cls", "item"), numeric(int) + numeric(float))
def test_limits_are_possible_and_what_is_beyond_is_not(cls: type[Options], item: Any) -> None:
    whole = int in types_of(cls)[item.name]
    for limit, direction in ((item.metadata["low"], -1), (item.metadata["high"], 1)):
        if limit is None:
            continue
        assert make(cls, item.name, limit) == limit
        beyond = limit + direction if whole else math.nextafter(limit, direction * math.inf)
        with pytest.raises(InvalidRequestError) as caught:
            cls(**{item.name: beyond})
        assert caught.value.option == item.name
        assert caught.value.value == beyond
        assert item.name in str(caught.value)
        assert str(item.metadata["low"]) in str(caught.value)


@pytest.mark.parametrize(("cls", "item"), numeric(float))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_number_must_be_finite(cls: type[Options], item: Any, value: float) -> None:
    with pytest.raises(InvalidRequestError, match=item.name):
        cls(**{item.name: value})


@pytest.mark.parametrize(("cls", "item"), numeric(float))
def test_whole_number_is_taken_for_a_float(cls: type[Options], item: Any) -> None:
    kept = make(cls, item.name, 1 if item.metadata["high"] != 0.99 else 0)
    assert type(kept) is float


@pytest.mark.parametrize(("cls", "item"), numeric(float))
def test_integer_too_large_for_a_float_is_out_of_range(cls: type[Options], item: Any) -> None:
    with pytest.raises(InvalidRequestError, match=item.name):
        cls(**{item.name: 10**400})


@pytest.mark.parametrize(("cls", "item"), EVERY, ids=IDS)
@pytest.mark.parametrize("value", [True, 1, 1.5, "word", b"bytes", object(), [1.5j], {"a": object()}], ids=repr)
def test_wrong_type_is_a_type_error_that_names_the_option(cls: type[Options], item: Any, value: object) -> None:
    kinds = types_of(cls)[item.name]
    fits = (
        type(value) in kinds or (type(value) is int and float in kinds) or (item.name == "stop" and type(value) is str)
    )
    # Their values are checked by the native side, and as a schema.
    if fits or (item.name in ("kv_overrides", "json_schema") and isinstance(value, dict)):
        return
    with pytest.raises(TypeError, match=item.name):
        cls(**{item.name: value})


@pytest.mark.parametrize(("cls", "item"), EVERY, ids=IDS)
def test_none_means_unset_only_where_that_is_declared(cls: type[Options], item: Any) -> None:
    if type(None) in types_of(cls)[item.name]:
        assert make(cls, item.name, None) is None
    else:
        with pytest.raises(TypeError, match=item.name):
            cls(**{item.name: None})


@pytest.mark.parametrize("name", ["temperature", "top_k", "seed", "max_tokens"])
def test_bool_is_no_number(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} must be .* not bool"):
        SamplingParams(**{name: True})


def test_number_is_no_flag() -> None:
    with pytest.raises(TypeError, match="ignore_eos must be bool"):
        SamplingParams(ignore_eos=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["flash_attention", "kv_type_k", "n_ctx"])
def test_unknown_word_names_the_words(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="use one of") as caught:
        EngineOptions(**{name: "sideways"})
    item = next(item for item in fields(EngineOptions) if item.name == name)
    assert all(word in str(caught.value) for word in item.metadata["words"])


@pytest.mark.parametrize("name", ["stop", "dry_sequence_breakers", "grammar"])
def test_lone_surrogate_is_no_text(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="surrogate at character 1") as caught:
        SamplingParams(**{name: "a\ud83d" if name != "dry_sequence_breakers" else ["a\ud83d"]})
    assert caught.value.option == name


def test_each_item_is_checked() -> None:
    for values in ([1], ["a", None], ("a", b"b")):
        with pytest.raises(TypeError, match="stop"):
            SamplingParams(stop=values)  # type: ignore[arg-type]
    for tokens in (["1"], [1.5], [True]):
        with pytest.raises(TypeError, match="stop_token_ids"):
            SamplingParams(stop_token_ids=tokens)  # type: ignore[arg-type]
    for split in ([math.nan],):
        with pytest.raises(InvalidRequestError, match="tensor_split"):
            ModelOptions(tensor_split=split)  # type: ignore[arg-type]


def test_keys_and_values_of_a_mapping_are_checked() -> None:
    assert SamplingParams(logit_bias={1: 2, 3: -math.inf}).logit_bias == {1: 2, 3: -math.inf}
    for bias in ({"1": 1.0}, {1.0: 1.0}, {True: 1.0}, {1: "1"}, {1: None}):
        with pytest.raises(TypeError, match="logit_bias"):
            SamplingParams(logit_bias=bias)  # type: ignore[arg-type]
    for number in ({-1: 1.0}, {2**31: 1.0}, {1: math.nan}):
        with pytest.raises(InvalidRequestError, match="logit_bias"):
            SamplingParams(logit_bias=number)
    with pytest.raises(TypeError, match="kv_overrides"):
        ModelOptions(kv_overrides={1: 1})  # type: ignore[dict-item]


def test_lists_become_tuples_and_one_stop_text_is_enough() -> None:
    assert SamplingParams(stop="end").stop == ("end",)
    assert SamplingParams(stop=["a", "b"]).stop == ("a", "b")
    assert SamplingParams(stop_token_ids=[1, 2]).stop_token_ids == (1, 2)
    with pytest.raises(InvalidRequestError, match="empty"):
        SamplingParams(stop=["a", ""])


def test_later_changes_of_a_mapping_do_not_reach_the_options() -> None:
    bias = {1: 1.0}
    params = SamplingParams(logit_bias=bias)
    bias[2] = 5.0
    assert params.logit_bias == {1: 1.0}


# ----------------------------------------------------------------------------------------------------- keywords


@pytest.mark.parametrize(
    ("name", "near"),
    [("temprature", "temperature"), ("topk", "top_k"), ("max_token", "max_tokens"), ("stops", "stop"), ("sed", "seed")],
)
def test_unknown_keyword_has_a_near_name(name: str, near: str) -> None:
    with pytest.raises(TypeError, match=f"unknown option '{name}'; did you mean '{near}'"):
        SamplingParams.from_keywords({name: 1})
    with pytest.raises(TypeError, match=f"did you mean '{near}'"):
        split_keywords({name: 1}, SamplingParams, RequestOptions)


def test_unknown_keyword_that_is_like_nothing_is_only_named() -> None:
    with pytest.raises(TypeError, match=r"^unknown option 'zzz'$"):
        split_keywords({"zzz": 1}, SamplingParams, RequestOptions)


def test_keywords_are_given_to_their_class() -> None:
    sampling, request = split_keywords({"top_k": 1, "n": 2, "seed": 3}, SamplingParams, RequestOptions)
    assert (sampling, request) == ({"top_k": 1, "seed": 3}, {"n": 2})


def test_keyword_overrides_the_object() -> None:
    params = SamplingParams(temperature=0.5, top_k=7)
    changed = params.updated({"top_k": 9})
    assert (changed.temperature, changed.top_k) == (0.5, 9)
    assert params.top_k == 7
    with pytest.raises(InvalidRequestError):
        params.updated({"top_k": -1})


def test_set_fields_count_over_lower_ones() -> None:
    lower = SamplingParams(temperature=0.1, top_k=1, stop="x")
    upper = SamplingParams(temperature=0.0, stop=())
    both = upper.over(lower)
    assert (both.temperature, both.top_k, both.stop) == (0.0, 1, ())
    assert SamplingParams().over(lower) == lower


def test_defaults_set_everything_that_has_a_default() -> None:
    defaults = SamplingParams.defaults()
    assert (defaults.temperature, defaults.top_k, defaults.top_p, defaults.min_p) == (0.8, 40, 0.95, 0.05)
    unset = {item.name for item in fields(defaults) if getattr(defaults, item.name) is None}
    assert unset == {"adaptive_target", "seed", "max_tokens", *STRUCTURES}


# ---------------------------------------------------------------------------------------------------- plain data


def test_only_what_is_set_is_in_the_plain_data() -> None:
    assert SamplingParams().to_dict() == {}
    assert SamplingParams(top_k=3, stop="a").to_dict() == {"top_k": 3, "stop": ["a"]}


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(),
        SamplingParams.defaults(),
        SamplingParams(temperature=0.1, stop=["a", "ä\n😀"], stop_token_ids=[1, 2], grammar='root ::= "a"', seed=7),
        SamplingParams(logit_bias={1: 0.5, 1000: -math.inf}, ignore_eos=True, max_tokens=5),
    ],
)
def test_params_survive_json_and_pickling(params: SamplingParams) -> None:
    assert SamplingParams.from_dict(json.loads(json.dumps(params.to_dict()))) == params
    assert pickle.loads(pickle.dumps(params)) == params


def test_unknown_name_in_plain_data_is_an_error() -> None:
    with pytest.raises(TypeError, match="did you mean 'top_k'"):
        SamplingParams.from_dict({"topk": 1})


def test_token_in_json_that_is_no_number_is_an_error() -> None:
    with pytest.raises((InvalidRequestError, TypeError)):
        SamplingParams.from_dict({"logit_bias": {"eos": 1.0}})


@pytest.mark.parametrize("options", [RequestOptions(n=2), EngineOptions(n_ctx=512), ModelOptions(devices=["CPU"])])
def test_other_options_survive_json(options: Options) -> None:
    plain = json.loads(json.dumps(options.to_dict()))
    assert type(options).from_keywords(plain) == options
