"""The closed loop: is an active event's shed what was asked, and did every circuit respond?

After writes the meter is looked at until it has settled. From then on a shed that stays off target
for the confirm time is corrected; a shorter swing is noise. A reading without the power proves
nothing: the loop stands still until the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.alerts import AlertSeverity
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.circuit_watch import CHANGED_READINGS, CircuitWatch, circuit_watch_reason
from VenAgent.dr.effects import Effects, RaiseAlertEffect, ReadMeterEffect, SaveEventEffect
from VenAgent.dr.event import Event
from VenAgent.dr.limit_watch import LimitWatch
from VenAgent.dr.meter_doubt import MeterDoubt
from VenAgent.dr.meter_settling import MeterSettling
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.shed_circuit import NOISE_FRACTION, ShedCircuit
from VenAgent.dr.site_state import SiteState
from VenAgent.dr.unshown_writes import SHOWN_PART

HOLD_OFF_SEC = 60.0
"""Between two tries of what cannot be done now, such as more shed when no load is left."""
FOLLOWED_LEAST = 0.05
"""A limit is followed in part when its circuit fell by this part of what was asked, and lacks as
much."""


@dataclass
class _Deviation:
    """How long an active event's meter has been off target."""

    since_ts: float | None = None
    hold_off_until_ts: float = 0.0
    """Nothing could be done about it: not tried again before this."""

    def is_confirmed(self, error_kw: float, band_kw: float, confirm_sec: float, now: float) -> bool:
        """Whether the shed has been off by more than the band, on one side, for long enough."""
        if abs(error_kw) <= band_kw:
            self.since_ts = None
            return False
        if self.since_ts is None:
            self.since_ts = now
        return now - self.since_ts >= confirm_sec and now >= self.hold_off_until_ts


