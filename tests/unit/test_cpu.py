"""The CPU is compared with what the build uses before anything could be an illegal instruction."""

from __future__ import annotations

import builtins
import io
import subprocess
import sys
from typing import Any

import pytest

import inllama
from inllama import _cpu

CPUINFO = """processor\t: 0
vendor_id\t: GenuineIntel
flags\t\t: fpu sse sse2 avx avx2 fma f16c
vmx flags\t: vnmi

processor\t: 1
flags\t\t: fpu sse
"""


def with_cpuinfo(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    def open_cpuinfo(path: Any, *arguments: Any, **options: Any) -> Any:
        assert path == "/proc/cpuinfo"
        if text is None:
            raise FileNotFoundError(path)
        return io.StringIO(text)

    monkeypatch.setattr(builtins, "open", open_cpuinfo)


def test_missing_features_are_an_import_error_with_the_remedy() -> None:
    with pytest.raises(ImportError) as caught:
        _cpu.check_cpu(("avx", "avx2", "avx512f"), frozenset({"avx"}))
    text = str(caught.value)
    assert "avx2 avx512f" in text
    assert "INLLAMA_PORTABLE=1" in text


def test_enough_or_unknown_features_are_fine() -> None:
    _cpu.check_cpu(("avx", "avx2"), frozenset({"avx", "avx2", "fma"}))
    _cpu.check_cpu((), frozenset())
    _cpu.check_cpu(("avx",), None)


def test_features_are_read_from_the_first_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    with_cpuinfo(monkeypatch, CPUINFO)
    assert _cpu.cpu_features() == {"fpu", "sse", "sse2", "avx", "avx2", "fma", "f16c"}


@pytest.mark.parametrize("text", ["", "processor\t: 0\nmodel name\t: something\n", None])
def test_features_are_unknown_without_such_a_line(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    with_cpuinfo(monkeypatch, text)
    assert _cpu.cpu_features() is None


def test_features_are_unknown_on_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _cpu.cpu_features() is None


def test_this_machine_has_what_this_build_uses() -> None:
    _cpu.check_cpu(inllama.build_info().cpu_features, _cpu.cpu_features())


def test_import_fails_before_the_native_module_is_loaded() -> None:
    code = """
import importlib.abc, sys
from types import ModuleType
import importlib.util
# The build's configuration, but for a CPU from the future.
class Future(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "inllama._build_config":
            return importlib.util.spec_from_loader(name, self)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        module.CPU_FEATURES = ("avx99999",)
sys.meta_path.insert(0, Future())
try:
    import inllama
except ImportError as error:
    print("avx99999" in str(error), "INLLAMA_PORTABLE=1" in str(error), "inllama._core" in sys.modules)
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if sys.platform == "linux" and _cpu.cpu_features() is not None:
        assert child.stdout == "True True False\n"
