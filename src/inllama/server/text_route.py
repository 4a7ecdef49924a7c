"""``/tokenize``, ``/detokenize`` and ``/apply-template``."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from inllama.engine import Engine
from inllama.off_loop import off_loop
from inllama.server.body import Body, Items
from inllama.server.call import Answer, Call, JsonAnswer
from inllama.server.chat_body import CHAT, HINTS
from inllama.server.chat_options import tool_options
from inllama.server.event_text import to_text
from inllama.server.failures import Failure

# Tokens are not negative 32-bit numbers.
_LAST_TOKEN = 2**31 - 1
_AT_ONCE = 1 << 12


class TokenizeBody(Body):
    """A text that shall become tokens."""

    content: str = Field(description="The text.")
    add_special: bool | None = Field(None, description="Add the tokens that the model puts around a prompt.")
    parse_special: bool | None = Field(None, description="Turn the spelling of control tokens into those tokens.")
    with_pieces: bool | None = Field(
        None, description="Return each token's bytes too, as text or, if they are none, as numbers."
    )


class DetokenizeBody(Body):
    """Tokens that shall become a text."""

    tokens: Items[int] = Field(description="Their ids.")


class TemplateBody(Body):
    """Messages that shall become a prompt."""

    HINTS: ClassVar[frozenset[str]] = HINTS

    messages: Items[dict[str, Any]] = Field(min_length=1)
    tools: Items[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    reasoning: bool | None = None
    reasoning_budget: int | None = Field(None, ge=0)
    chat_template_kwargs: dict[str, Any] | None = None
    documents: Items[dict[str, Any]] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None


async def tokenize(call: Call, body: TokenizeBody) -> Answer:
    """Return the tokens of a text."""
    return JsonAnswer(await off_loop(lambda: _tokenized(call.engine, body)))


def _tokenized(engine: Engine, body: TokenizeBody) -> bytes:
    tokens = engine.encode(body.content, parse_special=bool(body.parse_special), add_special=bool(body.add_special))
    parts = []
    # All at once, an encoder would keep every other thread of Python waiting.
    for start in range(0, len(tokens), _AT_ONCE):
        shown: list[Any] = tokens[start : start + _AT_ONCE]
        if body.with_pieces:
            shown = [{"id": token, "piece": _shown(engine.piece(token))} for token in shown]
        parts.append(to_text(shown)[1:-1].encode())
    return b'{"tokens":[' + b",".join(parts) + b"]}"


async def detokenize(call: Call, body: DetokenizeBody) -> Answer:
    """Return the text of tokens."""
    return JsonAnswer({"content": await off_loop(lambda: _detokenized(call.engine, body.tokens))})


def _detokenized(engine: Engine, tokens: list[int]) -> str:
    if any(not 0 <= token <= _LAST_TOKEN for token in tokens):
        raise Failure(400, "a token is not in the vocabulary", code="invalid_value", param="tokens")
    return b"".join(map(engine.piece, tokens)).decode("utf-8", "replace")


async def apply_template(call: Call, body: TemplateBody) -> Answer:
    """Return the prompt that a chat would make of messages."""
    options = body.given(CHAT) | tool_options(body.tools or [], body.tool_choice)
    prompt = await call.aio.render_chat(body.messages, **options)
    return JsonAnswer({"prompt": prompt.text, "n_tokens": len(prompt.token_ids)})


def _shown(piece: bytes) -> str | list[int]:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)