class ClosedLoop:
    """Looks at the readings of one active event at a time."""

    def __init__(self, site: SiteState) -> None:
        self._site = site
        self._settling = MeterSettling()
        self._deviation = _Deviation()
        self._circuits = CircuitWatch()
        self._doubt = MeterDoubt(site)
        self.limits = LimitWatch(site)
        self._is_stale = False
        self._before: PanelReading | None = None
        """What was read before the circuits were written."""

    def begin(self) -> None:
        """Another event is looked at from now on."""
        self._circuits = CircuitWatch()
        self.limits.restart()
        self.restart()

    def restart(
        self,
        expected_kw: float = 0.0,
        moves_until_ts: float = 0.0,
        written_ts: float | None = None,
    ) -> None:
        """Circuits were written: the meter has to settle at a shed of `expected_kw`. Their devices
        may not have followed before `moves_until_ts`, nor the meter have shown it."""
        self._settling = MeterSettling(
            expected_kw=expected_kw, moves_until_ts=moves_until_ts, written_ts=written_ts
        )
        self._deviation = _Deviation()
        self._before = self._site.latest

    def hold_off(self, now: float) -> None:
        """What is off target cannot be helped now: leave it for a while."""
        self._deviation.hold_off_until_ts = now + HOLD_OFF_SEC

    def shift(self) -> None:
        """The clock was set: look again at once, and count anew how long it is off target."""
        expected_kw = self._settling.expected_kw
        due_ts = None if self._settling.due_ts is None else 0.0
        self._settling = MeterSettling(expected_kw, due_ts, self._settling.tries)
        self._deviation = _Deviation()
        self.limits.restart()

    @property
    def is_frozen(self) -> bool:
        """Whether the meter is not read any more, or not believed."""
        return self._is_stale or self._site.stillness.is_suspect

    def look(
        self, event: Event, reading: PanelReading, now: float
    ) -> tuple[Effects, Reason | None]:
        """What follows from a reading; and why circuits are to be added or released, if they are.

        The reading has the panel's power, and is no older than the event.
        """
        effects: Effects = [RaiseAlertEffect("meter.stale")] if self._is_stale else []
        self._is_stale = False
        power_kw = reading.power_kw or 0.0
        previous_kw = event.metered.last_kw if event.metered.samples else None
        if not event.metered.is_newer(reading.ts):
            if event.measured_kw is None:
                self._settling.look_again(now)
            return effects, None
        if not self._site.is_comparable(event):  # the configuration names another meter
            return effects, None
        if not self._site.stillness.is_suspect:
            event.meter(reading.ts, power_kw, self._site.sampling.gap_limit_sec)
        if self._site.lease_overdue:  # the devices may have gone back by themselves
            return effects, None
        event.put(circuit.seen_in(reading) for circuit in event.circuits if circuit.counts)
        effects += self._take_back(event, reading)
        changed = self._circuits.look(event, reading)
        effects += self._respect_overrides(event, changed.by_hand, reading, now)
        effects += self._leave(event, changed.by_many_restarts, now)
        if changed.by_restart:
            return effects, circuit_watch_reason(changed.by_restart)
        effects += self._learn_delays(event, reading, now)
        more, is_frozen = self._doubt.look(event)
        effects += more
        if is_frozen:
            return effects, None
        if more:  # it moves: what it shows now counts
            self.restart(event.predicted_kw, moves_until_ts=now)
        if event.measured_kw is None:
            if not self._is_settled(event, power_kw, previous_kw, now):
                return effects, self._limit_meanwhile(event, reading, now)
            if not self._settling.is_as_expected:
                doubted, reason = self._doubt.judge(event, reading, now)
                if doubted:
                    return effects + doubted, reason
            effects += self._learn_delay(event, now)
            followed_in_part = _limits_followed_in_part(event, self._before, reading)
            more, reason = self._measured(event, reading, now)
            if reason is None and followed_in_part:
                reason = self._short_of_target(event, power_kw)
            return effects + more, reason
        effects += self._responded_late(event, reading, now)
        more, reason = self._judge_settled(event, reading, now)
        if reason is None:
            compared, reason = self._compare(event, power_kw, now)
            more += compared
        return effects + more, reason

    def _is_settled(
        self, event: Event, power_kw: float, previous_kw: float | None, now: float
    ) -> bool:
        unshown = self._site.unshown
        until_ts = unshown.awaited_until_ts(event, self._site.meter_wait_sec)
        self._settling.moves_until_ts = max(self._settling.moves_until_ts, until_ts)
        return self._settling.is_settled(
            event,
            power_kw,
            previous_kw,
            self._site.policy.band,
            now,
            is_shown=unshown.are_all_shown() and self._has_moved(event, power_kw),
            is_moving=unshown.is_any_moving(now),
        )

    def _has_moved(self, event: Event, power_kw: float) -> bool:
        """Whether the site's power shows about half of what was written."""
        before_kw = None if self._before is None else self._before.power_kw
        if before_kw is None:
            return True
        expected_kw = self._settling.expected_kw - event.shed_at(before_kw)
        moved_kw = before_kw - power_kw
        part = SHOWN_PART * expected_kw
        return moved_kw >= part if part > 0.0 else moved_kw <= part

    def _learn_delays(self, event: Event, reading: PanelReading, now: float) -> Effects:
        """How late the meter is, from what circuits show now that they did not."""
        effects: Effects = []
        has_moved = self._has_moved(event, reading.power_kw or 0.0)
        for delay_sec in self._site.unshown.look(reading, now):
            is_late = delay_sec > self._site.meter_wait_sec
            if is_late or has_moved:
                effects += self._site.learn_delay(delay_sec, is_late=is_late)
        return effects

    def _take_back(self, event: Event, reading: PanelReading) -> Effects:
        """What was changed by hand, as it seemed, and reads as it was written again."""
        again = event.take_back(reading)
        if not again:
            return []
        over = [RaiseAlertEffect("circuit.manual_override", None, name) for name in again]
        return [SaveEventEffect.of(event), *over]

    def _learn_delay(self, event: Event, now: float) -> Effects:
        """What was written shows: after how long. A change within the band shows nothing."""
        settling, before = self._settling, self._before
        if settling.written_ts is None or before is None or before.power_kw is None:
            return []
        change_kw = abs(event.shed_at(before.power_kw) - settling.expected_kw)
        is_within = change_kw <= 2.0 * event.band_kw(self._site.policy.band)
        if is_within or not settling.is_as_expected:
            return []
        return self._site.learn_delay(now - settling.written_ts, is_late=False)

    def _responded_late(self, event: Event, reading: PanelReading, now: float) -> Effects:
        """A circuit that did not respond in its time, and shows now that it did, counts again: what
        was shed in its place can go back."""
        late = [
            after
            for circuit in event.circuits
            if circuit.responded is False and not circuit.switching and circuit.shed_kw > 0.0
            for after in [circuit.judged(reading)]
            if after.responded
        ]
        if not late:
            return []
        event.put(late)
        effects: Effects = [SaveEventEffect.of(event)]
        for circuit in late:
            effects.append(RaiseAlertEffect("circuit.not_responding", None, circuit.circuit_id))
            if circuit.step_kw is None:
                effects += self._site.learn_delay(now - circuit.shed_ts, is_late=True)
        return effects

    def _judge_settled(
        self, event: Event, reading: PanelReading, now: float
    ) -> tuple[Effects, Reason | None]:
        """Setpoints that have had their time: what they brought is learned, once a shed."""
        due = [
            circuit
            for circuit in event.circuits
            if circuit.settle_sec > 0.0
            and circuit.responded is None
            and circuit.counts
            and not circuit.is_settling(now)
        ]
        judged = [after for c in due if (after := c.judged(reading)).responded is not None]
        if not judged:
            return [], None
        event.put(judged)
        effects: Effects = [SaveEventEffect.of(event)]
        for circuit in judged:
            power_kw = reading.circuit(circuit.circuit_id).power_kw
            shed_kw = circuit.original_kw - (power_kw or 0.0)
            learn = self._site.learn_rise if circuit.is_raised else self._site.learn_shed
            brought_kw = -shed_kw if circuit.is_raised else shed_kw
            effects.append(learn(circuit.circuit_id, circuit.point, brought_kw))
        alerts, reason = _not_responded([c for c in judged if c.responded is False])
        return [*effects, *alerts], reason

    def _limit_meanwhile(self, event: Event, reading: PanelReading, now: float) -> Reason | None:
        """While the meter settles: whether loads that rise bring the site over a limit, beyond what
        was written already. Two readings at least, for the first may be from before the writes."""
        power_kw = self._site.net_kw(event, reading, now)
        is_over = any(
            limit_kw is not None and limits.side.flow_kw(power_kw) > limit_kw
            for limits in self._site.all_limits
            for limit_kw in (limits.least_kw(now),)
        )
        if self._settling.tries < CHANGED_READINGS or not is_over:
            return None
        return self.limits.look(event, power_kw, now)

    def _measured(
        self, event: Event, reading: PanelReading, now: float
    ) -> tuple[Effects, Reason | None]:
        """The meter has settled: report what it shows, and which circuits did not respond."""
        event.measure(reading.power_kw or 0.0)
        doubtful = {c.circuit_id for c in event.circuits if c.responded is False}
        event.put(c.judged(reading) for c in event.circuits if c.settle_sec <= 0.0)
        unresponsive = [
            c
            for c in event.circuits
            if c.confirmed and c.responded is False and not c.manual_override
        ]
        effects: Effects = [SaveEventEffect.of(event)]
        effects += [
            RaiseAlertEffect("circuit.not_responding", None, c.circuit_id)
            for c in event.circuits
            if c.circuit_id in doubtful and c.responded
        ]
        if event.circuits or not event.is_limit:
            effects.append(self._site.replies.follow_up(event, AckStatus.MEASURED, now))
        alerts, reason = _not_responded(unresponsive)
        return [*effects, *alerts], reason

    def _short_of_target(self, event: Event, power_kw: float) -> Reason | None:
        """Limits that were followed in part are lowered further as soon as that shows: it is the
        answer to our write, and no swing that has to be confirmed."""
        error_kw = event.wanted_kw - event.shed_at(power_kw)
        if event.is_limit or error_kw <= event.band_kw(self._site.policy.band):
            return None
        return Reason(ReasonCode.OFF_TARGET, f"the measured shed was short by {error_kw:.2f} kW")

    def _leave(self, event: Event, circuits: Sequence[ShedCircuit], now: float) -> Effects:
        """Circuits whose device restarts again and again do not count, and go back at the end."""
        if not circuits:
            return []
        event.put(circuit.left_as_it_is() for circuit in circuits)
        effects: Effects = [SaveEventEffect.of(event)]
        for circuit in circuits:
            text = f"{circuit.name} is left as it is: {circuit.device} restarts again and again"
            reason = Reason(ReasonCode.DEVICE_RESTARTED, text)
            ack = self._site.replies.follow_up(event, AckStatus.ADJUSTED, now, reason)
            code = ReasonCode.NOT_RESPONDED
            alert = RaiseAlertEffect(
                "circuit.not_responding", text, circuit.circuit_id, reason_code=code
            )
            effects += [ack, alert]
        return effects

    def _respect_overrides(
        self, event: Event, overridden: Sequence[ShedCircuit], reading: PanelReading, now: float
    ) -> Effects:
        """A circuit that a person switched during the event is theirs until it is over."""
        if not overridden:
            return []
        if event.measured_kw is not None:
            event.measure(reading.power_kw or 0.0)
        event.put(circuit.taken_by_hand() for circuit in overridden)
        alerts: Effects = [
            RaiseAlertEffect(
                "circuit.manual_override",
                f"{circuit.name} was changed at the site and is left out of the event",
                circuit.circuit_id,
                AlertSeverity.INFO,
                ReasonCode.MANUAL_OVERRIDE,
            )
            for circuit in overridden
        ]
        names = ", ".join(circuit.circuit_id for circuit in overridden)
        reason = Reason(ReasonCode.MANUAL_OVERRIDE, f"changed by hand at the site: {names}")
        ack = self._site.replies.follow_up(event, AckStatus.ADJUSTED, now, reason)
        return [SaveEventEffect.of(event), ack, *alerts]

    def _compare(self, event: Event, power_kw: float, now: float) -> tuple[Effects, Reason | None]:
        limited = self.limits.look(event, power_kw, now)
        if limited is not None or event.is_limit:
            return [], limited
        policy = self._site.policy
        error_kw = event.wanted_kw - event.shed_at(power_kw)
        if not event.wanted_kw and not event.held():
            error_kw = 0.0  # an interval without a shed: what is drawn is as it is
        band_kw = event.band_kw(policy.band)
        if not self._deviation.is_confirmed(error_kw, band_kw, policy.confirm_sec, now):
            return (
                [RaiseAlertEffect("shed.short")] if self._deviation.since_ts is None else []
            ), None
        if event.is_load_up:
            error_kw = -error_kw
        side = f"short by {error_kw:.2f}" if error_kw > 0.0 else f"over by {-error_kw:.2f}"
        what = "rise" if event.is_load_up else "shed"
        return [], Reason(ReasonCode.OFF_TARGET, f"the measured {what} was {side} kW")

    # ---- time ----------------------------------------------------------------------------

    def tick(self, event: Event, now: float) -> Effects:
        """Time has passed: the meter is to be read, or has not been for too long."""
        effects: Effects = []
        if self._settling.due_ts is not None and self._settling.due_ts <= now:
            self._settling.due_ts = None
            effects.append(ReadMeterEffect())
        if self._stale_ts(event) <= now and not self._is_stale:
            self._is_stale = True
            message = "the meter is not read: circuits are neither added nor released until it is"
            effects.append(
                RaiseAlertEffect("meter.stale", message, reason_code=ReasonCode.METER_UNREADABLE)
            )
        return effects

    def next_deadline(self, event: Event) -> float | None:
        times = [self._settling.due_ts, None if self._is_stale else self._stale_ts(event)]
        return min((ts for ts in times if ts is not None), default=None)

    def _stale_ts(self, event: Event) -> float:
        latest = self._site.latest
        known = latest is not None and latest.power_kw is not None
        last_ts = max(event.active_ts or 0.0, latest.ts if latest is not None and known else 0.0)
        return last_ts + self._site.stale_after_sec


