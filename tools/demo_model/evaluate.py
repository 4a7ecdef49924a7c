"""Measures the demo model inside the package on held-out prompts; ``make demo-model-eval`` runs it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from prompts import PROMPTS, Prompt

import inllama

LIMIT = 500


@dataclass(frozen=True)
class Measure:
    """A rate that is reported.

    Attributes:
        title: What is counted.
        kind: Kind of the prompts.
        target: Least share that is wanted; 0 if the rate is only reported.
        counts: Whether an answer counts.
    """

    title: str
    kind: str
    target: float
    counts: Callable[[Prompt, str], bool]


def good(prompt: Prompt, answer: str) -> bool:
    """Whether an answer is what its prompt asks for."""
    return prompt.is_good(answer)


def right(prompt: Prompt, answer: str) -> bool:
    """Whether an answer contains what its prompt expects."""
    return prompt.is_right(answer)


MEASURES = (
    Measure("stories end by themselves", "story", 0.95, good),
    Measure("chat turns end with the end-of-turn token", "chat", 0.98, good),
    Measure("right tool with valid arguments", "call", 0.9, good),
    Measure("reasoning turns close their tag", "thinking", 0.98, good),
    Measure("answers after a tool contain its result", "result", 0.0, good),
    Measure("no call where no tool helps", "words", 0.0, good),
    Measure("chat answers contain the expected word", "chat", 0.0, right),
)


def answers(llm: inllama.LLM, prompts: list[Prompt]) -> list[str]:
    """Returns the continuation of each prompt with the model's recommended sampling, and the token that ended it."""
    tokenizer = llm.model.tokenizer
    ends = tokenizer.end_tokens.tolist()  # given as stop tokens, so that the result says which one it was
    texts = []
    for seed, prompt in enumerate(prompts):
        result = llm.generate(prompt.text, seed=seed, max_tokens=LIMIT, parse_special=True, stop_token_ids=ends)
        stop = result.choices[0].stop
        texts.append(result.text + (tokenizer.token_text(stop) if isinstance(stop, int) else ""))
    return texts


def main() -> None:
    """Prints the rates; the exit status is 1 if one is below its target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo", help="a GGUF file; by default the one inside the package")
    parser.add_argument("--count", type=int, default=250, help="prompts of each kind")
    parser.add_argument("--show", type=int, default=0, help="print so many bad answers of each kind")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    started = time.monotonic()
    below = False
    print(f"| held-out prompts | {'what':42} | rate | target |\n|---|---|---|---|")
    with inllama.LLM(args.model, n_threads=args.threads) as llm:
        given: dict[str, list[tuple[Prompt, str]]] = {}
        for measure in MEASURES:
            if measure.kind not in given:
                prompts = [PROMPTS[measure.kind](number) for number in range(args.count)]
                given[measure.kind] = list(zip(prompts, answers(llm, prompts), strict=True))
            bad = [(prompt, answer) for prompt, answer in given[measure.kind] if not measure.counts(prompt, answer)]
            rate = 1 - len(bad) / args.count
            below |= rate < measure.target
            target = f"{measure.target:.0%}" if measure.target else "none"
            print(f"| {args.count} {measure.kind} | {measure.title:42} | {rate:.1%} | {target} |", flush=True)
            for prompt, answer in bad[: args.show]:
                print(f"    {prompt.text[-200:]!r}\n    expected {prompt.expected}, got {answer!r}")
    print(f"\n{time.monotonic() - started:.0f} s; {'a rate is below its target' if below else 'all targets are met'}")
    sys.exit(1 if below else 0)


if __name__ == "__main__":
    main()
