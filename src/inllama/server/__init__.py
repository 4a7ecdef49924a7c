"""A server with OpenAI's and Anthropic's routes, in the process of the engine. Needs the extra ``server``.

>>> import inllama
>>> app = inllama.server.create_app(inllama.Engine("demo"))  # for any ASGI server
>>> inllama.server.serve(inllama.Engine("demo"), port=8080)  # or ours
"""

try:
    import prometheus_client as _prometheus_client  # noqa: F401
    import pydantic as _pydantic  # noqa: F401
    import starlette as _starlette  # noqa: F401
    import uvicorn.protocols.http.httptools_impl as _httptools_impl  # noqa: F401
except ImportError as problem:
    raise ImportError(
        f"inllama.server needs {problem.name}; pip install 'inllama[server]'", name=problem.name
    ) from None

from inllama.server.app import create_app
from inllama.server.listen import serve
from inllama.server.options import AppOptions, ListenOptions

__all__ = ["AppOptions", "ListenOptions", "create_app", "serve"]
