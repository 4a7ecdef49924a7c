"""The ASGI app of an engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from inllama.async_llm import AsyncLLM
from inllama.engine import Engine
from inllama.pool import ModelPool
from inllama.server.endpoint import Endpoint
from inllama.server.gate import Gate
from inllama.server.openapi import openapi
from inllama.server.options import AppOptions
from inllama.server.page_route import page, page_paths
from inllama.server.routes import ROUTES
from inllama.server.service import Service


def create_app(model: Engine | AsyncLLM | ModelPool, **options: Any) -> ASGIApp:
    """Return an ASGI app with OpenAI's and Anthropic's routes over an engine, which it does not close.

    Any number of apps may serve one engine, beside its other faces.

    Args:
        model: An engine; an ``AsyncLLM``, whose model is loaded once the app is started; or a ``ModelPool``, whose
            models are loaded when requests name them.
        **options: Fields of ``AppOptions``.

    Raises:
        InvalidRequestError: An option has a value that is not possible.
        TypeError: An option that does not exist, or something else than an engine.
    """
    return app_of(make_service(model, options))


def make_service(model: Engine | AsyncLLM | ModelPool, options: dict[str, Any]) -> Service:
    """Return what an app serves; arguments and errors as ``create_app``."""
    if not isinstance(model, (Engine, AsyncLLM, ModelPool)):
        raise TypeError(f"model must be an Engine, an AsyncLLM or a ModelPool, not {type(model).__name__}")
    return Service(model, AppOptions.from_keywords(options))


def app_of(service: Service) -> ASGIApp:
    """Return the app of a service."""
    endpoints: dict[str, dict[str, Endpoint]] = {}
    for route in ROUTES:
        endpoint = Endpoint(service, route.handler, route.body, route.needs_engine)
        endpoints.setdefault(route.path, {})[route.method] = endpoint
    routes = [Route(path, _Methods(found), methods=[*found]) for path, found in endpoints.items()]
    routes.append(Route("/openapi.json", Endpoint(service, openapi, needs_engine=False), methods=["GET"]))
    routes += [Route(path, _Page(), methods=["GET"]) for path in page_paths()]

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncGenerator[None, None]:
        service.models.start_loading()
        yield

    public = [*page_paths(), *(route.path for route in ROUTES if route.is_public)]
    return Gate(Router(routes, redirect_slashes=False, lifespan=lifespan), service, public)


class _Methods:
    # With a route for each, Starlette would tell who uses another method of one of them only.
    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        await self._endpoints[method](scope, receive, send)


class _Page:
    # Starlette takes a function for something that returns a response.
    async def __call__(self, *arguments: Any) -> None:
        await page(*arguments)
