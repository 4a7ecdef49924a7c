"""Large buffers ask for huge pages, where Linux leaves that to programs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inllama import Context, Model
from inllama.model import demo_path

SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")
N_BYTES = 8 << 20  # of a buffer, at least: 4 huge pages


def asked_bytes() -> int:
    """Return the bytes of this process's memory for which huge pages were asked for."""
    maps = Path("/proc/self/smaps").read_text()
    sizes = re.findall(r"^Size:\s+(\d+) kB$(?:(?!^Size:).)*?^VmFlags:[^\n]* hg\b", maps, re.MULTILINE | re.DOTALL)
    return 1024 * sum(map(int, sizes))


@pytest.mark.skipif(not SWITCH.exists(), reason="this system has no huge pages for programs that ask")
def test_the_kv_cache_asks_for_huge_pages() -> None:
    with Model(demo_path()) as model:
        before = asked_bytes()
        with Context(model, n_ctx=32768) as context:
            assert context.n_ctx >= 32768
            assert asked_bytes() - before >= N_BYTES
