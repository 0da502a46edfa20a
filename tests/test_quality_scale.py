"""quality_scale.yaml: every rule is done where it says, or exempt for a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.support.each_case import each_case

ROOT = Path(__file__).resolve().parents[1]
SCALE: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(
    (ROOT / "quality_scale.yaml").read_text()
)
RULES = [(level, rule) for level, rules in SCALE.items() for rule in rules]


def test_all_levels_are_there() -> None:
    assert {level: len(rules) for level, rules in SCALE.items()} == {
        "bronze": 18,
        "silver": 10,
        "gold": 21,
        "platinum": 3,
    }


@each_case(("level", "rule"), RULES)
def test_a_rule_is_done_somewhere_or_has_a_reason(level: str, rule: str) -> None:
    entry = SCALE[level][rule]
    assert set(entry) <= {"status", "where", "comment"}
    if entry["status"] == "done":
        assert (ROOT / entry["where"]).exists(), entry
    else:
        assert entry["status"] == "exempt"
        assert len(entry["comment"]) > 10, "say why"
