"""The dependency rule: cli -> Python API -> _core -> bind -> {core, its adapters}. Arrows only point down."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "inllama"

# Of the C++17 library and what it takes from C.
_STANDARD = """
    algorithm any array atomic bitset cassert cctype cerrno cfenv cfloat charconv chrono cinttypes climits clocale cmath
    codecvt complex condition_variable csetjmp csignal cstdarg cstddef cstdint cstdio cstdlib cstring ctime cwchar deque
    exception execution filesystem forward_list fstream functional future initializer_list iomanip ios iosfwd iostream
    istream iterator limits list locale map memory memory_resource mutex new numeric optional ostream queue random ratio
    regex scoped_allocator set shared_mutex sstream stack stdexcept streambuf string string_view system_error thread
    tuple type_traits typeindex typeinfo unordered_map unordered_set utility valarray
    variant vector
"""
STANDARD = frozenset(_STANDARD.split())
# Of operating systems; only core/platform may ask for them.
SYSTEM = frozenset(
    {"pthread.h", "sched.h", "signal.h", "unistd.h", "windows.h", "fcntl.h", "poll.h", "errno.h", "process.h"}
)
SYSTEM_FOLDERS = ("sys/", "mach/", "linux/")
LLAMA = re.compile(r"(llama|ggml|gguf|common|mtmd|chat|sampling|json|log|jinja)\b")
XGRAMMAR = re.compile(r"(xgrammar|dlpack|picojson)\b")
ADAPTERS = ("core/llama/", "core/xgrammar/")
FOLDERS = ("core", "core/platform", "core/llama", "core/xgrammar", "bind")
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:<([^>]+)>|"([^"]+)")', re.MULTILINE)

# Files above the size to aim at, with the reason. A new entry is a decision.
LARGE: dict[str, str] = {}


def sources(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in (ROOT / folder).glob("*") if path.suffix in (".h", ".cpp")]
    assert found, folders
    return sorted(found)


def includes(path: Path) -> tuple[list[str], list[str]]:
    """Return what a file includes in angle brackets and in quotes."""
    found = INCLUDE.findall(path.read_text(encoding="utf-8"))
    return [angle for angle, _ in found if angle], [quoted for _, quoted in found if quoted]


def is_system(header: str) -> bool:
    return header in SYSTEM or header.startswith(SYSTEM_FOLDERS)


def layer(path: Path) -> str:
    return path.relative_to(ROOT).parent.as_posix()


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# ------------------------------------------------------------------------------------------------------------ C++


def test_patterns_find_includes() -> None:
    text = '#include <llama.h>\n  # include "core/a.h" // x\n// #include <no>\n#ifdef A\n#include <sys/mman.h>\n'
    assert INCLUDE.findall(text) == [("llama.h", ""), ("", "core/a.h"), ("sys/mman.h", "")]
    assert all(LLAMA.match(header) for header in ("llama.h", "llama-model.h", "ggml-cpu.h", "gguf.h", "common/log.h"))


@pytest.mark.parametrize("path", sources("core"), ids=name_of)
def test_core_includes_the_standard_library_and_core_only(path: Path) -> None:
    angle, quoted = includes(path)
    assert set(angle) <= STANDARD
    assert all(header.startswith("core/") for header in quoted)
    assert not any(header.startswith(ADAPTERS) for header in quoted)


@pytest.mark.parametrize("path", sources("core/platform"), ids=name_of)
def test_platform_includes_headers_of_the_system_and_core(path: Path) -> None:
    angle, quoted = includes(path)
    assert [header for header in angle if header not in STANDARD and not is_system(header)] == []
    assert all(header.startswith("core/") and not header.startswith(ADAPTERS) for header in quoted)


@pytest.mark.parametrize("path", sources("core/llama"), ids=name_of)
def test_adapters_include_llama_and_core(path: Path) -> None:
    angle, quoted = includes(path)
    assert [header for header in angle if header not in STANDARD and not LLAMA.match(header)] == []
    assert all(header.startswith("core/") and not header.startswith("core/xgrammar/") for header in quoted)


@pytest.mark.parametrize("path", sources("core/xgrammar"), ids=name_of)
def test_structures_include_xgrammar_and_core(path: Path) -> None:
    angle, quoted = includes(path)
    assert [header for header in angle if header not in STANDARD and not XGRAMMAR.match(header)] == []
    assert all(header.startswith("core/") and not header.startswith("core/llama/") for header in quoted)


@pytest.mark.parametrize("path", sources("bind"), ids=name_of)
def test_binding_includes_nanobind_and_core_but_no_library(path: Path) -> None:
    angle, quoted = includes(path)
    known = [header in STANDARD or header.startswith("nanobind/") or header == "Python.h" for header in angle]
    assert all(known), angle
    assert all(header.startswith(("core/", "bind/")) for header in quoted)


@pytest.mark.parametrize("path", sources("tests/core"), ids=name_of)
def test_tests_of_core_need_neither_python_nor_llama(path: Path) -> None:
    angle, quoted = includes(path)
    # A test may look at a descriptor as its user would.
    assert [header for header in angle if header not in STANDARD and not is_system(header)] == []
    assert not any(header.startswith((*ADAPTERS, "bind/")) for header in quoted)


def test_headers_are_included_by_their_path_and_exist() -> None:
    for path in sources(*FOLDERS):
        for header in includes(path)[1]:
            assert (ROOT / header).exists(), f"{name_of(path)} includes {header}"


def test_headers_do_not_include_each_other_in_circles() -> None:
    graph = {name_of(path): set(includes(path)[1]) for path in sources(*FOLDERS)}
    graphlib.TopologicalSorter(graph).prepare()


def test_headers_have_an_include_guard() -> None:
    for path in sources(*FOLDERS):
        if path.suffix == ".h":
            assert "\n#pragma once\n" in path.read_text(encoding="utf-8"), name_of(path)


# --------------------------------------------------------------------------------------------------------- Python


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path, *, only_at_import: bool = False) -> Iterator[str]:
    """Yield the full names of what a module imports; of ``from a import b``, both ``a`` and ``a.b``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes: Iterator[ast.AST] = iter(tree.body) if only_at_import else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module_name(path)} has a relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_only_the_command_line_imports_the_command_line(path: Path) -> None:
    if "cli" not in path.relative_to(PACKAGE).parts:
        assert [name for name in imports(path) if name.startswith("inllama.cli")] == []


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_only_the_command_line_and_the_server_import_the_server(path: Path) -> None:
    # The package itself has some of it under its own name, loaded when somebody asks.
    if not {"cli", "server"} & set(path.relative_to(PACKAGE).parts) and path != PACKAGE / "__init__.py":
        assert [name for name in imports(path) if name.startswith("inllama.server")] == []


