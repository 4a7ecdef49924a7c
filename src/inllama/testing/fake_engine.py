"""``FakeEngine``: an engine that says what a test tells it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import inllama._core as _core
from inllama.engine import Engine
from inllama.errors import InvalidRequestError
from inllama.params import EngineOptions, SamplingParams
from inllama.request import Prepared
from inllama.testing.fake_template import FakeTemplate
from inllama.texts import PreparedTexts

# Cells are made when they are used.
_N_CTX = 1 << 20
_N_BYTES = 256


@dataclass(frozen=True, slots=True)
class Reply:
    """What a fake model answers to one prompt.

    >>> from inllama import LLM
    >>> from inllama.testing import FakeEngine, Reply
    >>> with FakeEngine(Reply("It was a", error=ConnectionError("gone"), error_after=6)) as engine:
    ...     LLM(engine).generate("Tell me")
    Traceback (most recent call last):
    ConnectionError: gone

    Attributes:
        text: Its text.
        error: What the request ends with instead; this very object is raised.
        error_after: So many bytes of the text come before it.
    """

    text: str = ""
    error: Exception | None = None
    error_after: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise TypeError(f"text must be str, not {type(self.text).__name__}")
        if self.error is not None and not isinstance(self.error, Exception):
            raise TypeError(f"error must be an exception, not {type(self.error).__name__}")
        if not isinstance(self.error_after, int) or isinstance(self.error_after, bool):
            raise TypeError(f"error_after must be int, not {type(self.error_after).__name__}")
        n_bytes = len(_encoded(self.text))
        if not 0 <= self.error_after <= n_bytes:
            raise InvalidRequestError(
                f"error_after is {self.error_after} but must be 0 to {n_bytes}, the bytes of the text",
                option="error_after",
                value=self.error_after,
            )


Answer: TypeAlias = str | Reply | Exception
StepFailure: TypeAlias = Literal["failed", "no_room", "no_memory", "aborted"]


class FakeEngine(Engine):
    """An engine without a model, for tests: its output is what you say.

    Everything else is real: requests are queued, computed together and cancelled, and stop strings, ``max_tokens``,
    ``n``, deadlines, the prefix cache and ``stats()`` work as with a model. A token is a byte, and one more ends an
    output: a step gives each running output one byte.

    Chats work too: a reply may have ``<think>...</think>`` before it, and calls as
    ``<tool_call>{"name": "f", "arguments": {}}</tool_call>``.

    Texts become vectors of 64 numbers: the mean of those of their bytes, so what has bytes in common is alike.

    Options that choose tokens, such as ``temperature``, are checked but change nothing; with ``ignore_eos`` spaces
    follow the reply. Structures such as ``json_schema`` are enforced: where the reply leaves one, the first possible
    byte from the space on takes its place. In ``logprobs`` and for logits processors all tokens are equally likely; one
    that a processor makes likelier takes the place of the reply's.

    >>> from inllama import LLM
    >>> from inllama.testing import FakeEngine
    >>> with FakeEngine(lambda prompt: prompt.upper()) as engine:
    ...     LLM(engine).generate("hello", max_tokens=4).text
    'HELL'

    Args:
        reply: The text of every output; a ``Reply``; an exception, with which every request fails; or a function that
            is given the prompt's text and returns one of these. What it raises counts as returned. It is called once
            per request, by the thread that makes the request.
        step_s: Seconds that a step takes, at most 60. An output takes a step per byte, a prompt one per
            ``step_tokens`` bytes.
        **options: Fields of ``EngineOptions``; ``n_ctx`` is 1,048,576 bytes by default, and those that are about
            hardware change nothing.

    Raises:
        InvalidRequestError: An option has a value that is not possible.
        TypeError: An option that does not exist, or something else than a reply.
    """

    def __init__(
        self,
        reply: Answer | Callable[[str], Answer] = "This is a fake reply.",
        *,
        step_s: float = 0.0,
        **options: Any,
    ) -> None:
        checked = EngineOptions.from_keywords(options)
        if isinstance(step_s, bool) or not isinstance(step_s, (int, float)):
            raise TypeError(f"step_s must be float, not {type(step_s).__name__}")
        if not 0 <= step_s <= 60:
            raise InvalidRequestError(f"step_s is {step_s} but must be 0 to 60 seconds", option="step_s", value=step_s)
        self._always: Reply | None = None
        self._answer: Callable[[str], Answer] | None = None
        if callable(reply):
            self._answer = reply
        else:
            self._always = _reply_of(reply)
        self._model = None
        self._owns_model = False
        self._step_s = float(step_s)
        self._faults = _core.FakeFaults()
        self._start(checked, SamplingParams.defaults())

    def _make_native(self, **changed: object) -> _core.Engine:
        n_ctx = _N_CTX if self._options.n_ctx == "auto" else int(self._options.n_ctx)
        options = {**self._options.to_native(), "n_ctx": n_ctx, **changed}
        return _core.FakeEngine(options, self._step_s, self._faults)

    @property
    def model_name(self) -> str:
        """What results call the model: ``fake``."""
        return "fake"

    def encode(self, text: str, *, parse_special: bool = False, add_special: bool = True) -> list[int]:
        """Return the bytes of a prompt."""
        return list(_encoded(text))

    def chat_template(self, chosen: str | None) -> FakeTemplate:
        """Return a template of tags, whatever is chosen."""
        return FakeTemplate()

    def piece(self, token: int) -> bytes:
        """Return the byte that a token stands for; nothing for the one that ends an output."""
        if not 0 <= token <= _N_BYTES:
            raise InvalidRequestError(f"token {token} is not in the vocabulary of {_N_BYTES + 1} tokens", token=token)
        return bytes([token]) if token < _N_BYTES else b""

    def encode_texts(self, texts: Sequence[str]) -> Sequence[list[int]]:
        """Return the bytes of each text."""
        return [self.encode(text) for text in texts]

    def encode_pair(self, query: str, document: str) -> list[int]:
        """Return the bytes of both, on a line each."""
        return self.encode(f"{query}\n{document}")

    def _load_adapter(self, path: str | os.PathLike[str]) -> str:
        return os.fspath(path)

    @property
    def labels(self) -> tuple[str, ...]:
        """No names."""
        return ()

    @property
    def gives_probabilities(self) -> bool:
        """No."""
        return False

    def submit(self, events: _core.EventQueue, request: Prepared | PreparedTexts) -> int:
        """Hand a request over, as ``Engine.submit``."""
        if isinstance(request, PreparedTexts):
            return super().submit(events, request)
        if "reply" not in request.limits:  # it may come again, when there was no room
            reply = self._reply_to(request)
            # Requests of one call share their limits.
            request.limits = {
                **request.limits,
                "reply": reply.text.encode(),
                "fails_after": None if reply.error is None else reply.error_after,
            }
            request.failure = reply.error
        return super().submit(events, request)

    def fail_steps(self, n: int = 1, status: StepFailure = "failed") -> None:
        """Let the next ``n`` steps fail, to see what recovery does: most failures cost time and change no output.

        Args:
            n: How many.
            status: ``failed``: the computation; what memory holds is lost and computed again, and a request that is
                alone in two of them ends with ``DecodeError``. ``no_memory``: for buffers; the same after nine, and
                steps become smaller. ``no_room``: in the KV cache; something is evicted or preempted, and a request
                that is alone ends with ``ContextFullError`` after two. ``aborted``: the step is tried again.

        Raises:
            InvalidRequestError: A number or a word that is not possible.
        """
        if n < 1:
            raise InvalidRequestError(f"n is {n} but must be at least 1", option="n", value=n)
        self._faults.add(n, status)

    def _reply_to(self, request: Prepared) -> Reply:
        if self._always is not None:
            return self._always
        assert self._answer is not None
        prompt = bytes(token for token in request.tokens if 0 <= token < _N_BYTES).decode(errors="replace")
        try:
            return _reply_of(self._answer(prompt))
        except (StopIteration, StopAsyncIteration) as error:
            # From a stream it would look like its end.
            failure = RuntimeError(f"the function that replies raised {type(error).__name__}")
            failure.__cause__ = error
            return Reply(error=failure)
        except Exception as error:
            return Reply(error=error)


def _reply_of(answer: Answer) -> Reply:
    if isinstance(answer, Reply):
        return answer
    if isinstance(answer, str):
        return Reply(answer)
    if isinstance(answer, Exception):
        return Reply(error=answer)
    raise TypeError(f"a reply must be str, Reply or an exception, not {type(answer).__name__}")


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as problem:
        raise InvalidRequestError(
            f"the text has a lone surrogate at character {problem.start}, which is no Unicode text; decode its source "
            "with errors='replace'",
            character=problem.start,
        ) from None
