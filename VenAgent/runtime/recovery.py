"""What an earlier process left: events and acks, or, its journal lost, circuits shed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

import gevent

from VenAgent.contract.alerts import AlertSeverity
from VenAgent.dr.engine import Engine
from VenAgent.dr.engine_recovery import RecoveredEngineState
from VenAgent.dr.event import Event
from VenAgent.reporting.active_alerts import ActiveAlerts
from VenAgent.runtime.data_folder import DataFolder
from VenAgent.runtime.effect_executor import EffectExecutor
from VenAgent.runtime.session_backlog import SessionBacklog
from VenAgent.site.actuator import Actuator
from VenAgent.site.meter import Meter
from VenAgent.storage.ended_events import EndedEvents
from VenAgent.storage.event_record import from_event_record
from VenAgent.storage.journal import Journal

_log = logging.getLogger(__name__)

RECOVER_EVERY_SEC = 2.0


def recover_site(
    engine: Engine,
    executor: EffectExecutor,
    data: DataFolder,
    backlog: SessionBacklog,
    alerts: ActiveAlerts,
    actuator: Actuator,
    meter: Meter,
) -> None:
    """Go on with what an earlier process left."""
    executor.send_unsent()
    recovered, damage = recover_from_journal(data.journal, data.ended)
    data.journal_damage = data.journal_damage or damage
    backlog.recall(recovered.facts)
    executor.perform(engine.resume(recovered, time.time()))
    alerts.set("journal.damaged", AlertSeverity.CRITICAL, data.journal_damage)
    if data.journal_damage is not None:
        gevent.spawn(recover_without_journal, engine, executor, actuator, meter)


def recover_from_journal(
    journal: Journal, ended: EndedEvents
) -> tuple[RecoveredEngineState, str | None]:
    """What is in it, and a sentence about an event of it that cannot be read, if there is one.

    An event that the journal shows as under way and that is among `ended` is over: this journal is
    a copy from before its end.
    """
    past, past_damage = _events(reversed(journal.finished()))
    left, damage = _events(journal.unfinished())
    over = [
        event
        for event in left
        if not event.state.over and (event.event_id, event.request.modification) in ended
    ]
    for event in over:
        _log.warning("event %s is over: the journal is a copy from before", event.event_id)
    recovered = RecoveredEngineState(
        events=[event for event in left if event not in over],
        replies=journal.replies(),
        fingerprints=journal.fingerprints(),
        past=[
            *(
                (event.event_id, event.request.modification - (not event.cannot_begin_again))
                for event in past
            ),
            *((event.event_id, event.request.modification) for event in over),
        ],
        facts=journal.facts(),
        last_ts=journal.last_ts(),
    )
    return recovered, damage or past_damage


def _events(records: Iterable[Any]) -> tuple[list[Event], str | None]:
    events, damage = [], None
    for record in records:
        try:
            events.append(from_event_record(record))
        except (KeyError, TypeError, ValueError) as error:
            name = record.get("event_id") if isinstance(record, dict) else record
            damage = (
                f"event {name} of the journal cannot be read ({error}): "
                f"look whether its circuits are as they should be"
            )
            _log.error("%s", damage)
    return events, damage


def recover_without_journal(
    engine: Engine, executor: EffectExecutor, actuator: Actuator, meter: Meter
) -> None:
    """The journal is lost: what of ours the actuator still knows shows whether we had shed.

    After a power cut this agent may be up before actuator and driver: they are asked until
    both have answered. An event that began meanwhile has given our old reservations back, which
    shows as much; it is let come to its end first.
    """
    had_shed = False
    while True:
        running = engine.running
        ours = actuator.own_reservations(time.time())
        reading = meter.fresh_reading()
        _log.warning("the journal was damaged; our reservations at the actuator: %s", ours)
        begun = set() if running is None else {running.task_id}
        had_shed = had_shed or bool({*(ours or ()), *actuator.forgotten} - begun)
        if had_shed and reading.power_kw is not None and engine.running is None:
            executor.perform(engine.recover(reading, time.time()))
            return
        if ours is not None and not had_shed:
            return
        gevent.sleep(RECOVER_EVERY_SEC)
