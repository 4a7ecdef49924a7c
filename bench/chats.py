"""What a chat costs besides the model: prompt, parser, grammar, and turns that compute only what is new."""

from __future__ import annotations

import json
import time
from typing import Any

from bench.measure import Case
from inllama import LLM, ChatOptions, Conversation
from inllama._core import ChatTemplate

N_MESSAGES = 20
N_TOKENS = 4096
STEP_S = 0.02  # of a 0.5 B model on two cores
N_TURNS = 10
REPEATS = 50

# As the demo model's own with reasoning=False, but an earlier answer stays what it was.
KEEPING = (
    "{% set thought = '<think>\n\n</think>\n\n' %}{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ thought if message.role == 'assistant' }}{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{{ thought }}{% endif %}"
)
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"look_up_{thing}",
            "description": f"Look up {thing}.",
            "parameters": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "limit": {"type": "integer"}},
                "required": ["name"],
                "additionalProperties": False,
            },
        },
    }
    for thing in ("places", "people", "books")
]


def _messages() -> list[dict[str, Any]]:
    text = "The quick brown fox jumps over the lazy dog, and then it goes home to write 12 letters. "
    roles = ["user", "assistant"]
    first = {"role": "system", "content": "You are a helpful assistant."}
    return [first, *({"role": roles[i % 2], "content": text * 2} for i in range(N_MESSAGES - 1))]


def _inputs(messages: list[dict[str, Any]]) -> dict[str, object]:
    return {
        "messages": json.dumps(messages),
        "tools": json.dumps(TOOLS),
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "add_generation_prompt": True,
        "continue_final_message": False,
        "enable_thinking": None,
        "reasoning": True,
        "kwargs": {},
        "documents": None,
        "json_schema": None,
        "parse_special_content": False,
    }


def _timed_ms(call: Any, n: int) -> list[float]:
    samples: list[float] = []
    for _ in range(n):
        started = time.perf_counter()
        call()
        samples.append((time.perf_counter() - started) * 1e3)
    return samples


def measure_render(n_rounds: int) -> list[Case]:
    """Measure prompts of many messages."""
    messages = _messages()
    with LLM() as llm:
        llm.render_chat(messages)
        rendered = _timed_ms(lambda: llm.render_chat(messages), n_rounds * REPEATS)
        model = llm.model

        def uncached() -> None:
            ChatTemplate(model).prepare(_inputs(messages))

        uncached()
        prepared = _timed_ms(uncached, n_rounds * REPEATS)
        template = ChatTemplate(model)
        template.prepare(_inputs(messages))
        again = _timed_ms(lambda: template.prepare(_inputs(messages)), n_rounds * REPEATS)
    notes = {"n_messages": N_MESSAGES, "options": list(ChatOptions().to_dict())}
    return [
        Case(
            name=f"render {N_MESSAGES} messages",
            method="LLM.render_chat on the demo model: messages to text and tokens, all of Python included.",
            series={"render_chat": rendered},
            unit="ms",
            figure=rendered,
            figure_unit="ms",
            target=1.0,
            at_least=False,
            notes=notes,
        ),
        Case(
            name="render, parser and grammar, uncached",
            method=(
                "A new ChatTemplate of the demo model's template, and one prepare() with three tools: parsing and "
                "analysing the template, prompt, parser and grammar. Beside it, the same again on one ChatTemplate."
            ),
            series={"uncached": prepared, "again": again},
            unit="ms",
            figure=prepared,
            figure_unit="ms",
            target=10.0,
            at_least=False,
            notes=notes,
        ),
    ]


def measure_parser(n_rounds: int) -> list[Case]:
    """Measure the parser over an output that grows token by token."""
    with LLM() as llm:
        parser = ChatTemplate(llm.model).prepare(_inputs(_messages())).parser
    thought = "I look at it from all sides and think about it for a while. " * 40
    answer = "This is what I found out about the question, in some words of mine. " * 180
    text = f"<think>\n{thought}\n</think>\n\n{answer}"
    step = max(1, len(text) // N_TOKENS)
    ends = range(step, len(text), step)

    def read() -> float:
        started = time.perf_counter()
        for end in ends:
            assert parser.parse(text[:end], True) is not None
        return (time.perf_counter() - started) / (len(ends) * STEP_S)

    shares = [read() for _ in range(n_rounds)]
    return [
        Case(
            name=f"parsing {N_TOKENS} chunks",
            method=(
                f"ChatParser.parse of an answer of {len(text)} characters with reasoning, once for each of {len(ends)} "
                f"pieces, over the time in which a model at {STEP_S * 1e3:g} ms per token writes it."
            ),
            series={"parser": shares},
            unit="x of decode time",
            figure=shares,
            figure_unit="x",
            target=0.01,
            at_least=False,
            notes={"step_s": STEP_S},
        )
    ]


def _last_turn(seed: int, **options: Any) -> tuple[int, int]:
    """Return the prompt tokens of a conversation's last turn that are new, and those that are computed."""
    with LLM(n_ctx=8192) as llm:
        talk = Conversation(llm, system="You are a helpful assistant.", max_tokens=40, seed=seed, **options)
        n_known = 0
        for turn in range(N_TURNS):
            usage = talk.send("What sound does a dog make?").usage
            if turn < N_TURNS - 1:
                n_known = usage.prompt_tokens + usage.completion_tokens
    return usage.prompt_tokens - n_known, usage.prompt_tokens - usage.cached_tokens


def measure_turns(n_rounds: int) -> list[Case]:
    """Measure how many prompt tokens of a conversation's last turn are computed."""
    kept = [_last_turn(seed, chat_template=KEEPING) for seed in range(n_rounds)]
    rewritten = [_last_turn(seed, reasoning=False) for seed in range(n_rounds)]
    return [
        Case(
            name=f"turn {N_TURNS} of a conversation",
            method=(
                "Prompt tokens that are computed in the last turn, over those that are new: beyond prompt and answer "
                "of the turn before. With a template that leaves earlier answers as they were. Beside it the demo "
                "model's own with reasoning=False, which writes an empty thought before an answer and leaves it out "
                "of earlier turns, so the last answer is computed again."
            ),
            series={
                "computed": [float(computed) for _, computed in kept],
                "new": [float(new) for new, _ in kept],
                "demo template, computed": [float(computed) for _, computed in rewritten],
                "demo template, new": [float(new) for new, _ in rewritten],
            },
            unit="tokens",
            figure=[computed / new for new, computed in kept],
            figure_unit="x",
            target=1.0,
            at_least=False,
            notes={"n_turns": N_TURNS},
        )
    ]
