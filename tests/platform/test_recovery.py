"""What is done when the journal was lost: by what the actuator still knows of us."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from VenAgent.dr.panel import PanelReading
from VenAgent.runtime import recovery
from VenAgent.runtime.recovery import recover_without_journal


class Site(SimpleNamespace):
    """What recovering touches. `ours`: the actuator's answers, the last for ever."""

    def __init__(self, *ours: list[str] | None, meter: float | None = 5.0) -> None:
        self._ours = list(ours)
        self.recovered: list[PanelReading] = []
        self.asked = 0
        super().__init__(
            actuator=SimpleNamespace(own_reservations=self._answer, forgotten=[]),
            meter=SimpleNamespace(fresh_reading=lambda: PanelReading(time.time(), meter, {})),
            executor=SimpleNamespace(perform=lambda effects: None),
            engine=SimpleNamespace(running=None, recover=self._recover),
        )

    def _answer(self, now: float) -> list[str] | None:
        self.asked += 1
        return self._ours.pop(0) if len(self._ours) > 1 else self._ours[0]

    def _recover(self, reading: PanelReading, now: float) -> list[Any]:
        self.recovered.append(reading)
        return []


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "RECOVER_EVERY_SEC", 0.001)


def recovering(site: Site) -> gevent.Greenlet:
    return gevent.spawn(
        recover_without_journal, site.engine, site.executor, site.actuator, site.meter
    )


def done(site: Site) -> bool:
    greenlet = recovering(site)
    greenlet.join(0.5)
    ready = bool(greenlet.ready())
    greenlet.kill()
    return ready


def test_a_reservation_of_ours_means_that_we_had_shed() -> None:
    site = Site(None, None, ["an event"])
    assert done(site)
    assert site.asked == 3
    assert len(site.recovered) == 1


def test_no_reservation_of_ours_means_that_nothing_is_to_be_put_back() -> None:
    site = Site(None, [])
    assert done(site)
    assert site.recovered == []


def test_without_a_reading_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(["an event"], meter=None)
    assert not done(site)
    assert site.recovered == []


def test_an_event_that_began_meanwhile_is_not_taken_for_one_of_before() -> None:
    site = Site(["new"])
    site.engine.running = SimpleNamespace(task_id="new")
    assert done(site)
    assert site.recovered == []


def test_what_an_event_that_began_meanwhile_gave_back_tells_that_we_had_shed() -> None:
    """A command that was queued at the broker comes before anything else: what was shed before
    must not be left so, and the new event ends first."""
    site = Site(["new"])
    site.engine.running = SimpleNamespace(task_id="new")
    site.actuator.forgotten.append("before")
    waiting = recovering(site)
    gevent.sleep(0.05)
    assert site.recovered == []
    site.engine.running = None
    waiting.join(60.0)
    assert len(site.recovered) == 1
