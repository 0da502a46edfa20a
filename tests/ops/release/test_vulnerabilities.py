"""Known vulnerabilities: each that hits a locked version is judged."""

from __future__ import annotations

from typing import Any

from ops.release.vulnerability_check import (
    Advisory,
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
