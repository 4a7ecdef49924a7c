"""``/health``, ``/ready``, ``/metrics``, ``/props`` and ``/v1/models``."""

from __future__ import annotations

from typing import Any

from inllama.build_info import build_info
from inllama.engine import Engine
from inllama.errors import InllamaError
from inllama.server.call import Answer, Call, JsonAnswer
from inllama.server.failures import RETRY_AFTER_S, Failure
from inllama.server.metrics import CONTENT_TYPE
from inllama.server.served import ModelFacts


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
    """What the models and the engine of the first one that is loaded are."""
    facts = call.service.models.facts()
    first = next((one for one in facts if one.engine is not None), facts[0])
    build = build_info()
    return JsonAnswer(
        {
            "model": first.name,
            "model_names": [one.name for one in facts],
            **(_engine_props(first.engine) if first.engine is not None else {}),
            "build": {"version": build.version, "llama_cpp": build.llama_cpp_commit, "backend": build.backend},
        }
    )


def _engine_props(engine: Engine) -> dict[str, Any]:
    return {
        "n_ctx": engine.n_ctx,
        "max_running": engine.max_running,
        "default_params": engine.default_params.to_dict(),
        "adapters": list(engine.adapters),
        "chat": _chat(engine),
    }


def _chat(engine: Engine) -> dict[str, Any] | None:
    try:
        template = engine.chat_template(None)
    except InllamaError:
        return None  # the model has none
    return {"template": template.source, "capabilities": dict(template.capabilities)}


async def models(call: Call) -> Answer:
    """The names of the models, and what there is of each."""
    data = [_model(call, one) for one in call.service.models.facts() if one.name]
    # Codex reads "models", whose entries are its own; with none, it asks for what it was configured with.
    return JsonAnswer({"object": "list", "data": data, "models": []})


async def model(call: Call) -> Answer:
    """What is known of one name."""
    name = call.path_parameter
    found = next((one for one in call.service.models.facts() if one.name == name), None)
    if found is None:
        raise Failure(404, f"there is no model {name[:100]!r}", code="model_not_found", param="model")
    return JsonAnswer(_model(call, found))


def _model(call: Call, facts: ModelFacts) -> dict[str, Any]:
    found = {
        "id": facts.name,
        "object": "model",
        "created": call.service.created,
        "owned_by": "inllama",
        "status": {"state": facts.state, "error": facts.error},
    }
    if facts.engine is not None:
        found["max_model_len"] = facts.engine.n_ctx  # as vLLM has it, which clients read
    return found
