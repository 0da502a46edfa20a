"""The timers of a VEN, when something in them fails, and when the clock is set."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import Event as GreenEvent

from tests.dr.house import House
from tests.platform.site import wait_for
from VenAgent.contract.alerts import AlertSeverity
from VenAgent.contract.telemetry import TelemetryQuality
from VenAgent.reporting.active_alerts import ActiveAlerts
from VenAgent.reporting.telemetry_builder import build_telemetry
from VenAgent.runtime import timers
from VenAgent.runtime.timers import LATE_SEC, Timers


class Engine:
    """Has a deadline now, and fails at it as often as it is told."""

    def __init__(self) -> None:
        self.failures = 0
        self.deadline: float | None = None
        self.holds = True
        self.steps: list[float] = []
        self.ticks = 0

    def next_deadline(self) -> float | None:
        return self.deadline

    def tick(self, now: float) -> list[Any]:
        self.ticks += 1
        if self.failures:
            self.failures -= 1
            raise RuntimeError("an error of ours")
        self.deadline = None
        return []

    def clock_stepped(self, step_sec: float, now: float) -> list[Any]:
        self.steps.append(step_sec)
        return []

    def lease_lapsed(self, now: float) -> list[Any]:
        return []


class Lease:
    def __init__(self) -> None:
        self.renewals = 0
        self.interval_sec: float | None = 0.01
        self.failure: str | None = None

    def renew(self) -> bool:
        self.renewals += 1
        return False


class Parts(SimpleNamespace):
    """What the timers touch."""

    def __init__(self) -> None:
        self.raised: list[str] = []
        self.over: list[str] = []
        nothing = SimpleNamespace(value="good")
        super().__init__(
            raised=self.raised,
            sent_waiting=0,
            engine=Engine(),
            failsafe=Lease(),
            meter=SimpleNamespace(read_now=lambda: True),
            executor=SimpleNamespace(
                perform=lambda effects: None,
                send_waiting=self._send,
                engine_changed=GreenEvent(),
            ),
            alerts=ActiveAlerts("site-1", self._publish),
            reporter=SimpleNamespace(report=lambda: gevent.sleep(60), telemetry=lambda: nothing),
            report_interval_sec=60.0,
        )

    def _publish(self, alert: Mapping[str, Any]) -> None:
        is_over = alert["severity"] == AlertSeverity.CLEARED.value
        (self.over if is_over else self.raised).append(alert["code"])

    def _send(self) -> None:
        self.sent_waiting += 1


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    monkeypatch.setattr(timers, "AFTER_FAILURE_SEC", 0.01)
    monkeypatch.setattr(timers, "WELL_AGAIN_SEC", 0.3)
    parts = Parts()
    make: Any = Timers
    parts.timers = make(
        parts.engine,
        parts.executor,
        parts.meter,
        parts.failsafe,
        parts.reporter,
        parts.alerts,
        on_look=lambda: None,
    )
    parts.start = lambda: parts.timers.start(parts.report_interval_sec, 30.0)
    yield parts
    parts.timers.stop()


def test_an_error_at_a_deadline_does_not_keep_the_next_one_from_being_kept(parts: Parts) -> None:
    parts.engine.failures, parts.engine.deadline = 2, time.time()
    parts.start()
    wait_for(lambda: parts.engine.deadline is None, "the deadline is kept")
    assert parts.engine.ticks == 3
    assert parts.raised == ["agent.failed"]
    wait_for(lambda: "agent.failed" in parts.over, "the alert has its end")
    assert parts.over.count("agent.failed") == 1, "when there was none since the last"


def test_a_lease_that_failed_is_over_with_the_next_renewal_or_without_any_lease(
    parts: Parts,
) -> None:
    parts.failsafe.failure = "building/panel: no answer within 5 s"
    parts.start()
    wait_for(lambda: parts.raised == ["lease.failed"], "the alert")
    parts.failsafe.failure = None
    wait_for(lambda: parts.over == ["lease.failed"], "its end")
    parts.failsafe.failure = "building/panel: no answer within 5 s"
    wait_for(lambda: parts.raised == ["lease.failed"] * 2, "it fails again")
    parts.timers.stop()
    parts.failsafe.interval_sec = parts.failsafe.failure = None  # a configuration without leases
    parts.start()
    wait_for(lambda: parts.over == ["lease.failed"] * 2, "its end")


def test_an_over_current_a_stale_meter_and_a_suspect_value_are_alerts_until_they_are_over(
    parts: Parts,
) -> None:
    house, quality = House(), [TelemetryQuality.GOOD]
    suspects: list[Any] = []
    parts.meter.points = SimpleNamespace(suspects=lambda: suspects)
    parts.reporter.telemetry = lambda: build_telemetry(
        house.engine, house.read(), quality[0], seq=7, now=house.now
    )
    parts.reporter.report, parts.report_interval_sec = lambda: None, 0.01
    parts.start()
    wait_for(lambda: parts.sent_waiting > 1, "it looks at the site")
    assert (parts.raised, parts.over) == ([], [])
    house.demand_kw["dryer1"] = 8.0  # 33 A behind a breaker of 30
    wait_for(lambda: parts.raised == ["panel.over_current"], "the alert")
    house.demand_kw["dryer1"] = 3.0
    wait_for(lambda: parts.over == ["panel.over_current"], "its end")
    suspects.append(SimpleNamespace(point="building/panel/total_kw", value=6553.5))
    wait_for(lambda: parts.raised[1:] == ["point.suspect"], "the alert")
    suspects.clear()
    wait_for(lambda: parts.over[1:] == ["point.suspect"], "its end")
    quality[:] = [TelemetryQuality.STALE]
    wait_for(lambda: parts.raised[2:] == ["meter.stale"], "the alert")
    quality[:] = [TelemetryQuality.GOOD]
    wait_for(lambda: parts.over[2:] == ["meter.stale"], "its end")


def test_with_each_report_goes_what_the_outbox_had_not_taken(parts: Parts) -> None:
    """But not when it takes no report: each try may hold the agent for seconds."""
    reports: list[None] = []

    def report() -> None:
        reports.append(None)
        if len(reports) < 3:
            raise sqlite3.OperationalError("database is locked")

    parts.reporter.report, parts.report_interval_sec = report, 0.01
    parts.timers._check_site = lambda telemetry: None
    parts.start()
    wait_for(lambda: len(reports) >= 5, "it reports again and again")
    assert parts.sent_waiting == len(reports) - 2


def test_the_lease_is_not_renewed_for_an_engine_that_keeps_no_deadlines(parts: Parts) -> None:
    parts.engine.failures, parts.engine.deadline = 10_000, time.time()
    parts.start()
    wait_for(lambda: parts.failsafe.renewals > 0, "it is renewed for a while")
    parts.engine.deadline = time.time() - LATE_SEC - 1.0
    known = parts.failsafe.renewals
    ticks = parts.engine.ticks
    wait_for(lambda: parts.engine.ticks > ticks + 10, "it goes on failing")
    assert parts.failsafe.renewals <= known + 1


def test_stopped_it_begins_nothing_again(parts: Parts) -> None:
    parts.engine.failures, parts.engine.deadline = 10_000, time.time()
    parts.start()
    wait_for(lambda: parts.engine.ticks > 3, "it fails")
    parts.timers.stop()
    gevent.sleep(0.05)
    ticks = parts.engine.ticks
    gevent.sleep(0.05)
    assert parts.engine.ticks == ticks


def test_the_engine_hears_of_a_clock_that_was_set_and_not_of_one_that_is_slewed(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead_sec = 0.0
    monkeypatch.setattr(
        timers,
        "time",
        SimpleNamespace(time=lambda: time.time() + ahead_sec, monotonic=time.monotonic),
    )
    parts.timers.check_clock()
    ahead_sec = 1.0
    parts.timers.check_clock()
    assert parts.engine.steps == []
    ahead_sec = -3600.0
    parts.timers.check_clock()
    ahead_sec = 0.0
    parts.timers.check_clock()
    assert parts.engine.steps == pytest.approx([-3600.0, 3600.0], abs=1.0)


def test_a_process_that_is_held_up_while_it_reads_the_clocks_sees_no_step(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading the one and the other, as on a machine with too much to do."""
    held_up_sec = 0.0

    def now_and_then_late() -> float:
        nonlocal held_up_sec
        moment, held_up_sec = time.time() + held_up_sec, held_up_sec + 5.0 * (held_up_sec == 0.0)
        return moment

    monkeypatch.setattr(
        timers,
        "time",
        SimpleNamespace(time=now_and_then_late, monotonic=lambda: time.monotonic() + held_up_sec),
    )
    parts.timers.check_clock()
    parts.timers.check_clock()
    assert parts.engine.steps == []