# What an extra installs, and the only places that may know it.
EXTRAS = {
    "src/inllama/cli/console.py": {"rich", "prompt_toolkit"},
    "src/inllama/cli/progress.py": {"rich"},
    "src/inllama/hub/progress.py": {"tqdm"},
    "src/inllama/hub/refusals.py": {"huggingface_hub"},
    "src/inllama/hub/repository.py": {"huggingface_hub"},
    "src/inllama/hub/transfer.py": {"huggingface_hub", "filelock"},
    "src/inllama/server": {"starlette", "pydantic", "prometheus_client"},
    "src/inllama/server/in_process.py": {"starlette", "openai"},
    "src/inllama/server/listen.py": {"uvicorn"},
    "src/inllama/server/protocol.py": {"uvicorn"},
}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_package_needs_numpy_and_nothing_else(path: Path) -> None:
    tops = {name.partition(".")[0] for name in imports(path)}
    known = EXTRAS.get(name_of(path), EXTRAS.get(layer(path), set()))
    assert tops - set(sys.stdlib_module_names) <= {"inllama", "numpy"} | known


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_only_the_command_line_prints(path: Path) -> None:
    if "cli" in path.relative_to(PACKAGE).parts:
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not (isinstance(node, ast.Name) and node.id == "print"), f"line {node.lineno}"
        assert not (isinstance(node, ast.Attribute) and node.attr in ("stderr", "stdout")), f"line {node.lineno}"


def test_modules_do_not_import_each_other_in_circles() -> None:
    names = {module_name(path): path for path in modules()}
    graph = {
        name: {other for other in imports(path, only_at_import=True) if other in names} - {name, "inllama"}
        for name, path in names.items()
        if name != "inllama"
    }
    graphlib.TopologicalSorter(graph).prepare()


# ---------------------------------------------------------------------------------------------------------- files


def own_files() -> list[Path]:
    folders = ("core", "bind", "src", "tests", "tools", "bench", "cmake", "examples")
    return [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and "models" not in path.parts
    ]


def test_no_file_has_a_name_that_says_nothing() -> None:
    empty = {"util", "utils", "helper", "helpers", "common", "misc", "manager"}
    for path in own_files():
        assert not empty & set(re.split(r"[^a-z]+", path.stem.lower())), name_of(path)


def test_files_are_small_enough_to_read() -> None:
    large = set()
    for path in own_files():
        if path.suffix not in (".h", ".cpp", ".py") or "tests" in path.relative_to(ROOT).parts[:1]:
            continue
        limit = 200 if path.suffix == ".h" else 400
        if len(path.read_text(encoding="utf-8").splitlines()) > limit:
            large.add(name_of(path))
    assert large == set(LARGE)
