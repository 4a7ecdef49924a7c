"""What holds for all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest

# The C++ side reports leaked objects at exit; `make test` sets it too, for the child processes of tests.
os.environ.setdefault("INLLAMA_LEAK_WARNINGS", "1")

# What a script runs in the background ignores ctrl-c, and so does what it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With ``make test-all`` a test that lacks something fails instead of being skipped."""
    report = yield
    if report.skipped and os.environ.get("INLLAMA_TEST_ALL") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but make test-all requires it: {report.longrepr}"
    return report
