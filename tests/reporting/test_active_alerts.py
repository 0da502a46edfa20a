"""Alerts: once when a trouble begins, once when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from VenAgent.contract.alerts import AlertSeverity
from VenAgent.contract.reasons import ReasonCode
from VenAgent.reporting.active_alerts import RECENT_KEPT, ActiveAlerts


@pytest.fixture
def told() -> list[Mapping[str, Any]]:
    return []


@pytest.fixture
def alerts(told: list[Mapping[str, Any]]) -> ActiveAlerts:
    return ActiveAlerts("site-1", told.append)


def test_a_trouble_seen_again_and_again_is_told_once(
    alerts: ActiveAlerts, told: list[Mapping[str, Any]]
) -> None:
    for age_sec in (31, 36, 41):
        alerts.raise_alert(
            "meter.stale", AlertSeverity.WARNING, f"{age_sec} s old", age_sec=age_sec
        )
    assert [(a["code"], a["message"]) for a in told] == [("meter.stale", "31 s old")]
    assert told[0]["venId"] == "site-1"
    assert told[0]["severity"] == "warning"
    assert told[0]["context"] == {"age_sec": 31}
    assert alerts.active() == told


def test_its_end_is_told_once_and_it_may_come_again(
    alerts: ActiveAlerts, told: list[Mapping[str, Any]]
) -> None:
    alerts.clear("meter.stale")
    assert told == []
    alerts.set("meter.stale", AlertSeverity.WARNING, "old")
    alerts.set("meter.stale", AlertSeverity.WARNING, None)
    alerts.clear("meter.stale")
    assert [a["severity"] for a in told] == ["warning", "cleared"]
    assert told[1]["context"]["since_ts"] == told[0]["ts"]
    assert alerts.active() == []
    alerts.set("meter.stale", AlertSeverity.WARNING, "old again")
    assert len(told) == 3


def test_each_circuit_has_its_own(alerts: ActiveAlerts, told: list[Mapping[str, Any]]) -> None:
    for circuit_id in ("heater1", "dryer1"):
        alerts.raise_alert("write.failed", AlertSeverity.CRITICAL, "no answer", subject=circuit_id)
    alerts.clear("write.failed", subject="heater1")
    assert [a["context"]["subject"] for a in told] == ["heater1", "dryer1", "heater1"]
    assert [a["context"]["subject"] for a in alerts.active()] == ["dryer1"]
    assert alerts.recent()[0]["severity"] == "cleared"


def test_only_the_last_ones_are_kept(alerts: ActiveAlerts) -> None:
    for number in range(RECENT_KEPT + 5):
        alerts.raise_alert("x", AlertSeverity.INFO, str(number), subject=str(number))
    assert alerts.recent()[0]["message"] == str(RECENT_KEPT + 4)
    assert len(alerts.recent()) == RECENT_KEPT


def test_why_it_is_there_goes_along_as_a_code() -> None:
    sent: list[Mapping[str, Any]] = []
    alerts = ActiveAlerts("site-1", sent.append)
    alerts.set("write.failed", AlertSeverity.WARNING, "no", reason_code=ReasonCode.WRITE_FAILED)
    alerts.set("write.failed", AlertSeverity.WARNING, None)
    assert [each.get("reason_code") for each in sent] == ["write_failed", None]
