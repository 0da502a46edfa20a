"""The agent stops in order: what does not go back at once is tried again until it is."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gevent
import pytest

from tests.platform.site import ROOT, wait_for
from tests.platform.test_effect_executor import CONFIG, Hands
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.point_write import PointWrite
from VenAgent.reporting.active_alerts import ActiveAlerts
from VenAgent.runtime.timers import Timers
from VenAgent.site.building import SIGN_WITHIN_SEC, Building
from VenAgent.site.device_requests import SIGN_OF_LIFE
from VenAgent.ven import STOP_TRIES, Ven
from VenAgent.volttron_compat import RemoteError, Unreachable


class LostWrites:
    """The first `lost` restores reach no device, and nothing is read after them."""

    def __init__(self, hands: Hands, lost: int) -> None:
        self._write, self._lost = hands.building.write, lost

    def put_back(self, writes: Iterable[PointWrite]) -> dict[str, Any]:
        if not self._lost:
            return self._write(writes)
        self._lost -= 1
        lost = Reason(ReasonCode.NOT_ANSWERED, "lost")
        return {write.circuit_id: lost for write in writes}

    def fresh_reading(self, devices: Iterable[str] | None = None) -> PanelReading:
        return PanelReading(time.time(), None, {})

    def stop(self) -> None:
        pass


class Absent:
    """A part that is not needed here."""

    interval_sec = None

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: ()


def stopped(folder: Path, *, lost: int, has_driver: bool, first_sec: float) -> Hands:
    """A site whose agent was stopped in mid-event. `lost`: so many writes of its restore reach no
    device; `first_sec`: how long it is waited for before the driver is asked for a sign of life."""
    hands, absent = Hands(folder), Absent()
    parts: Any = absent
    hands.send(op="event", event_id="on", shed_kw=3, duration_sec=600)
    wait_for(lambda: hands.engine.running and hands.engine.running.active_ts, "the event is active")
    lossy: Any = LostWrites(hands, lost)
    lossy.has_driver = lambda: has_driver
    hands.building.put_back = lossy.put_back  # type: ignore[method-assign]
    hands.building.fresh_reading = lossy.fresh_reading  # type: ignore[method-assign]

    ven: Any = Ven.__new__(Ven)
    event = CONFIG.event.model_copy(update={"write_timeout_sec": first_sec / STOP_TRIES})
    ven.config = CONFIG.model_copy(update={"event": event})
    ven._engine, ven._executor = hands.engine, hands.executor
    ven._building = lossy
    ven._page_server = ven._page_view = ven._bridge = ven._cloud = ven._data = absent
    alerts = ActiveAlerts(CONFIG.ven_id, lambda alert: None)
    ven._timers = Timers(hands.engine, hands.executor, parts, parts, parts, alerts, lambda: None)
    ven._timers._spawn(ven._timers._keep_deadlines)
    ven.stop()
    assert not ven._timers._greenlets
    return hands


def test_stopped_in_order_a_lost_restore_is_made_again(tmp_path: Path) -> None:
    """The timers ended first: nothing was tried again, and the circuit was off until the next
    start."""
    hands = stopped(tmp_path, lost=1, has_driver=True, first_sec=60.0)
    assert hands.engine.running is None
    assert {hands.building.points[w.point] for w in hands.building.written} <= {True, 100.0}


def test_one_that_takes_longer_is_waited_for_while_the_driver_runs(tmp_path: Path) -> None:
    hands = stopped(tmp_path, lost=1, has_driver=True, first_sec=0.0)
    assert hands.engine.running is None
    assert {hands.building.points[w.point] for w in hands.building.written} <= {True, 100.0}


def test_without_a_driver_nothing_is_waited_for(tmp_path: Path) -> None:
    """The platform stops, and the driver was stopped before us: the next start goes on with it."""
    hands = stopped(tmp_path, lost=1_000, has_driver=False, first_sec=0.0)
    assert hands.engine.running is not None
    assert hands.engine.running.held()


@pytest.mark.parametrize(
    ("outcome", "runs"),
    [
        (None, True),
        (gevent.Timeout(SIGN_WITHIN_SEC), True),  # it does one thing at a time
        (RemoteError("no such method", exc_type="Error", exc_args=[]), True),
        (Unreachable(113, "no such peer", "platform.driver", "RPC"), False),
    ],
)
def test_a_driver_that_is_too_busy_to_answer_runs(
    outcome: BaseException | None, runs: bool
) -> None:
    asked: list[tuple[str, str]] = []

    class Driver:
        """What it is asked ends so."""

        def call(self, peer: str, method: str) -> Driver:
            asked.append((peer, method))
            return self

        def get(self, timeout: float) -> None:
            assert timeout <= SIGN_WITHIN_SEC
            if outcome is not None:
                raise outcome

    building: Any = Building.__new__(Building)
    building._calls, building._config = Driver(), CONFIG
    assert building.has_driver() is runs
    assert asked == [(CONFIG.driver_identity, SIGN_OF_LIFE)]


BUSY = """
import gevent
from VenAgent.volttron_compat import interrupt_volttron_compat_main

interrupt_volttron_compat_main()

def work():
    while True:
        sum(range(2000))
        gevent.sleep(0)

def run():
    try:
        gevent.sleep(1000)
    except gevent.GreenletExit:
        gevent.sleep(0.1)
        print("dead" if working.dead else "alive", flush=True)

working, task = gevent.spawn(work), gevent.spawn(run)
print("up", flush=True)
try:
    try:
        task.join()
    finally:
        task.kill()
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


def test_the_signal_that_stops_an_agent_ends_no_greenlet_at_work() -> None:
    """As VOLTTRON runs and stops it; an event's restore was never made now and then."""
    command = [sys.executable, "-c", BUSY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == "up\n"
        agent.send_signal(signal.SIGINT)
        assert agent.communicate(timeout=60)[0].split() == ["alive", "stopped"]
