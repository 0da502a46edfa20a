"""The agent stops in order: what does not go back at once is tried again until it is."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.platform.site import wait_for
from tests.platform.test_effect_executor import CONFIG, Hands
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.point_write import PointWrite
from VenAgent.reporting.active_alerts import ActiveAlerts
from VenAgent.runtime.timers import Timers
from VenAgent.ven import Ven


class LostWrites:
    """The first `lost` restores reach no device, and nothing is read after them."""

    def __init__(self, hands: Hands, lost: int) -> None:
        self._write, self._lost = hands.building.write, lost
        self.has_driver = lambda: True

    def put_back(self, writes: Iterable[PointWrite]) -> dict[str, Any]:
        if not self._lost:
            return self._write(writes)
        self._lost -= 1
        lost = Reason(ReasonCode.NOT_ANSWERED, "lost")
        return {write.circuit_id: lost for write in writes}

    def fresh_reading(self) -> PanelReading:
        return PanelReading(time.time(), None, {})

    def stop(self) -> None:
        pass


class Absent:
    """A part that is not needed here."""

    interval_sec = None

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: ()


def test_stopped_in_order_a_lost_restore_is_made_again(tmp_path: Path) -> None:
    """The timers ended first: nothing was tried again, and the circuit was off until the next
    start."""
    hands, absent = Hands(tmp_path), Absent()
    parts: Any = absent
    hands.send(op="event", event_id="on", shed_kw=3, duration_sec=600)
    wait_for(lambda: hands.engine.running and hands.engine.running.active_ts, "the event is active")
    lossy: Any = LostWrites(hands, lost=1)
    hands.building.put_back = lossy.put_back  # type: ignore[method-assign]
    hands.building.fresh_reading = lossy.fresh_reading  # type: ignore[method-assign]

    ven: Any = Ven.__new__(Ven)
    ven.config, ven._engine, ven._executor = CONFIG, hands.engine, hands.executor
    ven._building = lossy
    ven._page_server = ven._page_view = ven._bridge = ven._cloud = ven._data = absent
    alerts = ActiveAlerts(CONFIG.ven_id, lambda alert: None)
    ven._timers = Timers(hands.engine, hands.executor, parts, parts, parts, alerts, lambda: None)
    ven._timers._spawn(ven._timers._keep_deadlines)
    ven.stop()
    assert hands.engine.running is None
    assert {hands.building.points[w.point] for w in hands.building.written} <= {True, 100.0}
    assert not ven._timers._greenlets
