"""``inllama doctor``: what was built and what is present, to be pasted into a bug report."""

from __future__ import annotations

import argparse
import platform
import sys
from importlib import metadata

from inllama.cli.slowness import machine_facts, slow_facts

# What an extra needs.
_EXTRAS = {
    "cli": ("rich", "prompt_toolkit"),
    "hub": ("huggingface_hub",),
    "server": ("starlette", "uvicorn", "httptools", "pydantic", "prometheus-client"),
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        help="show what was built and what this machine has",
        description="Show what was built and what this machine has, to be pasted into a bug report.",
    )
    parser.set_defaults(run=run)


def report() -> list[tuple[str, str]]:
    """Return the facts as (name, value), and try the whole way from a file to a token on the demo model."""
    import numpy

    import inllama
    from inllama import _core

    facts = [(name, _text(value)) for name, value in inllama.build_info().to_dict().items()]
    facts += [
        ("python", f"{sys.version.split()[0]} ({sys.executable})"),
        ("platform", platform.platform()),
        ("numpy", numpy.__version__),
        ("package", inllama.__path__[0]),
        ("usable cores", str(_core.usable_cores())),
    ]
    for device in inllama.devices():
        memory = f"{device.free_bytes >> 20} of {device.memory_bytes >> 20} MiB free"
        facts.append((f"device {device.name}", f"{device.description} ({device.type}, {memory})"))
    facts.append(("llama.cpp", _core.system_info()))
    facts += [(f"extra {name}", _versions(packages)) for name, packages in _EXTRAS.items()]
    facts += machine_facts()
    facts += [("slow", text) for text in slow_facts()] or [("slow", "nothing that is known to be")]
    facts.append(("demo model", _try_demo()))
    return facts


def _versions(packages: tuple[str, ...]) -> str:
    found = []
    for package in packages:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            found.append(f"{package} is missing")
    return ", ".join(found)


def run(parsed: argparse.Namespace) -> int:
    """Print the report; 1 if the demo model did not work."""
    facts = report()
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        print(f"{name:<{width}}  {value}")
    return 0 if facts[-1][1].startswith("works") else 1


def _try_demo() -> str:
    from inllama import LLM, InllamaError

    try:
        with LLM() as llm:
            result = llm.generate("Once upon a time", max_tokens=16, temperature=0)
    except InllamaError as error:
        return f"FAILS: {type(error).__name__}: {error}"
    speed = result.usage.completion_tokens / max(result.timings.total_s, 1e-9)
    return f"works, {speed:.0f} tokens/s"


def _text(value: object) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)
