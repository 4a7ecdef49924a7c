"""``/tokenize``, ``/detokenize`` and ``/apply-template``."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from inllama.off_loop import off_loop
from inllama.server.body import Body
from inllama.server.call import Answer, Call, JsonAnswer
from inllama.server.chat_body import CHAT, HINTS
from inllama.server.chat_options import tool_options
from inllama.server.failures import Failure

# Tokens are not negative 32-bit numbers.
_LAST_TOKEN = 2**31 - 1


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

    tokens: list[int] = Field(description="Their ids.")


class TemplateBody(Body):
    """Messages that shall become a prompt."""

    HINTS: ClassVar[frozenset[str]] = HINTS

    messages: list[dict[str, Any]] = Field(min_length=1)
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    reasoning: bool | None = None
    reasoning_budget: int | None = Field(None, ge=0)
    chat_template_kwargs: dict[str, Any] | None = None
    documents: list[dict[str, Any]] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None


async def tokenize(call: Call, body: TokenizeBody) -> Answer:
    """Return the tokens of a text."""
    call.service.name_for(body.model)
    tokens = await off_loop(
        lambda: call.engine.encode(
            body.content, parse_special=bool(body.parse_special), add_special=bool(body.add_special)
        )
    )
    if not body.with_pieces:
        return JsonAnswer({"tokens": tokens})
    pieces = [call.engine.piece(token) for token in tokens]
    return JsonAnswer(
        {"tokens": [{"id": token, "piece": _shown(piece)} for token, piece in zip(tokens, pieces, strict=True)]}
    )


async def detokenize(call: Call, body: DetokenizeBody) -> Answer:
    """Return the text of tokens."""
    call.service.name_for(body.model)
    if any(not 0 <= token <= _LAST_TOKEN for token in body.tokens):
        raise Failure(400, "a token is not in the vocabulary", code="invalid_value", param="tokens")
    return JsonAnswer({"content": b"".join(map(call.engine.piece, body.tokens)).decode("utf-8", "replace")})


async def apply_template(call: Call, body: TemplateBody) -> Answer:
    """Return the prompt that a chat would make of messages."""
    call.service.name_for(body.model)
    options = body.given(CHAT) | tool_options(body.tools or [], body.tool_choice)
    prompt = await call.service.aio.render_chat(body.messages, **options)
    return JsonAnswer({"prompt": prompt.text, "n_tokens": len(prompt.token_ids)})


def _shown(piece: bytes) -> str | list[int]:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)
