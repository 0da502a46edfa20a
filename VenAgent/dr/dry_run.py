"""What an event would shed if it began now: planned and answered, nothing written or reserved."""

from __future__ import annotations

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.effects import Effects
from VenAgent.dr.event import Event
from VenAgent.dr.event_baseline import EventBaseline
from VenAgent.dr.event_planner import EventPlanner
from VenAgent.dr.load_up_plan import NOTHING_TO_RAISE
from VenAgent.dr.shed_target import ShedTarget
from VenAgent.dr.site_state import SiteState

NOT_READ_LATELY = Reason(
    ReasonCode.METER_UNREADABLE, "the meter was not read lately: what would be shed is not known"
)
NOTHING_WOULD_BE_SHED = Reason(
    ReasonCode.NOTHING_TO_SHED,
    "no circuit could be shed now: all are critical, switched off, unread or draw nothing",
)


def answer_dry_run(event: Event, running: Event | None, site: SiteState, now: float) -> Effects:
    """The ack of `event`, which is not kept. `running`: the event that goes on, which this would
    change if it is the same one, and which comes first if it is another."""
    reason = None
    if running is not None and running.event_id != event.event_id:
        text = f"event {running.event_id} runs; this is what would be shed beside it"
        reason, running = Reason(ReasonCode.LOWER_PRECEDENCE, text), None
    reading = site.latest
    if reading is None or reading.power_kw is None or reading.age_sec(now) > site.stale_after_sec:
        return _answer(site, event, AckStatus.FAILED, now, NOT_READ_LATELY)
    if running is not None:
        event.measure_against(running.baseline)
        event.put(running.circuits)
    if event.is_limit:
        event.keep_limit(event.limit.referring_to(reading.power_kw + event.predicted_kw))
    elif event.baseline is None:
        event.measure_against(_baseline(event, site, reading.power_kw, now))
    target = ShedTarget.of(event, site, reading.power_kw, event.shed_in(reading), now)
    plan = EventPlanner(site).plan(event, reading, target, now, may_exchange=True)
    for circuit in plan.circuits:
        if circuit.releasing:
            event.drop(circuit.circuit_id)
        else:
            event.put([circuit.write_ended(None)])
    if not event.predicted_kw and not target.is_met:
        why = NOTHING_TO_RAISE if event.is_load_up else NOTHING_WOULD_BE_SHED
        return _answer(site, event, AckStatus.FAILED, now, target.why_capped or why)
    return _answer(site, event, AckStatus.SUCCESS, now, reason)


def _answer(
    site: SiteState, event: Event, status: AckStatus, now: float, reason: Reason | None
) -> Effects:
    return site.replies.to_event(event, status, now, reason, dry_run=True)


def _baseline(event: Event, site: SiteState, present_kw: float, now: float) -> EventBaseline:
    return EventBaseline.at_start(
        site.policy.baseline_method,
        site.history,
        site.intervals,
        site.panel,
        now=now,
        end_ts=event.request.end_ts,
        present_kw=present_kw,
        requested_kw=event.request.shed_kw,
    )
