"""tools/schema_suite.py counts what is possible, what is refused, and what should not be possible."""

from __future__ import annotations

import importlib.util
import json
import sys
from contextlib import ExitStack
from pathlib import Path

TOOL = Path(__file__).resolve().parents[2] / "tools" / "schema_suite.py"


def test_a_suite_is_counted(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("schema_suite", TOOL)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    sys.modules["schema_suite"] = tool
    spec.loader.exec_module(tool)

    def example(data: object, *, valid: bool) -> dict[str, object]:
        return {"description": "d", "data": data, "valid": valid}

    groups = [
        {
            "description": "an integer",
            "schema": {"type": "integer"},
            "tests": [example(1, valid=True), example(1.0, valid=True), example("a", valid=False)],
        },
        {"description": "a wrong expectation", "schema": {"const": 1}, "tests": [example(1, valid=False)]},
        {"description": "no way", "schema": {"not": {}}, "tests": []},
    ]
    (tmp_path / "small.json").write_text(json.dumps(groups))
    with ExitStack() as open_things:
        report = tool.compare(tmp_path, tool.inllama_structures(open_things))
    assert (report.schemas, report.valid, report.invalid) == (2, 1, 1)
    assert [line.rpartition(": ")[2] for line in report.missing] == ["1.0"]
    assert [line.rpartition(": ")[2] for line in report.broken] == ["1"]
    assert report.refused.total() == 1
