"""What `inllama doctor` finds slow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inllama import build_info
from inllama.cli import main, slowness


def told(monkeypatch: pytest.MonkeyPatch, **facts: object) -> str:
    """Return what is told of a machine with 8 cores and 64 GiB that is like this one otherwise."""
    known = {"cores": 8, "limit": 64 << 30, "swap": (0, 0), "quota": None, "build": build_info()} | facts
    monkeypatch.setattr(slowness._core, "usable_cores", lambda: known["cores"])
    monkeypatch.setattr(slowness._core, "memory_limit_bytes", lambda: known["limit"])
    monkeypatch.setattr(slowness, "_swap", lambda: known["swap"])
    monkeypatch.setattr(slowness, "cpu_quota", lambda: known["quota"])
    monkeypatch.setattr(slowness, "build_info", lambda: known["build"])
    return "\n".join(slowness.slow_facts())


def test_a_good_machine_has_nothing_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    build = replace(build_info(), native=True, system="Linux x86_64", cpu_features=("avx2",), backend="vulkan")
    assert told(monkeypatch, build=build) == ""


def test_each_brake_is_named_with_what_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    build = replace(build_info(), native=True, system="Linux x86_64", cpu_features=("sse4_2",))
    assert "uses no AVX2; build it on this machine" in told(monkeypatch, build=build)
    portable = replace(build_info(), native=False, system="Linux x86_64", cpu_features=("avx2",))
    assert "built on this machine" in told(monkeypatch, build=portable)
    assert "2 usable cores" in told(monkeypatch, cores=2)
    assert "allows 1.5 of 8 cores; give n_threads=1" in told(monkeypatch, quota=1.5)
    assert "2.0 GiB of memory" in told(monkeypatch, limit=2 << 30)
    assert "3.0 GiB are swapped out" in told(monkeypatch, swap=(8 << 30, 3 << 30))


def test_the_report_has_memory_extras_and_the_demo_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "free of" in lines["memory"]
    assert {"version", "swap", "cgroup", "slow"} <= set(lines)
