"""Large buffers ask for huge pages, where Linux leaves that to programs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")
N_BYTES = 8 << 20  # of a buffer, at least: 4 huge pages
# In a process of its own: memory that was used before is marked already.
CHILD = r"""
import re
from pathlib import Path
from inllama import Context, Model
from inllama.model import demo_path

def asked_bytes():
    maps = Path("/proc/self/smaps").read_text()
    sizes = re.findall(r"^Size:\s+(\d+) kB$(?:(?!^Size:).)*?^VmFlags:[^\n]* hg\b", maps, re.MULTILINE | re.DOTALL)
    return 1024 * sum(map(int, sizes))

with Model(demo_path()) as model:
    before = asked_bytes()
    with Context(model, n_ctx=32768) as context:
        print(asked_bytes() - before)
"""


@pytest.mark.skipif(not SWITCH.exists(), reason="this system has no huge pages for programs that ask")
def test_the_kv_cache_asks_for_huge_pages() -> None:
    child = subprocess.run([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    assert int(child.stdout) >= N_BYTES
