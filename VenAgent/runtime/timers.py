"""The timers of a VEN: the engine's deadlines, the devices' lease, the regular report."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event as GreenEvent

from VenAgent.contract.alerts import Severity
from VenAgent.contract.telemetry import Telemetry
from VenAgent.dr.engine import CLOCK_STEP_SEC
from VenAgent.reporting import telemetry_builder as report

if TYPE_CHECKING:
    from VenAgent.ven import Ven

_log = logging.getLogger(__name__)

IDLE_SEC = 30.0
AFTER_FAILURE_SEC = 1.0
AT_ONCE_SEC = 0.1
LATE_SEC = 60.0
"""A deadline of the engine that is over for longer is not kept any more: no lease holds for it."""


class Timers:
    """Greenlets, made anew with each configuration. `engine_changed` wakes the engine's."""

    def __init__(self, ven: Ven) -> None:
        self._ven = ven
        self.engine_changed = GreenEvent()
        self._greenlets: set[gevent.Greenlet] = set()
        now, self._clock_offset_sec = _both_clocks()
        self._made_at = now - self._clock_offset_sec

    def start(self) -> None:
        self._greenlets = {gevent.spawn(self._ven.meter.read_now)}
        for work in (self._keep_time, self._keep_lease, self._report_regularly):
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
        self._ven.alerts.set("agent.failed", Severity.CRITICAL, message)

    def _keep_time(self) -> None:
        """Wake the engine at each of its deadlines, to the millisecond."""
        engine, performer = self._ven.engine, self._ven.performer
        while True:
            self.engine_changed.clear()
            now = self.look_at_the_clock()
            deadline = engine.next_deadline()
            if deadline is not None and deadline <= now:
                performer.perform(engine.tick(now))
                continue
            wait_sec = IDLE_SEC if deadline is None else min(deadline - now, IDLE_SEC)
            self.engine_changed.wait(wait_sec)

    @property
    def is_late(self) -> bool:
        """Whether the engine does not keep its deadlines."""
        deadline = self._ven.engine.next_deadline()
        return deadline is not None and deadline + LATE_SEC < time.time()

    def look_at_the_clock(self) -> float:
        """The time; the engine hears of it when the clock was set. Called before it hears of
        anything else, or it would take the step for time that has passed."""
        now, offset_sec = _both_clocks()
        step_sec = offset_sec - self._clock_offset_sec
        if abs(step_sec) > CLOCK_STEP_SEC:
            _log.warning("the clock was set by %+.1f s", step_sec)
            self._clock_offset_sec += step_sec
            self._ven.performer.perform(self._ven.engine.clock_stepped(step_sec, now))
        return now

    def _keep_lease(self) -> None:
        """While anything is shed, renew the devices' lease."""
        ven, interval_sec = self._ven, self._ven.lease.interval_sec
        while interval_sec is not None:
            gevent.sleep(interval_sec)
            if ven.engine.holds and not self.is_late and ven.lease.renew():
                ven.performer.perform(ven.engine.lease_lapsed(time.time()))
            ven.alerts.set("lease.failed", Severity.WARNING, ven.lease.failure)

    def _report_regularly(self) -> None:
        ven, due = self._ven, time.monotonic()
        while True:
            self._report()
            self._alert(ven.reporter.telemetry())
            ven.look()
            due = max(due + ven.config.report_interval_sec, time.monotonic())
            gevent.sleep(due - time.monotonic())

    def _report(self) -> None:
        """One telemetry with what goes with it. A full disk must not silence us for good."""
        try:
            self._ven.reporter.report()
        except sqlite3.Error as error:
            _log.error("the telemetry could not be put into the outbox: %s", error)
        else:
            self._ven.performer.send_waiting()
        self._ven.wake_link()

    def _alert(self, telemetry: Telemetry) -> None:
        """What the regular look at the site finds: the meter's age, the current, certificates."""
        ven = self._ven
        up_sec = time.monotonic() - self._made_at
        fault = report.meter_fault(telemetry.quality, up_sec, ven.config.stale_after_sec)
        ven.alerts.set("meter.stale", Severity.WARNING, fault)
        ven.alerts.set("panel.over_current", Severity.CRITICAL, report.over_current(telemetry))
        if ven.credentials is not None:
            ven.credentials.alert(ven.alerts.set)


def _both_clocks() -> tuple[float, float]:
    """The time, and by how much it is ahead of the monotonic clock. A process that is held up
    between reading the one and the other would take that for a step, so it reads them again."""
    while True:
        before = time.monotonic()
        now = time.time()
        if time.monotonic() - before < AT_ONCE_SEC:
            return now, now - before
