"""How likely a model finds a text that is there already, and prompts that ask for what is missing in the middle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inllama._core import Tokenizer
from inllama.engine import Engine
from inllama.errors import InvalidRequestError, UnsupportedError
from inllama.options import split_keywords
from inllama.params import RequestOptions
from inllama.request import Prepared, Prompt, Template

# Options of a request that do nothing where no token is chosen.
_CHOOSING = ("n", "logprobs", "logits_processors", "output")


def scoring_request(
    engine: Engine, prompt: Prompt, continuation: Prompt, top_logprobs: int, options: Mapping[str, Any]
) -> Prepared:
    """Return the request whose output is the tokens of ``continuation`` with their log-probabilities.

    Texts are tokenized together: tokens that reach over the end of the prompt count to the continuation.

    Raises:
        InvalidRequestError: The continuation has no tokens, or nothing is before it.
        TypeError: An option that has no effect here.
    """
    for name in _CHOOSING:
        if name in options:
            raise TypeError(f"{name!r} has no effect where nothing is generated")
    (asked,) = split_keywords(options, RequestOptions)
    template = Template(engine, None, {**asked, "logprobs": top_logprobs}, is_streaming=False)
    if isinstance(prompt, str) and isinstance(continuation, str):
        before, tokens = template.tokens(prompt), template.tokens(prompt + continuation)
        n_before = next((i for i, (a, b) in enumerate(zip(before, tokens, strict=False)) if a != b), len(before))
    else:
        before = template.tokens(prompt)
        after = (
            template.tokens(continuation)
            if not isinstance(continuation, str)
            else engine.encode(continuation, parse_special=False, add_special=False)
        )
        tokens, n_before = [*before, *after], len(before)
    n_scored = len(tokens) - n_before
    if n_scored < 1:
        raise InvalidRequestError("the continuation adds no tokens to the prompt; give it some text")
    if n_before < 1:
        raise InvalidRequestError(
            "nothing is before the continuation; give a prompt, or a model that begins with a token"
        )
    return template.prepare_tokens(tokens, {"n_scored": n_scored, "max_tokens": 1}, "score")


def infill_tokens(tokenizer: Tokenizer, prefix: str, suffix: str) -> Sequence[int]:
    """Return the prompt that asks for what stands between two texts.

    Raises:
        TypeError: Something else than texts.
        UnsupportedError: The model was not trained for that: its vocabulary has no tokens that mark the parts.
    """
    for name, text in (("prefix", prefix), ("suffix", suffix)):
        if not isinstance(text, str):
            raise TypeError(f"{name} must be text, not {type(text).__name__}")
    marks = (tokenizer.fim_prefix, tokenizer.fim_suffix, tokenizer.fim_middle)
    if None in marks:
        raise UnsupportedError(
            "this model cannot fill in: its vocabulary has no tokens for prefix, suffix and middle; use generate()"
        )
    before = tokenizer.encode(prefix, add_special=False).tolist()
    behind = tokenizer.encode(suffix, add_special=False).tolist()
    start = [tokenizer.bos] if tokenizer.adds_bos else []
    return [*start, marks[0], *before, marks[1], *behind, marks[2]]
