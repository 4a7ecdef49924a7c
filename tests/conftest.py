"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

# The C++ side reports leaked objects at exit; `make test` sets it too, for the child processes of tests.
os.environ.setdefault("INLLAMA_LEAK_WARNINGS", "1")


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
