"""``build_info()`` says what this copy is made of and starts nothing for it."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

import inllama
from inllama import BuildInfo, build_info

NATIVE = next(Path(inllama.__path__[0]).glob("_core*.so"), None)


def test_every_field_is_filled_in() -> None:
    info = build_info()
    for item in fields(BuildInfo):
        if item.name not in ("native", "cpu_features", "cmake_args"):
            assert getattr(info, item.name), item.name
    assert info == build_info()


def test_fields_have_the_form_that_they_promise() -> None:
    info = build_info()
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", info.version)
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", info.llama_cpp_date)
    assert info.backend in ("cpu", "cuda", "metal", "vulkan")
    assert isinstance(info.native, bool)
    assert all(re.fullmatch(r"[a-z0-9_]+", feature) for feature in info.cpu_features)
    assert platform.machine().lower() in info.system.lower()
    assert any(character.isdigit() for character in info.compiler)


def test_it_is_plain_data() -> None:
    plain = json.loads(json.dumps(build_info().to_dict()))
    assert list(plain) == [item.name for item in fields(BuildInfo)]
    with pytest.raises(FrozenInstanceError):
        build_info().version = "2"  # type: ignore[misc]


def test_every_field_is_described() -> None:
    for item in fields(BuildInfo):
        assert f"        {item.name}: " in (BuildInfo.__doc__ or ""), item.name


@pytest.mark.skipif(NATIVE is None or sys.platform != "linux", reason="reads a shared object of Linux")
def test_native_module_is_small_and_needs_the_system_only() -> None:
    assert NATIVE is not None
    assert NATIVE.stat().st_size <= 15 << 20
    listed = subprocess.run(["ldd", str(NATIVE)], capture_output=True, text=True, check=True).stdout
    names = {Path(line.split()[0]).name.partition(".so")[0] for line in listed.splitlines()}
    system = {
        "libc",
        "libm",
        "libstdc++",
        "libgcc_s",
        "libpthread",
        "linux-vdso",
        "ld-linux-x86-64",
        "ld-linux-aarch64",
    }
    if build_info().backend == "cpu":
        assert names <= system


@pytest.mark.skipif(NATIVE is None or sys.platform != "linux", reason="reads a shared object of Linux")
def test_native_module_exports_its_init_function_only() -> None:
    code = """
import ctypes, sys
import inllama._core as core
library = ctypes.CDLL(core.__file__)
names = ["llama_backend_init", "llama_decode", "ggml_init", "gguf_init_empty", "ggml_abort", "PyInit__core"]
print(*[name for name in names if hasattr(library, name)])
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout == "PyInit__core\n"
