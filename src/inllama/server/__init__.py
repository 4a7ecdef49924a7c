"""A server with OpenAI's and Anthropic's routes, in the process of the engine. Needs the extra ``server``.

>>> import inllama
>>> app = inllama.server.create_app(inllama.Engine("demo"))  # for any ASGI server
>>> inllama.server.serve(inllama.Engine("demo"), port=8080)  # or ours
"""

from importlib.util import find_spec as _find_spec
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from inllama.server.options import AppOptions, ListenOptions

if _TYPE_CHECKING:
    from inllama.server.app import create_app
    from inllama.server.listen import serve

__all__ = ["AppOptions", "ListenOptions", "create_app", "serve"]


def _is_there(package: str) -> bool:
    try:
        return _find_spec(package) is not None
    except ImportError:
        return False


for _package in ("starlette", "uvicorn", "httptools", "pydantic", "prometheus_client"):
    if not _is_there(_package):
        raise ImportError(f"inllama.server needs {_package}; pip install 'inllama[server]'", name=_package)

# Every command of the command line reads the options; the rest takes longer to import than all of inllama.
_LATER = {"create_app": "inllama.server.app", "serve": "inllama.server.listen"}


def __getattr__(name: str) -> _Any:
    if name not in _LATER:
        raise AttributeError(f"module 'inllama.server' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LATER[name]), name)
