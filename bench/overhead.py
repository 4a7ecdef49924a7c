"""Microseconds that Python adds to every streamed token."""

from __future__ import annotations

import math
import time

from bench.measure import Case, interleave
from inllama import LLM, Batch, Context, Sampler, samplers

PROMPT = [1]
N_NEW = 200
RUNS_PER_ROUND = 10  # short runs, because both sides must see the same machine
TARGET_US = 30.0


class Sides:
    """The demo model, whose computation is short, on one thread, so that no thread waits for another."""

    def __init__(self) -> None:
        # An empty memory on both sides: attention looks at the cells of kept prefixes too.
        self._llm = LLM("demo", n_threads=1, prefix_cache=False)
        model = self._llm.model
        self._context = Context(model, n_threads=1, n_batch=512)
        # The chain of temperature=0 with ignore_eos.
        no_end = {int(token): -math.inf for token in model.tokenizer.end_tokens}
        self._sampler = Sampler(model, [samplers.logit_bias(no_end), samplers.greedy()])

    def stream_us(self) -> float:
        """Return microseconds per token of ``LLM.stream``, from the first chunk to the last token's."""
        n_tokens = 0
        started = ended = 0.0
        for chunk in self._llm.stream(PROMPT, temperature=0.0, ignore_eos=True, max_tokens=N_NEW):
            ended = time.perf_counter() if chunk.token_ids else ended
            started = started or ended
            n_tokens += len(chunk.token_ids)
        assert n_tokens == N_NEW, n_tokens
        return (ended - started) / (N_NEW - 1) * 1e6

    def native_us(self) -> float:
        """Return microseconds per token of the two native calls that a token needs, and nothing else.

        The batch is made once: without positions, each decode goes on where the memory ends. Which token it holds
        makes no difference to the time.
        """
        context, sampler, batch = self._context, self._sampler, Batch(PROMPT)
        context.memory.clear()
        context.decode(batch)
        sampler.sample(context)
        started = time.perf_counter()
        for _ in range(N_NEW - 1):
            context.decode(batch)
            sampler.sample(context)
        return (time.perf_counter() - started) / (N_NEW - 1) * 1e6

    def close(self) -> None:
        """Free the contexts and the model."""
        self._context.close()
        self._llm.close()


def measure_overhead(n_rounds: int) -> list[Case]:
    """Measure the cost of a token outside the native calls."""
    sides = Sides()
    sides.stream_us()
    sides.native_us()
    series = interleave({"stream": sides.stream_us, "native": sides.native_us}, n_rounds * RUNS_PER_ROUND, 0.0)
    sides.close()
    return [
        Case(
            name="Python per token",
            method=(
                f"Demo model, 1 thread, no prefix cache, {N_NEW} tokens per run. Time per token of LLM.stream, less "
                "that of Context.decode and Sampler.sample alone in a loop with a batch that is made once."
            ),
            series=series,
            unit="us/token",
            figure=[ours - native for ours, native in zip(series["stream"], series["native"], strict=True)],
            figure_unit="us",
            target=TARGET_US,
            at_least=False,
            notes={"runs_per_round": RUNS_PER_ROUND},
        )
    ]
