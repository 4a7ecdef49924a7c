"""What a request gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

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
class Choice:
    """One output of a request.

    Attributes:
        index: Which of the request's outputs.
        text: Without the stop string or end token.
        token_ids: The tokens of the output; the last ones may hold the beginning of a stop string.
        finish_reason: ``stop``, ``length`` or ``cancelled``.
        stop: The stop string or the stop token that ended it, if one did.
        seed: Of its random numbers.
    """

    index: int
    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    stop: str | int | None
    seed: int


@dataclass(frozen=True, slots=True)
class Completion:
    """The outputs of one request; the attributes of the first one are its own.

    Attributes:
        request_id: The request's name.
        model: The model's name.
        choices: The outputs, in order.
        usage: Tokens.
        timings: Seconds.
    """

    request_id: str
    model: str
    choices: tuple[Choice, ...]
    usage: Usage
    timings: Timings

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

    def to_dict(self) -> dict[str, Any]:
        """Return the shape of an OpenAI text completion."""
        return {
            "id": self.request_id,
            "object": "text_completion",
            "model": self.model,
            "choices": [
                {"index": choice.index, "text": choice.text, "finish_reason": choice.finish_reason, "logprobs": None}
                for choice in self.choices
            ],
            "usage": {
                "prompt_tokens": self.usage.prompt_tokens,
                "completion_tokens": self.usage.completion_tokens,
                "total_tokens": self.usage.total_tokens,
                "prompt_tokens_details": {"cached_tokens": self.usage.cached_tokens},
            },
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
    """

    text: str
    token_ids: tuple[int, ...]
    index: int = 0
    finish_reason: FinishReason | None = None
    stop: str | int | None = None
