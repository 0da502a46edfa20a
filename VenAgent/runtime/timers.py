"""The timers of a VEN: the engine's deadlines, the devices' lease, the regular report."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable

import gevent

from VenAgent.contract.alerts import AlertSeverity
from VenAgent.contract.telemetry import Telemetry
from VenAgent.dr.engine import CLOCK_STEP_SEC, Engine
from VenAgent.reporting.active_alerts import ActiveAlerts
from VenAgent.reporting.reporter import Reporter
from VenAgent.reporting.telemetry_alerts import (
    telemetry_alert_meter_fault,
    telemetry_alert_over_current,
)
from VenAgent.runtime.effect_executor import EffectExecutor
from VenAgent.site.failsafe import Failsafe
from VenAgent.site.meter import Meter

_log = logging.getLogger(__name__)

IDLE_SEC = 30.0
AFTER_FAILURE_SEC = 1.0
WELL_AGAIN_SEC = 60.0
"""An error of ours is over when its work has gone on for so long without another."""
AT_ONCE_SEC = 0.1
SUSPECT = "point.suspect"
LATE_SEC = 60.0
"""A deadline of the engine that is over for longer is not kept any more: no lease holds for it."""


class Timers:
    """Greenlets, made anew with each configuration. `on_look`: called with each report, after the
    regular look at the site; it is for what else may have changed with time."""

    def __init__(
        self,
        engine: Engine,
        executor: EffectExecutor,
        meter: Meter,
        failsafe: Failsafe,
        reporter: Reporter,
        alerts: ActiveAlerts,
        on_look: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._executor = executor
        self._meter = meter
        self._failsafe = failsafe
        self._reporter = reporter
        self._alerts = alerts
        self._on_look = on_look
        self._suspects: set[str] = set()
        """The points that an alert is raised for."""
        self._greenlets: set[gevent.Greenlet] = set()
        self._failures = 0
        now, self._clock_offset_sec = _both_clocks()
        self._made_at = now - self._clock_offset_sec

    def start(self, report_interval_sec: float, stale_after_sec: float) -> None:
        """Begin, as the configuration has it; `stop` first if they run."""
        self._report_interval_sec = report_interval_sec
        self._stale_after_sec = stale_after_sec
        self._greenlets = {gevent.spawn(self._meter.read_now)}
        for work in (self._keep_deadlines, self._keep_lease, self._report_regularly):
            self._spawn(work)

    def stop(self) -> None:
        gevent.killall(list(self._greenlets))
        self._greenlets.clear()

    def _spawn(self, work: Callable[[], None], after_sec: float = 0.0) -> None:
        """Do this for ever: an error in it must not keep an event from ending, or a report from
        going out, ever after."""
        greenlet = gevent.spawn_later(after_sec, work)
        greenlet.link_exception(lambda dead: gevent.spawn(self._failed, work, dead))
        self._greenlets.add(greenlet)

    def _failed(self, work: Callable[[], None], dead: gevent.Greenlet) -> None:
        if dead not in self._greenlets:  # of an earlier configuration
            return
        self._greenlets.discard(dead)
        self._spawn(work, AFTER_FAILURE_SEC)
        message = f"an error in the agent: {dead.exception!r}; it goes on, see its log"
        _log.error("%s: %s", work.__name__, message)
        self._alerts.set("agent.failed", AlertSeverity.CRITICAL, message)
        self._failures += 1
        gevent.spawn_later(AFTER_FAILURE_SEC + WELL_AGAIN_SEC, self._well_again, self._failures)

    def _well_again(self, failures: int) -> None:
        if failures == self._failures:  # none since
            self._alerts.set("agent.failed", AlertSeverity.CRITICAL, None)

    def _keep_deadlines(self) -> None:
        """Wake the engine at each of its deadlines, to the millisecond."""
        engine_changed = self._executor.engine_changed
        while True:
            engine_changed.clear()
            now = self.check_clock()
            deadline = self._engine.next_deadline()
            if deadline is not None and deadline <= now:
                self._executor.perform(self._engine.tick(now))
                continue
            wait_sec = IDLE_SEC if deadline is None else min(deadline - now, IDLE_SEC)
            engine_changed.wait(wait_sec)

    @property
    def is_late(self) -> bool:
        """Whether the engine does not keep its deadlines."""
        deadline = self._engine.next_deadline()
        return deadline is not None and deadline + LATE_SEC < time.time()

    def check_clock(self) -> float:
        """The time; the engine hears of it when the clock was set. Called before it hears of
        anything else, or it would take the step for time that has passed."""
        now, offset_sec = _both_clocks()
        step_sec = offset_sec - self._clock_offset_sec
        if abs(step_sec) > CLOCK_STEP_SEC:
            _log.warning("the clock was set by %+.1f s", step_sec)
            self._clock_offset_sec += step_sec
            self._executor.perform(self._engine.clock_stepped(step_sec, now))
        return now

    def _keep_lease(self) -> None:
        """While anything is shed, renew the devices' lease."""
        failsafe, interval_sec = self._failsafe, self._failsafe.interval_sec
        if interval_sec is None:  # of an earlier configuration there may be one that failed
            self._alerts.clear("lease.failed")
        while interval_sec is not None:
            gevent.sleep(interval_sec)
            if self._engine.holds and not self.is_late and failsafe.renew():
                self._executor.perform(self._engine.lease_lapsed(time.time()))
            self._alerts.set("lease.failed", AlertSeverity.WARNING, failsafe.failure)

    def _report_regularly(self) -> None:
        due = time.monotonic()
        while True:
            self._report()
            self._check_site(self._reporter.telemetry())
            self._on_look()
            due = max(due + self._report_interval_sec, time.monotonic())
            gevent.sleep(due - time.monotonic())

    def _report(self) -> None:
        """One telemetry with what goes with it. A full disk must not silence us for good."""
        try:
            self._reporter.report()
        except sqlite3.Error as error:
            _log.error("the telemetry could not be put into the outbox: %s", error)
        else:
            self._executor.send_waiting()

    def _check_site(self, telemetry: Telemetry) -> None:
        """What the regular look at the site finds: the meter's age, the current."""
        up_sec = time.monotonic() - self._made_at
        fault = telemetry_alert_meter_fault(telemetry.quality, up_sec, self._stale_after_sec)
        self._alerts.set("meter.stale", AlertSeverity.WARNING, fault)
        self._alert_suspects()
        self._alerts.set(
            "panel.over_current",
            AlertSeverity.CRITICAL,
            telemetry_alert_over_current(telemetry),
        )

    def _alert_suspects(self) -> None:
        """One alert for each point whose value cannot be, with that value; each has its end."""
        suspects = {each.point: each for each in self._meter.points.suspects()}
        for point in self._suspects - set(suspects):
            self._alerts.clear(SUSPECT, subject=point)
        for point, suspect in suspects.items():
            self._alerts.raise_alert(
                SUSPECT,
                AlertSeverity.WARNING,
                str(suspect),
                subject=point,
                value=repr(suspect.value),
            )
        self._suspects = set(suspects)


def _both_clocks() -> tuple[float, float]:
    """The time, and by how much it is ahead of the monotonic clock. A process that is held up
    between reading the one and the other would take that for a step, so it reads them again."""
    while True:
        before = time.monotonic()
        now = time.time()
        if time.monotonic() - before < AT_ONCE_SEC:
            return now, now - before
