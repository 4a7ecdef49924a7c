"""``/health``, ``/ready``, ``/metrics``, ``/props`` and ``/v1/models``."""

from __future__ import annotations

from typing import Any

from inllama.build_info import build_info
from inllama.errors import InllamaError
from inllama.server.call import Answer, Call, JsonAnswer
from inllama.server.failures import RETRY_AFTER_S, Failure
from inllama.server.metrics import CONTENT_TYPE


async def health(call: Call) -> Answer:
    """Whether the process serves: also while it loads or drains, but not once the engine has failed."""
    state = call.service.state
    return JsonAnswer({"status": "error" if state == "failed" else "ok"}, 503 if state == "failed" else 200)


async def ready(call: Call) -> Answer:
    """Whether a request would be computed now."""
    state = call.service.state
    if state == "ready":
        return JsonAnswer({"status": "ready"})
    return JsonAnswer({"status": state}, 503, ((b"retry-after", str(RETRY_AFTER_S).encode()),))


async def metrics(call: Call) -> Answer:
    """What Prometheus reads."""
    return JsonAnswer(call.service.metrics.text(), content_type=CONTENT_TYPE)


async def props(call: Call) -> Answer:
    """What the model and the engine are."""
    engine, service = call.engine, call.service
    build = build_info()
    return JsonAnswer(
        {
            "model": service.model_names[0],
            "model_names": service.model_names,
            "n_ctx": engine.n_ctx,
            "max_running": engine.max_running,
            "default_params": engine.default_params.to_dict(),
            "adapters": list(engine.adapters),
            "chat": _chat(call),
            "build": {"version": build.version, "llama_cpp": build.llama_cpp_commit, "backend": build.backend},
        }
    )


def _chat(call: Call) -> dict[str, Any] | None:
    try:
        template = call.engine.chat_template(None)
    except InllamaError:
        return None  # the model has none
    return {"template": template.source, "capabilities": dict(template.capabilities)}


async def models(call: Call) -> Answer:
    """The names of the model."""
    names = call.service.model_names
    # Codex reads "models", whose entries are its own; with none, it asks for what it was configured with.
    return JsonAnswer({"object": "list", "data": [_model(call, name) for name in names], "models": []})


async def model(call: Call) -> Answer:
    """What is known of one name."""
    name = call.path_parameter
    if name not in call.service.model_names:
        raise Failure(404, f"there is no model {name[:100]!r}", code="model_not_found", param="model")
    return JsonAnswer(_model(call, name))


def _model(call: Call, name: str) -> dict[str, Any]:
    # max_model_len: as vLLM has it, which clients read.
    return {
        "id": name,
        "object": "model",
        "created": call.service.created,
        "owned_by": "inllama",
        "max_model_len": call.engine.n_ctx,
    }
