"""Every route, with what it reads and whether it needs a key: the app, its description and its tests come from here."""

from __future__ import annotations

from dataclasses import dataclass

from inllama.server.body import Body
from inllama.server.chat_body import ChatBody
from inllama.server.chat_route import chat_completions
from inllama.server.completion_body import CompletionBody
from inllama.server.completion_route import completions
from inllama.server.endpoint import Handler
from inllama.server.message_body import CountBody, MessageBody
from inllama.server.message_route import count_tokens, create_message
from inllama.server.response_body import ResponseBody
from inllama.server.response_route import create_response, delete_response, get_response, input_items
from inllama.server.status_route import health, metrics, model, models, props, ready
from inllama.server.text_route import DetokenizeBody, TemplateBody, TokenizeBody, apply_template, detokenize, tokenize
from inllama.server.vector_route import EmbeddingBody, RerankBody, embeddings, rerank


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """One route.

    Attributes:
        method: Of HTTP.
        path: May name a part in braces.
        handler: Answers it; its first sentence describes it.
        body: What a request must hold.
        is_public: Whether it needs no key.
        needs_engine: Whether it is answered once the model is loaded only.
    """

    method: str
    path: str
    handler: Handler
    body: type[Body] | None = None
    is_public: bool = False
    needs_engine: bool = True


ROUTES = (
    RouteFacts("GET", "/health", health, is_public=True, needs_engine=False),
    RouteFacts("GET", "/ready", ready, is_public=True, needs_engine=False),
    RouteFacts("GET", "/metrics", metrics, needs_engine=False),
    RouteFacts("GET", "/props", props, needs_engine=False),
    RouteFacts("GET", "/v1/models", models, needs_engine=False),
    RouteFacts("GET", "/v1/models/{model:path}", model, needs_engine=False),
    RouteFacts("POST", "/v1/chat/completions", chat_completions, ChatBody),
    RouteFacts("POST", "/v1/completions", completions, CompletionBody),
    RouteFacts("POST", "/v1/embeddings", embeddings, EmbeddingBody),
    RouteFacts("POST", "/v1/rerank", rerank, RerankBody),
    RouteFacts("POST", "/v1/responses", create_response, ResponseBody),
    RouteFacts("GET", "/v1/responses/{response_id}", get_response, needs_engine=False),
    RouteFacts("DELETE", "/v1/responses/{response_id}", delete_response, needs_engine=False),
    RouteFacts("GET", "/v1/responses/{response_id}/input_items", input_items, needs_engine=False),
    RouteFacts("POST", "/v1/messages", create_message, MessageBody),
    RouteFacts("POST", "/v1/messages/count_tokens", count_tokens, CountBody),
    RouteFacts("POST", "/tokenize", tokenize, TokenizeBody),
    RouteFacts("POST", "/detokenize", detokenize, DetokenizeBody),
    RouteFacts("POST", "/apply-template", apply_template, TemplateBody),
)
