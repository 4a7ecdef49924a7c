"""``/openapi.json``: the routes and what they read, described from the models that check them."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from inllama.build_info import build_info
from inllama.server.call import Answer, Call, JsonAnswer
from inllama.server.failures import STATUSES
from inllama.server.routes import ROUTES, RouteFacts

_REFERENCE = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")


@cache
def description() -> dict[str, Any]:
    """Return the document."""
    bodies = [route.body for route in ROUTES if route.body is not None]
    names, schemas = models_json_schema([(body, "validation") for body in bodies], ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        schema = None if route.body is None else names[route.body, "validation"]
        path = _PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schema)
    return {
        "openapi": "3.1.0",
        "info": {"title": "inllama", "version": build_info().version},
        "paths": paths,
        "components": {
            "schemas": {**schemas.get("$defs", {}), "Error": _ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: RouteFacts, schema: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "summary": (route.handler.__doc__ or "").partition("\n")[0],
        "responses": {"200": {"description": "The answer."}, "default": _FAILED},
    }
    if not route.is_public:
        found["security"] = [{"key": []}]
    if parameters := _PARAMETER.findall(route.path):
        found["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in parameters
        ]
    if schema is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string", "examples": sorted(status.code for status in STATUSES.values())},
            },
        }
    },
}
_FAILED = {
    "description": "What went wrong.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}


async def openapi(call: Call) -> Answer:
    """The routes and what they read."""
    return JsonAnswer(description())
