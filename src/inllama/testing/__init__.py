"""Test a program that uses inllama without a model.

``FakeEngine`` says what you tell it, on the engine that also computes models. With pytest, the fixture ``fake_engine``
makes such engines and closes them; it is there as soon as inllama is installed.

>>> from inllama import LLM
>>> from inllama.testing import FakeEngine
>>> with FakeEngine("Hello!") as engine:
...     LLM(engine).generate("Hi").text
'Hello!'
"""

from inllama.testing.fake_engine import FakeEngine, Reply

__all__ = ["FakeEngine", "Reply"]

# Tracebacks and documentation show the public names.
FakeEngine.__module__ = Reply.__module__ = "inllama.testing"
