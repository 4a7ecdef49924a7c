"""The stages that inllama computes itself choose as llama.cpp's do, and the options of a request reach the engine."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from engines import EXACT, PROMPT

from inllama import LLM, ContextFullError, Model, Sampler, SamplerStage, samplers
from inllama.testing import FakeEngine

Logits = npt.NDArray[np.float32]
N_VOCAB = 2048


# Some first stages are inllama's own. Behind a stage that changes nothing llama.cpp computes them.
def no_effect() -> SamplerStage:
    return samplers.temperature(1.0)


N_DRAWS = 20_000
# Of the normal distribution: less likely than 1e-4 beyond.
UNLIKELY = 3.72


def row(seed: int, width: float = 3.0) -> Logits:
    """Logits without two equal ones."""
    random = np.random.default_rng(seed)
    different = np.unique(random.normal(0, width, 2 * N_VOCAB).astype(np.float32))
    chosen: Logits = random.permutation(different)[:N_VOCAB]
    return chosen


def peaked(seed: int) -> Logits:
    logits = row(seed)
    logits[seed % N_VOCAB] = 20
    return logits


def rising(seed: int) -> Logits:
    return np.linspace(-10, 10, N_VOCAB, dtype=np.float32)


ROWS = [row(1), row(2, 0.01), row(3, 30.0), peaked(4), rising(0), rising(0)[::-1].copy()]
BIASES: list[dict[int, float]] = [{}, {5: -math.inf, 6: 3.0}, dict.fromkeys(range(0, N_VOCAB, 3), -math.inf)]


def chain(first: list[SamplerStage], rest: list[SamplerStage], bias: dict[int, float]) -> list[SamplerStage]:
    return [*([samplers.logit_bias(bias)] if bias else []), *first, *rest]


def draws(sampler: Sampler, logits: Logits, n: int) -> list[int]:
    return [sampler.sample_logits(logits) for _ in range(n)]


# ------------------------------------------------------------------------------------------------------------ greedy


@pytest.mark.parametrize("bias", BIASES, ids=len)
def test_greedy_chooses_what_llama_cpp_chooses(exact_demo: Model, bias: dict[int, float]) -> None:
    fast = Sampler(exact_demo, chain([], [samplers.greedy()], bias))
    slow = Sampler(exact_demo, chain([no_effect()], [samplers.greedy()], bias))
    for logits in (row(seed) for seed in range(500)):
        token = fast.sample_logits(logits)
        assert token == slow.sample_logits(logits)
        biased = logits + [bias.get(i, 0) for i in range(N_VOCAB)]
        assert token == int(np.argmax(biased))


# ------------------------------------------------------------------------------------------------------- top_k first


@pytest.mark.parametrize("k", [1, 2, 40, 300, N_VOCAB, 1 << 30])
@pytest.mark.parametrize("bias", BIASES, ids=len)
def test_top_k_first_draws_the_very_tokens_of_llama_cpp(exact_demo: Model, k: int, bias: dict[int, float]) -> None:
    tails: list[list[SamplerStage]] = [
        [samplers.dist(7)],
        [samplers.top_p(0.9), samplers.min_p(0.05), samplers.temperature(0.8), samplers.dist(8)],
        [samplers.xtc(0.5, 0.02, seed=3), samplers.temperature(1.3), samplers.dist(9)],
        [samplers.temperature(0.9), samplers.mirostat_v2(seed=10)],
    ]
    # These also look at tokens that are excluded, if llama.cpp has them among the k likeliest: typical_p computes
    # 0 * log(0), and dynamic temperature the entropy that they would have.
    if not bias or k < N_VOCAB // 2:
        tails.append([samplers.typical_p(0.7), samplers.temperature(1.3), samplers.dist(11)])
        tails.append([samplers.dynamic_temperature(1.0, 0.5), samplers.dist(12)])
    for tail in tails:
        fast = Sampler(exact_demo, chain([samplers.top_k(k)], tail, bias))
        slow = Sampler(exact_demo, chain([no_effect(), samplers.top_k(k)], tail, bias))
        for logits in ROWS:
            assert draws(fast, logits, 15) == draws(slow, logits, 15)


def test_thousands_of_draws_of_the_default_chain_are_the_same(exact_demo: Model) -> None:
    tail = [samplers.top_p(0.95), samplers.min_p(0.05), samplers.temperature(0.8), samplers.dist(1)]
    fast = Sampler(exact_demo, [samplers.top_k(40), *tail])
    slow = Sampler(exact_demo, [no_effect(), samplers.top_k(40), *tail])
    found = draws(fast, row(5, 1.0), 4000)
    assert found == draws(slow, row(5, 1.0), 4000)
    assert len(set(found)) > 30


# ------------------------------------------------------------------------------------------------------- top_p first


def possible(model: Model, stages: list[SamplerStage], logits: Logits) -> set[int]:
    """The tokens that are left after ``stages``: those that are chosen if something is added to them there."""
    found = set()
    for token in range(N_VOCAB):
        sampler = Sampler(model, [*stages, samplers.logit_bias({token: 1000.0}), samplers.greedy()])
        if sampler.sample_logits(logits) == token:
            found.add(token)
    return found


def nucleus(logits: Logits, p: float, min_p: float) -> set[int]:
    """By the definition."""
    weights = np.exp(logits.astype(np.float64) - logits.max())
    order = np.argsort(-weights)
    n_kept = int(np.searchsorted(np.cumsum(weights[order]), p * weights.sum())) + 1
    return {int(token) for token in order[:n_kept] if weights[token] >= min_p}


@pytest.mark.parametrize(("p", "min_p"), [(0.01, 0.0), (0.5, 0.0), (0.9, 0.0), (0.99, 0.0), (0.9, 0.1), (0.3, 0.9)])
def test_top_p_first_leaves_the_tokens_that_llama_cpp_leaves(exact_demo: Model, p: float, min_p: float) -> None:
    for logits in ROWS:
        first = [samplers.top_p(p), *([samplers.min_p(min_p)] if min_p else [])]
        found = possible(exact_demo, first, logits)
        assert found == possible(exact_demo, [no_effect(), *first], logits)
        assert found == nucleus(logits, p, min_p)


def test_biases_come_before_top_p(exact_demo: Model) -> None:
    logits, bias = row(6), {int(np.argmax(row(6))): -math.inf, 9: 12.0}
    first = [samplers.logit_bias(bias), samplers.top_p(0.8)]
    found = possible(exact_demo, first, logits)
    assert found == possible(exact_demo, [no_effect(), *first], logits)
    biased = (logits + [bias.get(i, 0) for i in range(N_VOCAB)]).astype(np.float32)
    assert found == nucleus(biased, 0.8, 0.0)


def deviation(found: list[int], expected: npt.NDArray[np.float64]) -> float:
    """How far counts are from probabilities: chi-squared as a value of the normal distribution (Wilson-Hilferty)."""
    counts = np.zeros(N_VOCAB)
    for token, count in Counter(found).items():
        counts[token] = count
    wanted = expected * len(found)
    is_frequent = wanted >= 5
    observed = np.append(counts[is_frequent], counts[~is_frequent].sum())
    wanted = np.append(wanted[is_frequent], wanted[~is_frequent].sum())
    observed, wanted = observed[wanted > 0], wanted[wanted > 0]
    free = len(wanted) - 1
    chi_squared = float(((observed - wanted) ** 2 / wanted).sum())
    return ((chi_squared / free) ** (1 / 3) - (1 - 2 / (9 * free))) / math.sqrt(2 / (9 * free))


@pytest.mark.parametrize("is_fast", [True, False], ids=["inllama", "llama.cpp"])
@pytest.mark.parametrize(("p", "min_p", "temperature"), [(0.5, 0.0, 1.0), (0.9, 0.0, 1.5), (0.99, 0.05, 0.7)])
def test_top_p_first_draws_by_probability(
    exact_demo: Model, p: float, min_p: float, temperature: float, is_fast: bool
) -> None:
    logits = row(7)
    stages = [samplers.top_p(p), *([samplers.min_p(min_p)] if min_p else []), samplers.temperature(temperature)]
    sampler = Sampler(exact_demo, [*([] if is_fast else [no_effect()]), *stages, samplers.dist(17)])
    found = draws(sampler, logits, N_DRAWS)
    kept = sorted(nucleus(logits, p, min_p))
    expected = np.zeros(N_VOCAB)
    expected[kept] = np.exp(logits[kept].astype(np.float64) / temperature)
    expected /= expected.sum()
    assert set(found) <= set(kept)
    assert deviation(found, expected) < UNLIKELY
    # It would show if one token were likelier than it should be.
    wrong = expected.copy()
    wrong[int(np.argmax(expected))] *= 1.4
    assert deviation(found, wrong / wrong.sum()) > UNLIKELY


# ------------------------------------------------------------------------------------------------ options of requests


def test_grammar_constrains_the_output(llm: LLM) -> None:
    grammar = 'root ::= " " ("red" | "green" | "blue") "!"'
    for seed in range(5):
        result = llm.generate(PROMPT, grammar=grammar, seed=seed)
        assert result.text in (" red!", " green!", " blue!")
        assert result.finish_reason == "stop"


def test_grammar_of_digits(llm: LLM) -> None:
    result = llm.generate(PROMPT, grammar="root ::= [0-9]+", seed=1, max_tokens=10)
    assert result.text.isdigit()


def test_logit_bias_bans_and_forces(llm: LLM) -> None:
    first = llm.generate(PROMPT, temperature=0, max_tokens=1).token_ids[0]
    banned = llm.generate(PROMPT, temperature=0, max_tokens=20, logit_bias={first: float("-inf")})
    assert first not in banned.token_ids
    forced = llm.generate(PROMPT, temperature=0, max_tokens=5, logit_bias={99: 1000.0})
    assert forced.token_ids == (99,) * 5


def test_top_k_1_is_greedy(llm: LLM) -> None:
    greedy = llm.generate(PROMPT, temperature=0, max_tokens=30).text
    assert llm.generate(PROMPT, temperature=1.5, top_k=1, max_tokens=30).text == greedy


def test_penalties_see_the_prompt_and_the_output(llm: LLM) -> None:
    def count(**options: float) -> int:
        tokens = llm.generate(PROMPT, temperature=0, ignore_eos=True, max_tokens=100, **options).token_ids
        return len(set(tokens))

    assert count(frequency_penalty=2.0, penalty_last_n=512) > count()


def test_penalties_see_tokens_of_the_prompt_that_were_in_memory_already(llm: LLM) -> None:
    first = llm.generate(PROMPT, temperature=0, max_tokens=1).token_ids[0]
    tokens = [*llm.engine.encode(PROMPT), first, *llm.engine.encode(PROMPT)]
    assert llm.generate(tokens, temperature=0, max_tokens=1).token_ids[0] == first
    options = {"temperature": 0, "max_tokens": 1, "presence_penalty": 100.0, "penalty_last_n": len(tokens)}
    with LLM(llm.engine.model) as fresh:
        cold = fresh.generate(tokens, **options)
        warm = fresh.generate(tokens, **options)
    assert cold.usage.cached_tokens == 0
    assert warm.usage.cached_tokens == len(tokens) - 1
    assert cold.token_ids == warm.token_ids
    assert cold.token_ids[0] not in tokens


def test_min_tokens_keeps_the_model_from_ending(llm: LLM) -> None:
    ended = llm.generate(PROMPT, temperature=0)
    n = ended.usage.completion_tokens
    assert ended.finish_reason == "stop"
    assert llm.generate(PROMPT, temperature=0, min_tokens=n).token_ids == ended.token_ids
    longer = llm.generate(PROMPT, temperature=0, min_tokens=n + 5, max_tokens=n + 200)
    assert longer.usage.completion_tokens >= n + 5
    assert longer.token_ids[:n] == ended.token_ids
    assert not set(longer.token_ids) & set(llm.model.tokenizer.end_tokens.tolist())
    assert llm.generate(PROMPT, temperature=0, min_tokens=n + 5, max_tokens=n + 2).finish_reason == "length"


def test_min_tokens_and_what_else_ends_an_output(llm: LLM) -> None:
    plain = llm.generate(PROMPT, temperature=0, max_tokens=30)
    stop = plain.text[10:14]
    assert llm.generate(PROMPT, temperature=0, min_tokens=25, stop=stop).stop == stop
    tokens = llm.generate(PROMPT, temperature=0, min_tokens=25, stop_token_ids=[plain.token_ids[3]]).token_ids
    assert len(tokens) >= 25
    assert llm.generate(PROMPT, grammar='root ::= "red"', min_tokens=25).text == "red"


def test_salts_share_nothing(llm: LLM) -> None:
    def n_cached(prompt: str = PROMPT, **options: Any) -> int:
        return llm.generate(prompt, temperature=0, max_tokens=5, **options).usage.cached_tokens

    n_prompt = len(llm.engine.encode(PROMPT))
    assert [n_cached(cache_salt=salt) for salt in ("", "a", "b", "a", "b", "")] == [0, 0, 0] + [n_prompt - 1] * 3
    rows = llm.map([{"prompt": PROMPT * 20, "cache_salt": salt} for salt in "cdcd"], max_tokens=1)
    assert sorted(row.usage.cached_tokens > n_prompt for row in rows) == [False, False, True, True]


def test_higher_priority_starts_before_those_that_came_earlier() -> None:
    with FakeEngine("a" * 20, step_s=0.001, max_running=1) as engine:
        llm = LLM(engine)
        running = llm.stream(PROMPT)
        next(running)
        low = [llm.stream(PROMPT, priority=-1), llm.stream(PROMPT)]
        high = llm.stream(PROMPT, priority=5)
        waited = [stream.result().timings.queued_s for stream in (high, low[1], low[0])]
        assert waited == sorted(waited)


def test_split_memory_gives_the_same_tokens_and_a_part_of_the_context(llm: LLM) -> None:
    prompts = ["Once upon a time", "Once upon a hill", "One day, a dog", "The little girl"]
    expected = [row.token_ids for row in llm.generate(prompts, temperature=0, max_tokens=40)]
    with LLM(llm.model, kv_mode="split", n_ctx=2048, max_running=4, **EXACT) as split:
        for _ in range(2):
            rows = split.generate(prompts, temperature=0, max_tokens=40)
            assert [row.token_ids for row in rows] == expected
            assert [row.usage.cached_tokens for row in rows] == [0] * 4
        assert split.engine.n_ctx == 512
        assert split.generate(PROMPT, ignore_eos=True).usage.total_tokens == 512
        with pytest.raises(ContextFullError) as caught:
            split.generate([1] * 512)
        assert caught.value.n_ctx == 512


# ------------------------------------------------------------------------------------------------------------- stats


def test_histograms_count_what_happened(llm: LLM) -> None:
    rows = llm.generate([PROMPT, PROMPT, "One day"], temperature=0, max_tokens=20, ignore_eos=True)
    rows += llm.generate([PROMPT], n=3, max_tokens=7, ignore_eos=True)
    stats = llm.stats()
    assert stats.completion_tokens == sum(row.usage.completion_tokens for row in rows) == 81
    assert stats.prompt_tokens == sum(row.usage.prompt_tokens for row in rows)
    assert stats.cached_tokens == sum(row.usage.cached_tokens for row in rows)
    assert stats.step_seconds.count == stats.step_tokens.count == stats.steps
    assert stats.first_token_seconds.count == stats.submitted == stats.finished == 4
    assert stats.inter_token_seconds.count == 81 - 6  # of each output all but the first
    n_outputs = 6
    # Each output token but an output's last one is computed, and so is what was not cached.
    assert stats.step_tokens.sum == stats.prefill_tokens + stats.completion_tokens - n_outputs
    for histogram in (stats.step_seconds, stats.step_tokens, stats.first_token_seconds, stats.inter_token_seconds):
        assert len(histogram.counts) == len(histogram.bounds) + 1
        assert list(histogram.bounds) == sorted(histogram.bounds)
        assert sum(histogram.counts) == histogram.count
        lowest = sum(count * bound for count, bound in zip(histogram.counts[1:], histogram.bounds, strict=True))
        assert lowest <= histogram.sum
    plain = stats.to_dict()
    assert plain["step_seconds"]["counts"] == stats.step_seconds.counts


def test_reproducible_requests_are_counted_too(llm: LLM) -> None:
    llm.generate(PROMPT, max_tokens=5, ignore_eos=True)
    llm.generate(PROMPT, max_tokens=6, ignore_eos=True, reproducible=True)
    stats = llm.stats()
    assert (stats.submitted, stats.finished, stats.completion_tokens) == (2, 2, 11)
    assert stats.step_seconds.count == stats.steps == 11
    assert stats.inter_token_seconds.count == 9
