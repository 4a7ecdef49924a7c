"""Bad samplers, grammars, texts and requests."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from bad_calls import BEYOND, HUGE, NAN, SURROGATE, BadCall, Bench, closed_model

import inllama
from inllama import (
    LLM,
    Context,
    ContextFullError,
    DecodeError,
    GrammarError,
    InllamaError,
    InvalidRequestError,
    Sampler,
    SamplingParams,
    samplers,
)

# ------------------------------------------------------------------------------------------------------- sampling


def sampling_calls() -> Iterator[tuple[str, BadCall]]:
    invalid, wrong = InvalidRequestError, (InvalidRequestError, TypeError)
    select = samplers.greedy()
    stages: dict[str, Callable[[float], inllama.SamplerStage]] = {
        "temperature": samplers.temperature,
        "top_p": samplers.top_p,
        "min_p": samplers.min_p,
        "typical_p": samplers.typical_p,
        "top_n_sigma": samplers.top_n_sigma,
        "xtc_probability": lambda x: samplers.xtc(x),
        "xtc_threshold": lambda x: samplers.xtc(0.5, x),
        "dynamic_range": lambda x: samplers.dynamic_temperature(1.0, x),
        "dynamic_exponent": lambda x: samplers.dynamic_temperature(1.0, 0.5, x),
        "repeat": lambda x: samplers.penalties(repeat=x),
        "frequency": lambda x: samplers.penalties(frequency=x),
        "presence": lambda x: samplers.penalties(presence=x),
        "dry_multiplier": lambda x: samplers.dry(multiplier=x),
        "dry_base": lambda x: samplers.dry(base=x),
    }
    for name, stage in stages.items():
        for value in (NAN, math.inf, -math.inf):
            yield f"sampler_{name}_{value}", BadCall(lambda b, s=stage, v=value: b.sample(s(v), select), invalid)
    last: dict[str, Callable[[float], inllama.SamplerStage]] = {
        "mirostat_tau": lambda x: samplers.mirostat(tau=x),
        "mirostat_eta": lambda x: samplers.mirostat(eta=x),
        "mirostat_v2_tau": lambda x: samplers.mirostat_v2(tau=x),
        "adaptive_target": lambda x: samplers.adaptive_p(x),
        "adaptive_decay": lambda x: samplers.adaptive_p(0.5, x),
    }
    for name, stage in last.items():
        yield f"sampler_{name}_nan", BadCall(lambda b, s=stage: b.sample(s(NAN)), invalid)
    for value in (-1, BEYOND):
        yield f"sampler_top_k_{value}", BadCall(lambda b, v=value: b.sample(samplers.top_k(v), select), wrong)
        yield f"sampler_last_n_{value}", BadCall(lambda b, v=value: b.sample(samplers.penalties(v), select), wrong)
        yield f"sampler_seed_{value}", BadCall(lambda b, v=value: b.sample(samplers.dist(v)), wrong)
    yield "sampler_seed_2_40", BadCall(lambda b: b.sample(samplers.dist(HUGE)), invalid)
    yield "sampler_last_n_2_40", BadCall(lambda b: b.sample(samplers.penalties(HUGE), select), invalid)
    yield "sampler_min_keep", BadCall(lambda b: b.sample(samplers.top_p(0.5, -1), select), invalid)
    for token in (-1, 2048, 2**31 - 1):
        bias = BadCall(lambda b, t=token: b.sample(samplers.logit_bias({t: 1.0}), select), invalid, ("token",))
        yield f"sampler_bias_token_{token}", bias
        yield f"accept_{token}", BadCall(lambda b, t=token: b.sampler.accept(t), invalid, ("token",))
        yield f"accept_prompt_{token}", BadCall(lambda b, t=token: b.sampler.accept_prompt([t]), invalid, ("token",))
    yield "sampler_bias_nan", BadCall(lambda b: b.sample(samplers.logit_bias({1: NAN}), select), invalid)
    yield "sampler_bias_infinite", BadCall(lambda b: b.sample(samplers.logit_bias({1: math.inf}), select), invalid)
    yield "sampler_empty", BadCall(lambda b: Sampler(b.model, []), invalid)
    yield "sampler_without_choice", BadCall(lambda b: Sampler(b.model, [samplers.top_k(1)]), invalid)
    yield "sampler_two_choices", BadCall(lambda b: Sampler(b.model, [select, samplers.dist(1)]), invalid)
    yield "sampler_choice_first", BadCall(lambda b: Sampler(b.model, [select, samplers.top_k(1)]), invalid)
    yield "sampler_stage_number", BadCall(lambda b: Sampler(b.model, [1]), TypeError)  # type: ignore[list-item]
    yield "sample_row", BadCall(lambda b: b.sampler.sample(b.context, 99), invalid)
    yield "sample_before_decode", BadCall(lambda b: b.sampler.sample(Context(b.model, n_ctx=256)), invalid)
    numbers = np.zeros(2048, np.float32)
    yield "sample_logits_short", BadCall(lambda b: b.sampler.sample_logits(numbers[:9]), invalid)
    yield "sample_logits_empty", BadCall(lambda b: b.sampler.sample_logits(numbers[:0]), invalid)
    nans = np.full(2048, NAN, np.float32)
    yield "sample_logits_nan", BadCall(lambda b: b.sampler.sample_logits(nans), (DecodeError, InvalidRequestError))
    double = numbers.astype(np.complex64)
    yield "sample_logits_complex", BadCall(lambda b: b.sampler.sample_logits(double), wrong)  # type: ignore[arg-type]
    yield "sample_logits_2d", BadCall(lambda b: b.sampler.sample_logits(numbers.reshape(2, 1024)), wrong)
    yield "sampler_dry_breaker", BadCall(lambda b: b.sample(samplers.dry(sequence_breakers=[SURROGATE]), select), wrong)


# Grammar to the line and column (in characters, from 1) of what is wrong.
GRAMMARS: dict[str, tuple[str, int, int]] = {
    "empty": ("", 1, 1),
    "no_root": ('x ::= "a"', 1, 1),
    "no_definition": ("root", 1, 5),
    "literal_without_end": ('root ::= "a', 1, 10),
    "undefined_rule": ("root ::= nothing", 1, 10),
    "undefined_rule_below": ('root ::= "a" x\nx ::= "ä" y', 2, 11),
    "group_without_end": ('root ::= "a"\nb ::= (', 2, 7),
    "class_without_end": ("root ::= [a", 1, 10),
    "unknown_escape": (r'root ::= "\q"', 1, 11),
    "short_escape": (r'root ::= "\u12"', 1, 11),
    "repetition_of_nothing": ("root ::= *", 1, 10),
    "repetition_backwards": ('root ::= "a"{3,1}', 1, 13),
    "repetition_too_long": ('root ::= "a"{100000}', 1, 13),
    "repetition_without_end": ('root ::= "a"{1', 1, 15),
    "left_recursion": ('root ::= root "a"', 1, 1),
    "hidden_left_recursion": ("root ::= a\na ::= b\nb ::= a", 2, 1),
    "stray_character": ('root ::= "a"\r\n  b ::= %', 2, 9),
    "after_wide_characters": ('root ::= "äöü😀" $', 1, 17),
    "nul": ('root ::= "\0"', 1, 11),
    "deep": ("root ::= " + "(" * 10_000, 1, 266),
}


def grammar_calls() -> Iterator[tuple[str, BadCall]]:
    fields = ("line", "column")
    for name, (text, line, column) in GRAMMARS.items():
        place = f"line {line}, column {column}"
        stage = BadCall(lambda b, t=text: b.sample(samplers.grammar(t), samplers.greedy()), GrammarError, fields, place)
        yield f"grammar_{name}", stage
        bad = BadCall(lambda b, t=text: b.llm.generate("x", grammar=t, max_tokens=4), GrammarError, fields, place)
        yield f"llm_grammar_{name}", bad
    yield (
        "grammar_token_id",
        BadCall(lambda b: b.llm.generate("x", grammar="root ::= <[99999]>", max_tokens=4), GrammarError, fields),
    )
    yield (
        "grammar_token_name",
        BadCall(lambda b: b.llm.generate("x", grammar="root ::= <nosuchtoken>", max_tokens=4), GrammarError, fields),
    )
    surrogate = f'root ::= "{SURROGATE}"'
    yield "grammar_surrogate", BadCall(lambda b: samplers.grammar(surrogate), InvalidRequestError)
    yield "llm_grammar_surrogate", BadCall(lambda b: b.llm.generate("x", grammar=surrogate), InvalidRequestError)
    lazy = BadCall(
        lambda b: b.sample(samplers.lazy_grammar('root ::= "a"', trigger_patterns=["("]), samplers.greedy()),
        InvalidRequestError,
    )
    yield "lazy_grammar_pattern", lazy
    trigger = BadCall(
        lambda b: b.sample(samplers.lazy_grammar('root ::= "a"', trigger_tokens=[HUGE]), samplers.greedy()),
        (InvalidRequestError, TypeError),
    )
    yield "lazy_grammar_token", trigger
    wrong = BadCall(forbidden_accept, GrammarError)
    yield "grammar_forbids_accept", wrong


def forbidden_accept(bench: Bench) -> object:
    sampler = Sampler(bench.model, [samplers.grammar('root ::= "a"'), samplers.greedy()])
    return sampler.accept(int(bench.model.tokenizer.encode("zebra", add_special=False)[0]))


# ------------------------------------------------------------------------------------------------------ tokenizer


def tokenizer_calls() -> Iterator[tuple[str, BadCall]]:
    invalid, wrong = InvalidRequestError, (InvalidRequestError, TypeError)
    for text in (SURROGATE, "\udc80", "\udfff" * 100):
        bad = BadCall(lambda b, t=text: b.model.tokenizer.encode(t), invalid, ("character",), "surrogate")
        yield f"encode_{text[:3]!a}", bad
        batch = BadCall(lambda b, t=text: b.model.tokenizer.encode_batch(["fine", t]), invalid, (), "surrogate")
        yield f"encode_batch_{text[:3]!a}", batch
    for value in (None, 7, b"bytes", ["text"]):
        yield f"encode_{value!r}", BadCall(lambda b, v=value: b.model.tokenizer.encode(v), TypeError)
    yield "encode_batch_none", BadCall(lambda b: b.model.tokenizer.encode_batch(None), TypeError)  # type: ignore[arg-type]
    yield "encode_batch_number", BadCall(lambda b: b.model.tokenizer.encode_batch(["a", 1]), TypeError)  # type: ignore[list-item]
    for token in (-1, 2048, 2**31 - 1, -(2**31)):
        calls: dict[str, Callable[[inllama.Tokenizer, int], object]] = {
            "decode": lambda t, i: t.decode([i]),
            "decode_bytes": lambda t, i: t.decode_bytes([1, i]),
            "decode_array": lambda t, i: t.decode(np.array([i], np.int64)),
            "piece": lambda t, i: t.piece(i),
            "push": lambda t, i: t.decoder().push(i),
            "token_text": lambda t, i: t.token_text(i),
            "score": lambda t, i: t.score(i),
            "is_end": lambda t, i: t.is_end(i),
            "is_control": lambda t, i: t.is_control(i),
        }
        for name, call in calls.items():
            bad = BadCall(lambda b, c=call, i=token: c(b.model.tokenizer, i), invalid, ("token", "n_vocab"), str(token))
            yield f"{name}_{token}", bad
    for token in (HUGE, BEYOND, 1.5, "a", None):
        yield f"piece_{token}", BadCall(lambda b, i=token: b.model.tokenizer.piece(i), wrong)
        yield f"decode_{token}", BadCall(lambda b, i=token: b.model.tokenizer.decode([i]), wrong)
    yield "tokenizer_of_closed_model", BadCall(lambda b: closed_model().tokenizer, InllamaError)


# ------------------------------------------------------------------------------------------------------- requests


def request_calls() -> Iterator[tuple[str, BadCall]]:
    def ask(prompt: Any = "x", **options: Any) -> Callable[[Bench], object]:
        return lambda b: b.llm.generate(prompt, **options)

    invalid, wrong = InvalidRequestError, (InvalidRequestError, TypeError)
    numbers = ("temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "dry_base", "timeout_s", "mirostat_tau")
    for name in numbers:
        for value in (NAN, math.inf, -1.0):
            yield f"{name}_{value}", BadCall(ask(**{name: value}), invalid, ("option", "value"), name)
    whole = {
        "top_k": -1,
        "max_tokens": 0,
        "n": 0,
        "seed": -1,
        "penalty_last_n": -1,
        "mirostat": 3,
        "dry_allowed_length": -1,
    }
    for name, number in whole.items():
        yield f"{name}_{number}", BadCall(ask(**{name: number}), invalid, ("option", "value"), name)
    for name in ("top_k", "max_tokens", "seed", "n", "temperature"):
        for other in (True, "1", [1]):
            yield f"{name}_{other!r}", BadCall(ask(**{name: other}), TypeError, (), name)
    for value in (HUGE, BEYOND):
        yield f"top_k_{value}", BadCall(ask(top_k=value, max_tokens=1), wrong)
        yield f"seed_{value}", BadCall(ask(seed=value), invalid, ("option", "value"))
    yield "temperature_1e39", BadCall(ask(temperature=1e39, max_tokens=1), invalid, ("option", "value"))
    yield "unknown_option", BadCall(ask(temprature=1), TypeError, (), "did you mean 'temperature'")
    yield "params_dictionary", BadCall(lambda b: b.llm.generate("x", {"temperature": 1}), TypeError)  # type: ignore[call-overload]
    yield "on_error_word", BadCall(ask(on_error="ignore"), wrong)
    for prompt in (None, 7, b"bytes", 1.5, {"a": 1}):
        yield f"prompt_{prompt!r}", BadCall(ask(prompt), TypeError)
    for prompt in ([1, "a"], [1, 1.5], [1, True], [True], [1, None]):
        yield f"prompt_{prompt!r}", BadCall(ask(prompt), wrong)
    yield "stream_of_a_list", BadCall(lambda b: b.llm.stream(["a", "b"]), wrong)  # type: ignore[list-item]
    for token in (-1, 2048, 2**31, HUGE, BEYOND):
        yield f"prompt_token_{token}", BadCall(ask([1, token]), invalid, ("token",), str(token))
        yield f"prompt_array_{token}", BadCall(ask(np.array([1, token], object)), invalid, ("token",), str(token))
        yield f"stop_token_{token}", BadCall(ask(stop_token_ids=[token]), wrong)
        yield f"bias_token_{token}", BadCall(ask(logit_bias={token: 1.0}), wrong)
    yield "prompt_surrogate", BadCall(ask(SURROGATE), invalid, ("character",), "surrogate")
    yield "stop_surrogate", BadCall(ask(stop=SURROGATE), invalid)
    yield "breaker_surrogate", BadCall(ask(dry_multiplier=1.0, dry_sequence_breakers=[SURROGATE]), invalid)
    yield "stop_empty", BadCall(ask(stop=""), invalid, ("option",))
    yield "stop_number", BadCall(ask(stop=[1]), TypeError)
    yield "bias_nan", BadCall(ask(logit_bias={1: NAN}), invalid)
    yield "bias_infinite", BadCall(ask(logit_bias={1: math.inf}, max_tokens=1), invalid)
    yield "bias_text", BadCall(ask(logit_bias={"1": 1.0}), TypeError)
    yield "bias_bans_all", BadCall(ask(logit_bias=dict.fromkeys(range(2048), -math.inf), max_tokens=1), InllamaError)
    fields = ("n_prompt", "n_ctx")
    yield "prompt_too_long", BadCall(ask("long " * 3000), ContextFullError, fields)
    yield "prompt_tokens_too_long", BadCall(ask([1] * 100_000), ContextFullError, fields)
    yield "prompt_fills_context", BadCall(ask([1] * 2048), ContextFullError, fields, "2048")
    yield (
        "list_with_long_prompt",
        BadCall(ask(["x", "long " * 3000], max_tokens=1), ContextFullError, (*fields, "index")),
    )
    yield "request_id_number", BadCall(ask(request_id=7), TypeError)
    yield "sampling_params_nan", BadCall(lambda b: SamplingParams(temperature=NAN), invalid, ("option", "value"))
    yield "closed_llm", BadCall(use_closed_llm, inllama.EngineClosedError)


def use_closed_llm(bench: Bench) -> object:
    llm = LLM(bench.model)
    llm.close()
    return llm.generate("x")
