"""What a chat request gives back: messages, completions, and the events of a stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from inllama.errors import InvalidRequestError
from inllama.outputs import FinishReason, Timings, TokenLogprob, Usage

T = TypeVar("T")
Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that a model asks for.

    Attributes:
        id: What the tool's result names as ``tool_call_id``.
        name: The tool's.
        arguments: By parameter.
        arguments_text: Their JSON text, as the model wrote it.
    """

    id: str
    name: str
    arguments: dict[str, Any]
    arguments_text: str

    def to_dict(self) -> dict[str, Any]:
        """Return OpenAI's shape."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments_text}}


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a model. It can be appended to the messages of the next request as it is.

    Attributes:
        role: Who wrote it.
        content: Its text; empty if it only calls tools.
        reasoning_content: What the model thought before, if it did.
        tool_calls: The tools that it asks for, in order.
        parse_error: Why the text is content as it came, and not reasoning and tool calls; ``None`` if it could be read.
    """

    role: Role = "assistant"
    content: str = ""
    reasoning_content: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    parse_error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return OpenAI's shape, with ``reasoning_content`` beside it."""
        plain: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.reasoning_content is not None:
            plain["reasoning_content"] = self.reasoning_content
        if self.tool_calls:
            plain["content"] = self.content or None
            plain["tool_calls"] = [call.to_dict() for call in self.tool_calls]
        return plain


@dataclass(frozen=True, slots=True)
class ChatChoice:
    """One answer of a chat request.

    Attributes:
        index: Which of the request's answers.
        message: It.
        finish_reason: ``stop``, ``length``, ``tool_calls`` or ``cancelled``.
        stop: The stop string or the stop token that ended it, if one did.
        seed: Of its random numbers.
        logprobs: Of each token, if they were asked for.
        token_ids: Its tokens, those of reasoning and tool calls included.
        text: All that the model wrote, before it became a message.
    """

    index: int
    message: Message
    finish_reason: FinishReason
    stop: str | int | None
    seed: int
    logprobs: tuple[TokenLogprob, ...] | None = None
    token_ids: tuple[int, ...] = ()
    text: str = ""


# Without slots: with them, ChatCompletion[T](...) raises TypeError on Python 3.11 (frozen, generic and slots together).
@dataclass(frozen=True)
class ChatCompletion(Generic[T]):
    """The answers of one chat request; the attributes of the first one are its own.

    Attributes:
        request_id: The request's name.
        model: The model's name.
        choices: The answers, in order.
        usage: Tokens.
        timings: Seconds.
        outputs: With ``output=``, the instance that each answer stands for.
    """

    request_id: str
    model: str
    choices: tuple[ChatChoice, ...]
    usage: Usage
    timings: Timings
    outputs: tuple[T, ...] | None = None

    @property
    def message(self) -> Message:
        """The first answer."""
        return self.choices[0].message

    @property
    def content(self) -> str:
        """Text of the first answer."""
        return self.message.content

    @property
    def parsed(self) -> T:
        """The instance that the first answer stands for; raises ``InvalidRequestError`` if there is none."""
        if not self.outputs and self.finish_reason == "tool_calls":
            raise InvalidRequestError("the answer calls tools; send their results, and the next one has an instance")
        if not self.outputs:
            raise InvalidRequestError("the request had no output type; give output=, and it is here", option="output")
        return self.outputs[0]

    @property
    def text(self) -> str:
        """All that the model wrote for the first answer."""
        return self.choices[0].text

    @property
    def token_ids(self) -> tuple[int, ...]:
        """Tokens of the first answer."""
        return self.choices[0].token_ids

    @property
    def finish_reason(self) -> FinishReason:
        """Why the first answer ended."""
        return self.choices[0].finish_reason

    @property
    def stop(self) -> str | int | None:
        """The stop string or stop token that ended the first answer."""
        return self.choices[0].stop

    @property
    def seed(self) -> int:
        """Seed of the first answer."""
        return self.choices[0].seed

    @property
    def logprobs(self) -> tuple[TokenLogprob, ...] | None:
        """Log-probabilities of the first answer's tokens, if they were asked for."""
        return self.choices[0].logprobs

    def to_dict(self) -> dict[str, Any]:
        """Return the shape of an OpenAI chat completion."""
        return {
            "id": self.request_id,
            "object": "chat.completion",
            "model": self.model,
            "choices": [_plain_choice(choice) for choice in self.choices],
            "usage": self.usage.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of an answer's content.

    Attributes:
        text: Complete characters.
        index: Which of the request's answers.
        logprobs: Of each token, if they were asked for.
        token_ids: The tokens since the last event that had some.
    """

    type: Literal["text"] = field(default="text", init=False)
    text: str
    index: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    token_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of what the model thinks before it answers.

    Attributes:
        text: Complete characters.
        index: Which of the request's answers.
    """

    type: Literal["reasoning"] = field(default="reasoning", init=False)
    text: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call.

    Attributes:
        index: Which of the request's answers.
        call_index: Which of the answer's calls.
        id: Of the call, in every piece.
        name: In the first piece of a call, the tool's name.
        arguments: The next characters of the arguments' JSON text.
    """

    type: Literal["tool_call"] = field(default="tool_call", init=False)
    index: int = 0
    call_index: int = 0
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an answer.

    Attributes:
        index: Which of the request's answers.
        finish_reason: ``stop``, ``length``, ``tool_calls`` or ``cancelled``.
        stop: The stop string or the stop token that ended it, if one did.
        completion: Everything, with the request's last answer.
    """

    type: Literal["finished"] = field(default="finished", init=False)
    index: int
    finish_reason: FinishReason
    stop: str | int | None = None
    completion: ChatCompletion[Any] | None = None


ChatEvent: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta | Finished


def _plain_choice(choice: ChatChoice) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "index": choice.index,
        "message": choice.message.to_dict(),
        "finish_reason": choice.finish_reason,
        "logprobs": None if choice.logprobs is None else {"content": [one.to_dict() for one in choice.logprobs]},
    }
    if choice.message.parse_error is not None:
        plain["parse_error"] = choice.message.parse_error
    return plain