def _not_responded(circuits: list[ShedCircuit]) -> tuple[Effects, Reason | None]:
    alerts: Effects = []
    for circuit in circuits:
        moved = "its setpoint was moved" if circuit.settle_sec > 0.0 else "was switched"
        did_not = "rise" if circuit.is_raised else "fall"
        alerts.append(
            RaiseAlertEffect(
                "circuit.not_responding",
                f"{circuit.name} {moved}, but its power did not {did_not}",
                circuit.circuit_id,
                reason_code=ReasonCode.NOT_RESPONDED,
            )
        )
    if not circuits:
        return [], None
    names = ", ".join(circuit.circuit_id for circuit in circuits)
    return alerts, Reason(ReasonCode.NOT_RESPONDED, f"did not respond: {names}")


def _limits_followed_in_part(
    event: Event, before: PanelReading | None, reading: PanelReading
) -> bool:
    """Whether a limit that was just lowered made its circuit draw less than `before`, but not as
    little as was asked."""
    for circuit in event.circuits:
        power_kw = reading.circuit(circuit.circuit_id).power_kw
        before_kw = None if before is None else before.circuit(circuit.circuit_id).power_kw
        if (
            power_kw is None
            or before_kw is None
            or circuit.is_switch
            or not circuit.counts
            or circuit.exhausted
        ):
            continue
        step_kw = circuit.shed_kw if circuit.step_kw is None else circuit.step_kw
        least_kw = max(FOLLOWED_LEAST * step_kw, NOISE_FRACTION * before_kw)
        if step_kw > 0.0 and before_kw - power_kw >= least_kw <= power_kw - circuit.final_kw:
            return True
    return False
