"""What a request gives back."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from inllama.errors import InvalidRequestError

FinishReason = Literal["stop", "length", "tool_calls", "cancelled"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a request.

    Attributes:
        prompt_tokens: In the prompt, with the tokens that the model adds.
        completion_tokens: In all outputs together.
        cached_tokens: Of the prompt, those that were not computed again.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    def to_dict(self) -> dict[str, Any]:
        """Return OpenAI's shape."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of a request went, in seconds.

    Attributes:
        prefill_s: Computing the prompt.
        first_token_s: From the start of the request to its first token.
        total_s: From the start to the end.
        queued_s: Of that, waiting for others before the prompt was computed.
    """

    prefill_s: float
    first_token_s: float
    total_s: float
    queued_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """How likely a token was at its place, before any sampling option.

    Attributes:
        token: Its id.
        piece: The bytes that it stands for.
        logprob: The natural logarithm of its probability.
        top: The likeliest tokens there, falling, if they were asked for.
    """

    token: int
    piece: bytes
    logprob: float
    top: tuple[TokenLogprob, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the shape that it has in an OpenAI chat completion."""
        return {**self._named(), "top_logprobs": [other._named() for other in self.top]}

    def _named(self) -> dict[str, Any]:
        return {"token": self.piece.decode("utf-8", "replace"), "bytes": list(self.piece), "logprob": self.logprob}


@dataclass(frozen=True, slots=True)
class Choice:
    """One output of a request.

    Attributes:
        index: Which of the request's outputs.
        text: Without the stop string or end token.
        token_ids: The tokens of the output; the last ones may hold the beginning of a stop string.
        finish_reason: ``stop``, ``length`` or ``cancelled``.
        stop: The stop string or the stop token that ended it, if one did.
        seed: Of its random numbers.
        logprobs: Of each token, if they were asked for.
    """

    index: int
    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    stop: str | int | None
    seed: int
    logprobs: tuple[TokenLogprob, ...] | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """The outputs of one request; the attributes of the first one are its own.

    Attributes:
        request_id: The request's name.
        model: The model's name.
        choices: The outputs, in order.
        usage: Tokens.
        timings: Seconds.
        outputs: With ``output=``, the instance that each output stands for.
    """

    request_id: str
    model: str
    choices: tuple[Choice, ...]
    usage: Usage
    timings: Timings
    outputs: tuple[Any, ...] | None = None

    @property
    def parsed(self) -> Any:
        """The instance that the first output stands for; raises ``InvalidRequestError`` without ``output=``."""
        if not self.outputs:
            raise InvalidRequestError("the request had no output type; give output=, and it is here", option="output")
        return self.outputs[0]

    @property
    def text(self) -> str:
        """Text of the first output."""
        return self.choices[0].text

    @property
    def token_ids(self) -> tuple[int, ...]:
        """Tokens of the first output."""
        return self.choices[0].token_ids

    @property
    def finish_reason(self) -> FinishReason:
        """Why the first output ended."""
        return self.choices[0].finish_reason

    @property
    def stop(self) -> str | int | None:
        """The stop string or stop token that ended the first output."""
        return self.choices[0].stop

    @property
    def seed(self) -> int:
        """Seed of the first output."""
        return self.choices[0].seed

    @property
    def logprobs(self) -> tuple[TokenLogprob, ...] | None:
        """Log-probabilities of the first output's tokens, if they were asked for."""
        return self.choices[0].logprobs

    def to_dict(self) -> dict[str, Any]:
        """Return the shape of an OpenAI text completion."""
        return {
            "id": self.request_id,
            "object": "text_completion",
            "model": self.model,
            "choices": [
                {
                    "index": choice.index,
                    "text": choice.text,
                    "finish_reason": choice.finish_reason,
                    "logprobs": None if choice.logprobs is None else plain_logprobs(choice.logprobs),
                }
                for choice in self.choices
            ],
            "usage": self.usage.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed output.

    Attributes:
        text: Complete characters; may be empty in the last chunk.
        token_ids: The tokens since the last chunk.
        index: Which of the request's outputs.
        finish_reason: In the last chunk of an output, why it ended.
        stop: In the last chunk, the stop string or stop token that ended it.
        logprobs: Of each token, if they were asked for.
    """

    text: str
    token_ids: tuple[int, ...]
    index: int = 0
    finish_reason: FinishReason | None = None
    stop: str | int | None = None
    logprobs: tuple[TokenLogprob, ...] = ()


def plain_logprobs(logprobs: Sequence[TokenLogprob], first_offset: int = 0) -> dict[str, Any]:
    """Return the shape that they have in an OpenAI text completion.

    Args:
        logprobs: Of tokens that follow each other.
        first_offset: Characters of the text before them.
    """
    characters = codecs.getincrementaldecoder("utf-8")("replace")
    offsets, n_characters = [], first_offset
    for one in logprobs:
        offsets.append(n_characters)
        n_characters += len(characters.decode(one.piece))
    return {
        "tokens": [_spelling(one) for one in logprobs],
        "token_logprobs": [one.logprob for one in logprobs],
        # The chosen token is there too, whether or not it is one of the likeliest.
        "top_logprobs": [{_spelling(other): other.logprob for other in (*one.top, one)} for one in logprobs],
        "text_offset": offsets,
    }


def _spelling(one: TokenLogprob) -> str:
    # Parts of a character would all look the same.
    try:
        return one.piece.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in one.piece)
