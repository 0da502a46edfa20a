"""Each demand of the standard that docs/openadr.md traces has the test that it names."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
_TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def test_every_test_of_the_trace_table_exists() -> None:
    page = (HERE.parent.parent / "docs" / "openadr.md").read_text()
    rows = [line for line in page.partition("| of a VEN | test")[2].splitlines()[2:] if line]
    assert len(rows) > 20
    for row in rows:
        named = _TEST.findall(row)
        assert named, row
        for file, name in named:
            assert f"def {name}(" in (HERE / file).read_text(), f"{file}::{name}"
