"""door_promises.yaml: each test that it names exists, and each point has one."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

TESTS = Path(__file__).parent
PROMISES: dict[str, dict[str, dict[str, list[str]]]] = yaml.safe_load(
    (TESTS / "door_promises.yaml").read_text()
)


def test_every_promise_is_held_by_tests_that_exist() -> None:
    missing = []
    for part, promises in PROMISES.items():
        for promise, files in promises.items():
            assert files, (part, promise)
            for file, names in files.items():
                path = TESTS / file
                text = path.read_text() if path.exists() else ""
                known = set(re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE))
                missing += [f"{file}::{name}" for name in names if name not in known]
                assert names, (promise, file)
    assert missing == []
