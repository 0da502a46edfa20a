"""Known vulnerabilities: each that hits a locked version is judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ops.release.vulnerability_check import (
    Advisory,
    advisory_database_findings,
    index_findings,
    known_advisories,
    pinned_versions,
    vulnerability_findings,
)

PINS = [("lock-a.txt", "gevent", "22.10.2"), ("lock-b.txt", "idna", "3.20")]
JUDGED = Advisory("gevent", "CVE-2023-41419", "23.9.0", "not reached, because")


def test_what_is_locked_has_no_vulnerability_that_nobody_judged() -> None:
    assert list(vulnerability_findings(pinned_versions(), known_advisories())) == []


def test_the_advisories_say_enough() -> None:
    for advisory in known_advisories():
        assert advisory.id.startswith(("CVE-", "GHSA-", "PYSEC-"))
        assert advisory.reach is None or len(advisory.reach) > 30
        assert advisory.reach or advisory.fixed_in


def test_a_version_that_is_hit_is_found() -> None:
    unjudged = Advisory("gevent", "CVE-2023-41419", "23.9.0", None)
    assert list(vulnerability_findings(PINS, [JUDGED])) == []
    assert list(vulnerability_findings(PINS, [unjudged])) == [
        "lock-a.txt: gevent 22.10.2 has CVE-2023-41419, fixed in 23.9.0"
    ]
    later = [("lock-a.txt", "gevent", "24.2.1")]
    assert list(vulnerability_findings(later, [unjudged])) == []
    assert "take its reach away" in next(vulnerability_findings(later, [JUDGED]))
    never = Advisory("idna", "CVE-1", None, None)
    assert len(list(vulnerability_findings(PINS, [never]))) == 1


def test_what_the_index_tells_is_found_unless_it_is_judged() -> None:
    asked: list[tuple[str, str]] = []

    def ask(name: str, version: str) -> dict[str, Any]:
        asked.append((name, version))
        told = (
            {"id": "PYSEC-1", "aliases": ["CVE-2023-41419"]} if name == "gevent" else {"id": "P2"}
        )
        return {"vulnerabilities": [told]}

    assert index_findings(PINS, [JUDGED], ask) == ["idna 3.20 has P2"]
    assert set(asked) == {("gevent", "22.10.2"), ("idna", "3.20")}
    assert index_findings(PINS, [], ask) == [
        "gevent 22.10.2 has CVE-2023-41419, PYSEC-1",
        "idna 3.20 has P2",
    ]


def test_an_index_without_such_data_is_asked_once() -> None:
    asked: list[str] = []
    assert index_findings(PINS, [], lambda name, version: asked.append(name)) is None
    assert len(asked) == 1


def osv(**changes: Any) -> str:
    entry = {
        "id": "PYSEC-1",
        "aliases": ["CVE-1"],
        "affected": [{"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}],
    }
    return json.dumps({**entry, **changes})  # JSON is YAML


def spanning(*events: dict[str, str]) -> dict[str, Any]:
    return {"affected": [{"ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}]}


@pytest.mark.parametrize(
    ("changes", "is_hit"),
    [
        ({}, True),
        ({"withdrawn": "2024-01-01T00:00:00Z"}, False),
        ({"aliases": ["CVE-2023-41419"]}, False),
        (spanning({"introduced": "0"}, {"fixed": "22.10.2"}), False),
        (spanning({"introduced": "0"}, {"fixed": "22.10.3"}), True),
        (spanning({"introduced": "22.10.3"}), False),
        (spanning({"introduced": "0"}, {"last_affected": "22.10.2"}), True),
        (spanning({"introduced": "0"}, {"last_affected": "22.10.1"}), False),
        (
            spanning(
                {"introduced": "0"}, {"fixed": "21"}, {"introduced": "22"}, {"fixed": "23.9.0"}
            ),
            True,
        ),
        ({"affected": [{"versions": ["22.10.2"]}]}, True),
        ({"affected": [{"versions": ["22.10.1"]}]}, False),
    ],
)
def test_an_entry_of_the_advisory_database_hits_what_it_spans(
    tmp_path: Path, changes: dict[str, Any], is_hit: bool
) -> None:
    folder = tmp_path / "vulns" / "gevent"
    folder.mkdir(parents=True)
    (folder / "PYSEC-1.yaml").write_text(osv(**changes))
    (tmp_path / "vulns" / "others").mkdir()
    found = advisory_database_findings(PINS, [JUDGED], tmp_path)
    assert bool(found) == is_hit
    assert all(each.startswith("gevent 22.10.2 has CVE-1, PYSEC-1") for each in found)


def test_a_folder_that_is_no_advisory_database_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="vulns"):
        advisory_database_findings(PINS, [JUDGED], tmp_path)
