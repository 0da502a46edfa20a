"""How an event ends: its circuits go back, and who asked hears what it delivered."""

from __future__ import annotations

from collections.abc import Container, Mapping, Set
from dataclasses import dataclass
from typing import Any

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.json_codec import json_number
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.effects import (
    AnnounceEffect,
    Effects,
    RaiseAlertEffect,
    ReadMeterEffect,
    ReleaseEffect,
    SaveEventEffect,
)
from VenAgent.dr.event import Event
from VenAgent.dr.event_state import EventState
from VenAgent.dr.guard_watch import GUARD_ALERT
from VenAgent.dr.meter_doubt import METER_FROZEN
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.restoration import Restoration
from VenAgent.dr.shed_circuit import CIRCUIT_ALERTS
from VenAgent.dr.site_state import SiteState

NEVER_BEGUN = Reason(
    ReasonCode.ENDED_BY_COMMAND, "ended by command before it could be begun or changed"
)


@dataclass(frozen=True)
class CompletedEvent:
    """An event that is over, and the later modification that begins in its place, if one waited."""

    event: Event
    successor: Event | None = None


class EventCompletion:
    """Ends the event that it is given, by way of its restoration."""

    def __init__(self, site: SiteState, restoration: Restoration) -> None:
        self._site = site
        self._restoration = restoration
        self.at_once = False
        """The agent stops: no pause between two circuits that go back."""
        self._finished: CompletedEvent | None = None

    def take_finished(self) -> CompletedEvent | None:
        """The event that is over since this was asked last."""
        finished, self._finished = self._finished, None
        return finished

    def fail(self, event: Event, reason: Reason, now: float) -> Effects:
        """Nothing was shed: report it, and undo what may have been written all the same."""
        acks = self._site.replies.to_event(event, AckStatus.FAILED, now, reason)
        event.end_soon(reason)  # the record says why
        if event.circuits:
            return [*self.begin(event, now), *acks]
        event.to(EventState.REJECTED)
        self._finish(event)
        return [
            SaveEventEffect.of(event),
            *acks,
            ReleaseEffect(event.task_id),
            AnnounceEffect.of(event),
            *self._site.replies.to_ender(event, AckStatus.SUCCESS, now),
        ]

    def begin(self, event: Event, now: float) -> Effects:
        """The circuits go back from now on."""
        failed: Effects = []
        if event.active_ts is None and not event.acked and event.end_reason is not None:
            status = AckStatus.OPTED_OUT if event.opted_out else AckStatus.FAILED
            failed = self._site.replies.to_event(event, status, now, event.end_reason)
        if self._site.latest is not None:
            event.take_back(self._site.latest)
            event.give_slots_back(self._site.latest)
        event.to(EventState.RESTORING)
        event.end(now)
        event.meter_until(now, self._site.sampling.gap_limit_sec)
        if not event.held():
            saved = SaveEventEffect.of(event)
            return [saved, *failed, *self._complete(event, now)]
        self._restoration.begin(event, now, at_once=self.at_once)
        effects: Effects = [SaveEventEffect.of(event), *failed, AnnounceEffect.of(event)]
        effects += self._restoration.progress(event, now)
        return effects + self._restoration.due(event, now)

    def resume(self, event: Event, now: float) -> Effects:
        """An earlier process was restoring it."""
        self._restoration.begin(event, now)
        return self.due(event, now)

    def hasten(self, event: Event, now: float) -> Effects:
        """It is restoring, and the agent stops."""
        self._restoration.hasten(event, now)
        return self._restoration.due(event, now)

    def due(self, event: Event, now: float) -> Effects:
        """Write the circuits whose turn it is; a person may have taken all that are left."""
        return self._restoration.due(event, now) if event.held() else self._complete(event, now)

    def release(self, event: Event, circuit_ids: Set[str], now: float) -> Effects:
        """These do not wait for their turn: a comfort guard is past its bound."""
        return self._restoration.release(event, circuit_ids, now)

    def restored(
        self,
        event: Event,
        failures: Mapping[str, Reason],
        now: float,
        reading: PanelReading | None,
        circuit_ids: Container[str] | None = None,
    ) -> Effects:
        """Writes of the restoration ended."""
        effects = self._restoration.restored(event, failures, now, reading, circuit_ids)
        if event.held():
            return effects + self._restoration.due(event, now)
        return effects + self._complete(event, now)

    def make_way(self, event: Event, now: float) -> Effects:
        """Another event waits: circuits that failed often enough do not hold it up any longer."""
        effects = self._restoration.make_way(event, now)
        return effects if event.held() else effects + self._complete(event, now)

    def takes_long(self, now: float) -> bool:
        """Whether the restoration has some time to go."""
        return self._restoration.takes_long(now)

    def is_writing(self, circuit_id: str) -> bool:
        return self._restoration.is_writing(circuit_id)

    def next_deadline(self, event: Event) -> float | None:
        return self._restoration.next_deadline() if event.held() else 0.0

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`."""
        self._restoration.shift(step_sec)

    def _complete(self, event: Event, now: float) -> Effects:
        replies, policy = self._site.replies, self._site.policy
        event.to(EventState.COMPLETED)
        acks = replies.to_ender(event, AckStatus.SUCCESS, now)
        why = event.end_reason or NEVER_BEGUN
        if not event.acked:
            acks += replies.to_event(event, AckStatus.FAILED, now, why)
        elif event.active_ts is None and not event.opted_out and self._is_scheduled(event):
            acks.append(replies.follow_up(event, AckStatus.FAILED, now, why))
        if event.active_ts is not None:
            if event.pending is None and policy.rebound_sec > 0.0 and not event.is_limit:
                event.watch_rebound(now + policy.rebound_sec)
            summary, reason = event_completion_summary(event), _unrestored(event)
            acks.append(replies.follow_up(event, AckStatus.COMPLETED, now, reason, summary=summary))
        self._finish(event)
        self._site.stillness.trust()
        effects: Effects = [
            SaveEventEffect.of(event),
            self._site.save_cycling_limits(),
            *acks,
            ReleaseEffect(event.task_id),
            AnnounceEffect.of(event),
            ReadMeterEffect(),
            RaiseAlertEffect("shed.short"),
            RaiseAlertEffect(METER_FROZEN),
            RaiseAlertEffect("devices.preempted"),
            *(_limit_alerts_over(event) if event.is_limit else ()),
        ]
        guarded = [c.id for c in self._site.panel.circuits if c.guard or c.storage]
        effects += [RaiseAlertEffect(GUARD_ALERT, None, circuit_id) for circuit_id in guarded]
        for circuit in event.circuits:
            over = CIRCUIT_ALERTS if circuit.unrestored else (*CIRCUIT_ALERTS, "restore.failed")
            effects += [RaiseAlertEffect(code, None, circuit.circuit_id) for code in over]
        return effects

    def _is_scheduled(self, event: Event) -> bool:
        """Whether the last that its sender heard is that it will begin."""
        sent = self._site.replies.sent_to(event.request.correlation_id)
        return sent is not None and sent["status"] == AckStatus.SCHEDULED

    def _finish(self, event: Event) -> None:
        """The event is over; what a later modification asked of it begins as an event anew."""
        self._finished = CompletedEvent(event, event.take_pending())


def _limit_alerts_over(event: Event) -> Effects:
    return [
        RaiseAlertEffect("limit.exceeded"),
        RaiseAlertEffect("limit.failsafe", None, event.event_id),
    ]


def _unrestored(event: Event) -> Reason | None:
    """The circuits that the event ends without."""
    left = [f"{c.circuit_id} ({c.failure})" for c in event.circuits if c.unrestored]
    if not left:
        return None
    return Reason(ReasonCode.RESTORE_FAILED, f"not restored yet, trying again: {', '.join(left)}")


def event_completion_summary(event: Event) -> dict[str, Any]:
    """What the event delivered, from the meter; null where nothing was measured."""
    baseline, requested_kw = event.baseline, event.request.shed_kw
    if event.is_load_up:
        requested_kw = event.wanted_kw
    start_ts = event.request.start_ts if event.active_ts is None else event.active_ts
    end_ts = event.request.end_ts if event.ended_ts is None else event.ended_ts
    if event.is_limit:
        return _limit_summary(event, start_ts, end_ts)
    settlement = event.metered.settle(end_ts - start_ts)
    achieved_kw = settlement.achieved_kw
    if event.level_starts and end_ts > start_ts:
        requested_kw = _mean_requested_kw(event, end_ts)
    return {
        "start_ts": json_number(start_ts),
        "end_ts": json_number(end_ts),
        "baseline_kw": None if baseline is None else json_number(baseline.settlement_kw),
        "avg_kw": json_number(settlement.average_kw),
        "delivered_kwh": json_number(settlement.delivered_kwh, 6),
        "requested_shed_kw": json_number(requested_kw),
        "achieved_shed_kw": json_number(achieved_kw),
        "shed_percent": (
            None
            if achieved_kw is None or not requested_kw
            else json_number(100.0 * achieved_kw / requested_kw, 1)
        ),
        "samples": settlement.samples,
        "unseen_sec": json_number(settlement.unseen_sec),
        "settlement_note": settlement.note,
        "baseline_method": None if baseline is None else baseline.method,
        "baseline_samples": None if baseline is None else baseline.samples,
        "baseline_rrmse_percent": None
        if baseline is None
        else json_number(baseline.rrmse_percent, 1),
        "baseline_note": None if baseline is None else baseline.note,
        "rebound_kw": json_number(event.rebound_kw),
        **({"intervals": _interval_summaries(event, end_ts)} if event.level_starts else {}),
    }


def _limit_summary(event: Event, start_ts: float, end_ts: float) -> dict[str, Any]:
    """How a limit was kept; what it held off has no baseline, and is no delivery."""
    exported: dict[str, Any] = {}
    if event.request.export_kw is not None:
        exported = {
            "export_kw": json_number(event.request.export_kw),
            "highest_export_kw": json_number(event.limit.highest_export_kw),
            "over_export_sec": json_number(event.limit.over_export_sec),
        }
    return {
        "start_ts": json_number(start_ts),
        "end_ts": json_number(end_ts),
        "import_kw": json_number(event.request.import_kw_at(event.level)),
        "highest_mean_kw": json_number(event.limit.highest_mean_kw),
        "over_limit_sec": json_number(event.limit.over_limit_sec),
        "window_sec": json_number(event.request.window_sec),
        "unseen_sec": json_number(max(0.0, end_ts - start_ts - event.limit.seen_sec)),
        **exported,
    }


def _mean_requested_kw(event: Event, end_ts: float) -> float:
    """Of all its intervals, each by how long it ruled."""
    ends = [*(start.ts for start in event.level_starts[1:]), end_ts]
    spans = [
        (max(0.0, end - start.ts), event.request.shed_kw_at(start.index))
        for start, end in zip(event.level_starts, ends, strict=True)
    ]
    total_sec = sum(sec for sec, _ in spans)
    return sum(sec * kw for sec, kw in spans) / total_sec if total_sec > 0.0 else 0.0


def _interval_summaries(event: Event, end_ts: float) -> list[dict[str, Any]]:
    """What each interval that was entered delivered."""
    starts = event.level_starts
    ends = [*((each.ts, each.metered) for each in starts[1:]), (end_ts, event.metered)]
    summaries = []
    for start, (until_ts, metered) in zip(starts, ends, strict=True):
        settlement = metered.since(start.metered).settle(max(0.0, until_ts - start.ts))
        summaries.append(
            {
                "number": start.index + 1,
                "start_ts": json_number(start.ts),
                "end_ts": json_number(until_ts),
                "requested_shed_kw": json_number(event.request.shed_kw_at(start.index)),
                "achieved_shed_kw": json_number(settlement.achieved_kw),
                "avg_kw": json_number(settlement.average_kw),
                "delivered_kwh": json_number(settlement.delivered_kwh, 6),
                "samples": settlement.samples,
                "unseen_sec": json_number(settlement.unseen_sec),
            }
        )
    return summaries
