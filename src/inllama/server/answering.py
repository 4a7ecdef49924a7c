"""From what a model is asked to an answer: at once, or as the events of a stream; for every API alike."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any, Protocol

from inllama.async_chat_stream import AsyncChatStream
from inllama.build_info import build_info
from inllama.chat_outputs import ChatCompletion, ChatEvent, Finished
from inllama.errors import GrammarError
from inllama.outputs import Timings
from inllama.server.call import Call
from inllama.server.chat_options import Ask
from inllama.server.failures import Failure, failure_of, internal_failure
from inllama.server.served import logger

_build = build_info()
FINGERPRINT = f"inllama-{_build.version}-{_build.llama_cpp_commit[:9]}"


class Writer(Protocol):
    """Writes the events of an answer in the shape of one API."""

    def start(self, n_prompt: int) -> bytes:
        """What comes before the first piece, of an answer to so many tokens."""

    def event(self, event: ChatEvent) -> bytes:
        """A piece, or the end of an output."""

    def end(self, completion: ChatCompletion[Any]) -> bytes:
        """What comes after the last output."""

    def failed(self, failure: Failure) -> bytes:
        """The end of an answer that failed."""


async def complete_chat(call: Call, ask: Ask) -> ChatCompletion[Any]:
    """Return the whole answer."""
    try:
        completion = await call.aio.chat(ask.messages, ask.params, **ask.options)
    except GrammarError as error:
        completion = _completion_of(error)
    note_end(call, completion)
    return completion


async def stream_chat(call: Call, ask: Ask, writer: Writer) -> AsyncGenerator[bytes, None]:
    """Return the events of an answer; what is wrong with the request is raised here, before the first of them."""
    stream = call.aio.stream_chat(ask.messages, ask.params, **ask.options)
    prompt = await stream.start()
    return _events(call, stream, writer, len(prompt.token_ids))


async def _events(
    call: Call, stream: AsyncChatStream[Any], writer: Writer, n_prompt: int
) -> AsyncGenerator[bytes, None]:
    completion: ChatCompletion[Any] | None = None
    ended: set[int] = set()
    try:
        async with stream:
            yield writer.start(n_prompt)
            try:
                async for event in stream:
                    if isinstance(event, Finished):
                        ended.add(event.index)
                        completion = event.completion
                    yield writer.event(event)
            except GrammarError as error:
                completion = _completion_of(error)
                for choice in completion.choices:
                    if choice.index not in ended:
                        yield writer.event(Finished(choice.index, choice.finish_reason, choice.stop))
        assert completion is not None
        note_end(call, completion)
        yield writer.end(completion)
    except Exception as error:
        yield writer.failed(stream_failure(call, error))


def _completion_of(error: GrammarError) -> ChatCompletion[Any]:
    # The model called what its tools do not allow; clients check arguments, and see what it wrote.
    completion = error.fields.get("completion")
    if not isinstance(completion, ChatCompletion):
        raise error
    return completion


def stream_failure(call: Call, error: Exception) -> Failure:
    """Return what is said about an error once an answer has begun; it is counted."""
    failure = failure_of(error)
    if failure is None:
        logger.error("request %s failed", call.request_id, exc_info=error)
        failure = internal_failure(call.request_id)
    call.service.metrics.rejected(failure.code)
    return failure


def note_end(call: Call, completion: Any) -> None:
    """Count a request whose outputs have ended."""
    call.service.metrics.finished((choice.finish_reason for choice in completion.choices), completion.timings)


def plain_timings(timings: Timings) -> dict[str, float]:
    """Return where the time went, in seconds; an addition to OpenAI's shape."""
    return {name: round(value, 6) for name, value in asdict(timings).items()}


def finish_of(reason: str) -> str:
    """Return OpenAI's word for why an output ended."""
    return "stop" if reason == "cancelled" else reason
