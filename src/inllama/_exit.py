"""Lets the interpreter end only when no thread computes."""

import atexit

from inllama import _core

# After the hooks of users, which were registered later: they may still compute.
atexit.register(_core.finish_native_calls)
