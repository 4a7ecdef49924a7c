"""Lets the interpreter end only when no engine runs and no thread computes."""

import atexit
import os
import weakref
from typing import Protocol

from inllama import _core


class _Closable(Protocol):
    def close(self) -> None: ...


_open: "weakref.WeakSet[_Closable]" = weakref.WeakSet()


def close_at_exit(engine: _Closable) -> None:
    """Close an engine when the interpreter ends, unless it is gone by then."""
    _open.add(engine)


def _close_all() -> None:
    for engine in list(_open):
        engine.close()


# Hooks run from the last to the first: those of users, who may still compute; then native calls are refused, so that no
# daemon thread wakes up to an error, whose traceback it could not write any more; then the engines are closed.
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_core.forget_other_threads)
atexit.register(_close_all)
atexit.register(_core.finish_native_calls)
