"""``/v1/completions``."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from typing import Any

from inllama.async_stream import AsyncTextStream
from inllama.outputs import Chunk, Completion, Usage, plain_logprobs
from inllama.request import Prompt, is_one
from inllama.scoring import infill_tokens
from inllama.server.answering import FINGERPRINT, finish_of, note_end, plain_timings, stream_failure
from inllama.server.call import Answer, Call, EventAnswer, JsonAnswer
from inllama.server.chat_options import request_options, sampling_params
from inllama.server.completion_body import CompletionBody
from inllama.server.event_text import DONE, event, quoted, to_text
from inllama.server.failures import Failure
from inllama.server.merging import merged


async def completions(call: Call, body: CompletionBody) -> Answer:
    """Continue texts."""
    prompts = _prompts(call, body)
    n_each = body.n or 1
    if body.best_of not in (None, n_each):
        raise Failure(400, "best_of must be n, or left out", code="unsupported_field", param="best_of")
    params, options = sampling_params(body), request_options(body, call, len(prompts))
    name = call.new_name("cmpl-")
    if body.logprobs is not None:
        options["logprobs"] = body.logprobs
    if body.parse_special is not None:
        options["parse_special"] = body.parse_special
    writer = TextChunks(name, call.model, n_each, _echoed(call, body, prompts), has_usage=_has_usage(body))
    if not body.stream:
        results: list[Completion] = await call.aio.generate(prompts, params, **options)  # type: ignore[assignment, arg-type]
        for result in results:
            note_end(call, result)
        return JsonAnswer(writer.whole(results))
    streams = [
        call.aio.stream(prompt, params, **options | {"request_id": f"{name}-{index}" if index else name})
        for index, prompt in enumerate(prompts)
    ]
    try:
        for stream in streams:
            await stream.start()
    except BaseException:
        for stream in streams:
            await stream.aclose()
        raise
    return EventAnswer(_events(call, streams, writer))


def _prompts(call: Call, body: CompletionBody) -> list[Prompt]:
    if not body.prompt:
        raise Failure(400, "the prompt is empty; give it some text", code="invalid_value", param="prompt")
    prompts: list[Prompt] = [body.prompt] if is_one(body.prompt) else list(body.prompt)  # type: ignore[list-item, arg-type]
    if body.suffix is None:
        return prompts
    if not all(isinstance(prompt, str) for prompt in prompts):
        raise Failure(400, "suffix needs a prompt that is text", code="invalid_value", param="suffix")
    return [infill_tokens(call.engine.model.tokenizer, str(prompt), body.suffix) for prompt in prompts]


def _echoed(call: Call, body: CompletionBody, prompts: Sequence[Prompt]) -> list[str]:
    if not body.echo:
        return [""] * len(prompts)
    if body.logprobs is not None:
        raise Failure(400, "echo together with logprobs is not supported here", code="unsupported_field", param="echo")
    if body.suffix is not None:
        raise Failure(400, "echo together with suffix is not supported here", code="unsupported_field", param="echo")
    return [prompt if isinstance(prompt, str) else _text_of(call, prompt) for prompt in prompts]


def _text_of(call: Call, tokens: Sequence[int]) -> str:
    return b"".join(map(call.engine.piece, tokens)).decode("utf-8", "replace")


def _has_usage(body: CompletionBody) -> bool:
    if body.stream_options is None:
        return False
    if not body.stream:
        raise Failure(400, "stream_options needs stream=true", code="invalid_value", param="stream_options")
    return bool(body.stream_options.include_usage)


async def _events(call: Call, streams: Sequence[AsyncTextStream], writer: TextChunks) -> AsyncGenerator[bytes, None]:
    try:
        async with AsyncExitStack() as stack:
            for stream in streams:
                await stack.enter_async_context(stream)
            if start := writer.start():
                yield start
            async for index, chunk in merged(streams):
                yield writer.chunk(index, chunk)
            results = [await stream.result() for stream in streams]
        for result in results:
            note_end(call, result)
        yield writer.end(results)
    except Exception as error:
        yield event(stream_failure(call, error).to_dict())


class TextChunks:
    """Writes answers and chunks in OpenAI's shape.

    Args:
        name: Of the answer.
        model: Its name.
        n_each: Outputs of each prompt.
        echoed: What the outputs of each prompt begin with.
        has_usage: Whether the usage comes last.
    """

    def __init__(self, name: str, model: str, n_each: int, echoed: Sequence[str], *, has_usage: bool) -> None:
        self._n_each = n_each
        self._echoed = echoed
        self._has_usage = has_usage
        self._facts = {
            "id": name,
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": FINGERPRINT,
        }
        self._head = f'data: {to_text(self._facts)[:-1]},"choices":[{{"index":'
        self._usage = ',"usage":null' if has_usage else ""
        self._n_characters = [len(text) for text in echoed for _ in range(n_each)]

    def start(self) -> bytes:
        """The prompts, if they are wanted."""
        texts = [text for text in self._echoed for _ in range(self._n_each)]
        return b"".join(self._piece(index, text, "null", "null") for index, text in enumerate(texts) if text)

    def chunk(self, prompt_index: int, chunk: Chunk) -> bytes:
        """One chunk."""
        index = prompt_index * self._n_each + chunk.index
        logprobs = "null"
        if chunk.logprobs:
            logprobs = to_text(plain_logprobs(chunk.logprobs, self._n_characters[index]))
        self._n_characters[index] += len(chunk.text)
        finish = "null" if chunk.finish_reason is None else to_text(finish_of(chunk.finish_reason))
        return self._piece(index, chunk.text, logprobs, finish)

    def _piece(self, index: int, text: str, logprobs: str, finish: str) -> bytes:
        choice = f'{index},"text":{quoted(text)},"logprobs":{logprobs},"finish_reason":{finish}}}]'
        return f"{self._head}{choice}{self._usage}}}\n\n".encode()

    def end(self, results: Sequence[Completion]) -> bytes:
        """The usage, if it is wanted, and the mark of the end."""
        if not self._has_usage:
            return DONE
        return event({**self._facts, "choices": [], **self._summary(results)}) + DONE

    def whole(self, results: Sequence[Completion]) -> dict[str, Any]:
        """The answer at once."""
        choices = []
        for place, result in enumerate(results):
            for choice in result.to_dict()["choices"]:
                choice["index"] += place * self._n_each
                choice["text"] = self._echoed[place] + choice["text"]
                choice["finish_reason"] = finish_of(choice["finish_reason"])
                choices.append(choice)
        return {**self._facts, "choices": choices, **self._summary(results)}

    def _summary(self, results: Sequence[Completion]) -> dict[str, Any]:
        usages = [result.usage for result in results]
        usage = Usage(
            sum(one.prompt_tokens for one in usages),
            sum(one.completion_tokens for one in usages),
            sum(one.cached_tokens for one in usages),
        )
        return {"usage": usage.to_dict(), "timings": plain_timings(results[0].timings)}
