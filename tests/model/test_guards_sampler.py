"""Guards of samplers: the bad call raises, and the object still works. See docs/guards.md."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import tiny_models as tiny

from inllama import (
    Batch,
    Context,
    DecodeError,
    GrammarError,
    InvalidRequestError,
    Model,
    Sampler,
    SamplerStage,
    UnsupportedError,
    samplers,
)

A, B = tiny.byte_token("a"), tiny.byte_token("b")
NAN, INFINITY = math.nan, math.inf
LARGE = 2**31


def logits_for(*tokens: int) -> npt.NDArray[np.float32]:
    """Return logits that prefer ``tokens``, the first one most."""
    logits = np.zeros(tiny.N_VOCAB, np.float32)
    for rank, token in enumerate(tokens):
        logits[token] = 20 - rank
    return logits


@pytest.mark.parametrize(
    ("stages", "n_selecting"),
    [
        (lambda: [], 0),
        (lambda: [samplers.top_k(5)], 0),
        (lambda: [samplers.greedy(), samplers.greedy()], 2),
        (lambda: [samplers.dist(1), samplers.top_k(5)], 1),
        (lambda: [samplers.mirostat(), samplers.dist(1)], 2),
        (lambda: [samplers.mirostat_v2(), samplers.temperature(1)], 1),
        (lambda: [samplers.adaptive_p(0.5), samplers.adaptive_p(0.5)], 2),
    ],
)
def test_chain_without_one_selecting_sampler_is_refused(
    llama: Model, stages: Callable[[], list[SamplerStage]], n_selecting: int
) -> None:
    with pytest.raises(InvalidRequestError, match="selecting") as raised:
        Sampler(llama, stages())
    assert raised.value.n_selecting == n_selecting
    assert Sampler(llama, [samplers.greedy()]).sample_logits(logits_for(A)) == A


NUMBERS = (NAN, INFINITY, -INFINITY, -1.0, 1e300)
COUNTS = (-1, LARGE, -LARGE, 2**62)
OPTIONS: dict[str, tuple[Callable[..., SamplerStage], tuple[float, ...]]] = {
    "top_k": (samplers.top_k, COUNTS),
    "top_p": (samplers.top_p, (*NUMBERS, 1.5)),
    "top_p keep": (lambda n: samplers.top_p(0.5, min_keep=n), COUNTS),
    "min_p": (samplers.min_p, (*NUMBERS, 1.5)),
    "min_p keep": (lambda n: samplers.min_p(0.5, min_keep=n), COUNTS),
    "typical_p": (samplers.typical_p, (*NUMBERS, 1.5)),
    "typical_p keep": (lambda n: samplers.typical_p(0.5, min_keep=n), COUNTS),
    "top_n_sigma": (samplers.top_n_sigma, NUMBERS),
    "xtc": (samplers.xtc, (*NUMBERS, 1.5)),
    "xtc threshold": (lambda value: samplers.xtc(0.5, value), (*NUMBERS, 1.5)),
    "xtc keep": (lambda n: samplers.xtc(0.5, min_keep=n), COUNTS),
    "temperature": (samplers.temperature, NUMBERS),
    "dynamic temperature": (lambda value: samplers.dynamic_temperature(value, 0.5), NUMBERS),
    "dynamic range": (lambda value: samplers.dynamic_temperature(1.0, value), NUMBERS),
    "dynamic exponent": (lambda value: samplers.dynamic_temperature(1.0, 0.5, value), NUMBERS),
    "penalty window": (samplers.penalties, COUNTS),
    "repeat": (lambda value: samplers.penalties(64, value), (*NUMBERS, 0.0)),
    "frequency": (lambda value: samplers.penalties(64, 1, value), (NAN, INFINITY, -INFINITY, 1e300, -1e300)),
    "presence": (lambda value: samplers.penalties(64, 1, 0, value), (NAN, INFINITY, -INFINITY, 1e300, -1e300)),
    "dry": (samplers.dry, NUMBERS),
    "dry base": (lambda value: samplers.dry(base=value), (*NUMBERS, 0.5)),
    "dry length": (lambda n: samplers.dry(allowed_length=n), COUNTS),
    "dry window": (lambda n: samplers.dry(last_n=n), COUNTS),
    "logit_bias": (lambda value: samplers.logit_bias({A: value}), (NAN, INFINITY, 1e300)),
}
SELECTING: dict[str, tuple[Callable[..., SamplerStage], tuple[float, ...]]] = {
    "tau": (samplers.mirostat, (*NUMBERS, 0.0)),
    "eta": (lambda value: samplers.mirostat(eta=value), NUMBERS),
    "m": (lambda n: samplers.mirostat(m=n), (*COUNTS, 0, 1, tiny.N_VOCAB + 1)),
    "tau of v2": (samplers.mirostat_v2, (*NUMBERS, 0.0)),
    "eta of v2": (lambda value: samplers.mirostat_v2(eta=value), NUMBERS),
    "target": (samplers.adaptive_p, (*NUMBERS, 1.5)),
    "decay": (lambda value: samplers.adaptive_p(0.5, value), (*NUMBERS, 1.0)),
}


@pytest.mark.parametrize("name", [*OPTIONS, *SELECTING])
def test_sampler_options_out_of_range_are_refused(llama: Model, name: str) -> None:
    make, values = OPTIONS.get(name) or SELECTING[name]
    last = [samplers.dist(1)] if name in OPTIONS else []
    for value in values:
        with pytest.raises(InvalidRequestError) as raised:
            Sampler(llama, [make(value), *last])
        assert raised.value.option, value
    # The smallest value that each of them allows.
    sound = 2 if name == "m" else 1 if "keep" in name or name in ("top_k", "dry base") else 0.5
    sound = 4 if name in ("penalty window", "dry length", "dry window") else sound
    sampler = Sampler(llama, [make(sound), *last])
    for _ in range(20):
        assert 0 <= sampler.sample_logits(logits_for(A, B)) < tiny.N_VOCAB


@pytest.mark.parametrize("breaker", ["", "x" * 41, "a\0b"])
def test_sequence_breakers_out_of_range_are_refused(llama: Model, breaker: str) -> None:
    with pytest.raises(InvalidRequestError, match="sequence_breakers"):
        Sampler(llama, [samplers.dry(sequence_breakers=[breaker]), samplers.greedy()])
    Sampler(llama, [samplers.dry(sequence_breakers=["x" * 40]), samplers.greedy()])


@pytest.mark.parametrize("seed", [-1, 2**32 - 1, 2**32, 2**62])
def test_seeds_out_of_range_are_refused(llama: Model, seed: int) -> None:
    for make in (samplers.dist, samplers.mirostat_v2):
        with pytest.raises(InvalidRequestError, match="seed"):
            make(seed=seed)
    assert Sampler(llama, [samplers.dist(2**32 - 2)]).sample_logits(logits_for(A)) == A


@pytest.mark.parametrize(
    "stages",
    [
        lambda: [samplers.greedy()],
        lambda: [samplers.dist(1)],
        lambda: [samplers.top_k(10), samplers.top_p(0.9), samplers.dist(1)],
    ],
)
def test_logits_that_are_not_numbers_are_refused(llama: Model, stages: Callable[[], list[SamplerStage]]) -> None:
    sampler = Sampler(llama, stages())
    for bad in (NAN, INFINITY):
        logits = logits_for(A)
        logits[::3] = bad
        with pytest.raises(DecodeError, match="numbers"):
            sampler.sample_logits(logits)
    with pytest.raises(DecodeError, match="numbers"):
        sampler.sample_logits(np.full(tiny.N_VOCAB, -INFINITY, np.float32))
    for n in (0, 1, tiny.N_VOCAB - 1, tiny.N_VOCAB + 1):
        with pytest.raises(InvalidRequestError, match="logits") as raised:
            sampler.sample_logits(np.zeros(n, np.float32))
        assert (raised.value.n_logits, raised.value.n_vocab) == (n, tiny.N_VOCAB)
    some_banned = logits_for(A)
    some_banned[::3] = -INFINITY
    assert sampler.sample_logits(some_banned) == A


def test_chain_that_excludes_every_token_is_refused(llama: Model) -> None:
    ban_all = samplers.logit_bias(dict.fromkeys(range(tiny.N_VOCAB), -INFINITY))
    for last in (samplers.greedy(), samplers.dist(1), samplers.mirostat(), samplers.mirostat_v2()):
        sampler = Sampler(llama, [ban_all, last])
        with pytest.raises(InvalidRequestError):
            sampler.sample_logits(logits_for(A))
        sampler.reset()
    only_a = samplers.grammar('root ::= "a"+')
    for last in (samplers.greedy(), samplers.dist(1)):
        sampler = Sampler(llama, [only_a, samplers.logit_bias({A: -INFINITY}), last])
        with pytest.raises(GrammarError):
            sampler.sample_logits(logits_for(A, B))
        sampler.accept(A)
    sampler = Sampler(llama, [samplers.top_k(1), only_a, samplers.greedy()])
    with pytest.raises(GrammarError):
        sampler.sample_logits(logits_for(B, A))
    assert sampler.sample_logits(logits_for(A, B)) == A


def test_grammar_refuses_a_token_that_it_does_not_allow(llama: Model) -> None:
    sampler = Sampler(llama, [samplers.grammar('root ::= "ab"'), samplers.greedy()])
    for token in (B, tiny.EOS, tiny.BOS, 0):
        with pytest.raises(GrammarError, match=f"token {token}") as raised:
            sampler.accept(token)
        assert raised.value.token == token
    assert sampler.sample_logits(logits_for(B, A)) == A
    with pytest.raises(GrammarError):
        sampler.accept(A)
    copy = sampler.clone()
    for one in (sampler, copy):
        assert one.sample_logits(logits_for(A, B)) == B
        assert one.sample_logits(logits_for(A)) == tiny.EOS
        with pytest.raises(GrammarError):
            one.accept(A)
        one.reset()
        assert one.sample_logits(logits_for(B, A)) == A


BAD_GRAMMARS = {
    "empty": "",
    "no root": 'other ::= "a"',
    "unfinished": 'root ::= "a',
    "undefined rule": "root ::= missing",
    "left recursion": 'root ::= root "a" | "b"',
    "left recursion behind nothing": 'root ::= empty root "a" | "b"\nempty ::= other\nother ::= ""',
    "backward repetition": 'root ::= "a"{5,3}',
    "long repetition": 'root ::= "a"{1,100000}',
    "open repetition": 'root ::= "a"{3000,}',
    "nested repetition": 'root ::= (("a"{1,1000}){1,1000}){1,1000}',
    "parentheses": "root ::= " + "(" * 200_000 + '"a"' + ")" * 200_000,
    "chain": "root ::= r0\n" + "".join(f"r{i} ::= r{i + 1}\n" for i in range(200_000)) + 'r200000 ::= "a"',
    "unknown escape": r'root ::= "\q"',
    "NUL": 'root ::= "a\0b"',
    "unknown token": "root ::= <no such token>",
    "too long": 'root ::= "a" # ' + "x" * (1 << 20),
}


@pytest.mark.parametrize("fault", BAD_GRAMMARS)
def test_dangerous_grammars_are_refused(llama: Model, fault: str, capfd: pytest.CaptureFixture[str]) -> None:
    for make in (samplers.grammar, lambda text: samplers.lazy_grammar(text, trigger_tokens=[A])):
        with pytest.raises(GrammarError) as raised:
            Sampler(llama, [make(BAD_GRAMMARS[fault]), samplers.greedy()])
        assert len(str(raised.value)) < 1000
    with pytest.raises(GrammarError, match="root"):
        Sampler(llama, [samplers.grammar('a ::= "a"', root="b"), samplers.greedy()])
    sound = Sampler(llama, [samplers.grammar('root ::= "a"{2,3}'), samplers.greedy()])
    assert sound.sample_logits(logits_for(B, A)) == A
    assert capfd.readouterr() == ("", "")


def test_sampler_is_unusable_after_a_failed_grammar_until_reset(long_word: Model) -> None:
    # infill reads a piece of more than 512 bytes into a buffer that it makes smaller than nothing.
    sampler = Sampler(long_word, [samplers.infill(), samplers.greedy()])
    only_words = np.full(tiny.N_VOCAB, -INFINITY, np.float32)
    only_words[[tiny.LONG_WORD, A]] = 1.0
    with pytest.raises(GrammarError, match="failed"):
        sampler.sample_logits(only_words)
    for use in (
        lambda: sampler.sample_logits(logits_for(A)),
        lambda: sampler.accept(A),
        lambda: sampler.accept_prompt([A]),
        sampler.clone,
    ):
        with pytest.raises(GrammarError, match="reset"):
            use()
    sampler.reset()
    sampler.accept(A)
    assert sampler.sample_logits(logits_for(tiny.EOS)) == tiny.EOS


@pytest.mark.parametrize("pattern", ["(", "[", "a{2,1}", "*", "a\0b", "(?<x>a)", "\\"])
def test_trigger_patterns_are_checked_and_bounded(long_word: Model, pattern: str) -> None:
    with pytest.raises(GrammarError, match="pattern"):
        Sampler(long_word, [samplers.lazy_grammar('root ::= "a"', trigger_patterns=[pattern]), samplers.greedy()])
    grammar = samplers.lazy_grammar('root ::= "ab"', trigger_patterns=[r"[^]*?(ab?)$"])
    sampler = Sampler(long_word, [grammar, samplers.greedy()])
    sampler.accept(A)  # the trigger
    assert sampler.sample_logits(logits_for(A, B)) == B


def test_text_without_a_trigger_is_bounded(long_word: Model) -> None:
    grammar = samplers.lazy_grammar('root ::= "a"', trigger_patterns=["x"])
    sampler = Sampler(long_word, [grammar, samplers.greedy()])
    for _ in range(2**16 // 600 + 1):
        sampler.accept(tiny.LONG_WORD)
    with pytest.raises(GrammarError, match="trigger") as raised:
        sampler.accept(tiny.LONG_WORD)
    assert raised.value.limit == 2**16
    sampler.reset()
    sampler.accept(tiny.LONG_WORD)
    assert sampler.sample_logits(logits_for(B, A)) == B


def test_infill_needs_an_end_token(bert: Model, llama: Model) -> None:
    with pytest.raises(UnsupportedError, match="end token"):
        Sampler(bert, [samplers.infill(), samplers.greedy()])
    assert Sampler(bert, [samplers.greedy()]).sample_logits(logits_for(A)) == A
    sampler = Sampler(llama, [samplers.top_k(40), samplers.infill(), samplers.greedy()])
    assert 0 <= sampler.sample_logits(logits_for(A, B)) < tiny.N_VOCAB


def test_sampler_of_another_model_is_refused(llama: Model, narrow: Model) -> None:
    context = Context(llama, **tiny.SMALL)
    context.decode(Batch([3, 4]))
    with pytest.raises(InvalidRequestError, match="another Model"):
        Sampler(narrow, [samplers.greedy()]).sample(context)
    sampler = Sampler(llama, [samplers.greedy()])
    with pytest.raises(InvalidRequestError, match="row 0"):
        sampler.sample(context, 0)
    assert sampler.sample(context) == int(context.logits().argmax())
