"""The closed loop: is an active event's shed what was asked, and did every circuit obey?

After writes the meter is looked at until it has settled. From then on a shed that stays off target
for the confirm time is corrected; a shorter swing is noise. A reading without the power proves
nothing: the loop stands still until the next one.
"""

from __future__ import annotations

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.alerts import Severity
from VenAgent.dr.backoff import Settling, Watch
from VenAgent.dr.effects import Effects, RaiseAlert, ReadMeter, SaveEvent
from VenAgent.dr.event import Event
from VenAgent.dr.panel import Reading
from VenAgent.dr.site_state import SiteState

HOLD_OFF_SEC = 60.0
"""Between two tries of what cannot be done now, such as more shed when no load is left."""


class ClosedLoop:
    """Looks at the readings of one active event at a time."""

    def __init__(self, context: SiteState) -> None:
        self._context = context
        self._settling = Settling()
        self._watch = Watch()
        self._stale_told = False

    def restart(self, expected_kw: float = 0.0) -> None:
        """Circuits were written: the meter has to settle at a shed of `expected_kw`."""
        self._settling, self._watch = Settling(expected_kw=expected_kw), Watch()

    def hold_off(self, now: float) -> None:
        """What is off target cannot be helped now: leave it for a while."""
        self._watch.hold_off_until_ts = now + HOLD_OFF_SEC

    def shift(self) -> None:
        """The clock was set: look again at once, and count anew how long it is off target."""
        expected_kw = self._settling.expected_kw
        due_ts = None if self._settling.due_ts is None else 0.0
        self._settling = Settling(expected_kw, due_ts, self._settling.tries)
        self._watch = Watch()

    @property
    def is_frozen(self) -> bool:
        """Whether the meter is not read any more."""
        return self._stale_told

    def look(self, event: Event, reading: Reading, now: float) -> tuple[Effects, str | None]:
        """What follows from a reading; and why circuits are to be added or released, if they are.

        The reading has the panel's power, and is no older than the event.
        """
        effects: Effects = [RaiseAlert("meter.stale")] if self._stale_told else []
        self._stale_told = False
        power_kw = reading.power_kw or 0.0
        previous_kw = event.metered.last_kw if event.metered.samples else None
        if not event.metered.add(reading.ts, power_kw):
            if event.measured_kw is None:
                self._settling.look_again(now)
            return effects, None
        if self._context.lease_overdue:  # the devices may have gone back by themselves
            return effects, None
        effects += self._respect_hands(event, reading, now)
        if event.measured_kw is None:
            band = self._context.policy.band
            if not self._settling.settled(event, power_kw, previous_kw, band, now):
                return effects, None
            told, why = self._measured(event, reading, now)
        else:
            told, why = self._compare(event, power_kw, now)
        return effects + told, why

    def _measured(self, event: Event, reading: Reading, now: float) -> tuple[Effects, str | None]:
        """The meter has settled: say what it shows, and which circuits did not obey."""
        event.measured_kw = event.shed_by(reading.power_kw or 0.0)
        for circuit in event.circuits:
            circuit.judge(reading)
        idle = [c for c in event.circuits if c.confirmed and c.obeyed is False and not c.by_hand]
        effects: Effects = [
            SaveEvent(event.event_id, event.as_record()),
            self._context.answers.follow_up(event, AckStatus.MEASURED, now),
        ]
        for circuit in idle:
            message = f"{circuit.name} was switched, but its power did not fall"
            effects.append(RaiseAlert("circuit.disobeys", message, circuit.circuit_id))
        names = ", ".join(circuit.circuit_id for circuit in idle)
        return effects, f"did not obey: {names}" if idle else None

    def _respect_hands(self, event: Event, reading: Reading, now: float) -> Effects:
        """A circuit that a person switched during the event is theirs until it is over."""
        taken = self._watch.taken_by_hand(event, reading)
        if not taken:
            return []
        alerts: Effects = []
        if event.measured_kw is not None:
            event.measured_kw = event.shed_by(reading.power_kw or 0.0)
        for circuit in taken:
            circuit.by_hand = True
            message = f"{circuit.name} was changed at the site and is left out of the event"
            alerts.append(RaiseAlert("circuit.by_hand", message, circuit.circuit_id, Severity.INFO))
        names = ", ".join(circuit.circuit_id for circuit in taken)
        told = self._context.answers.follow_up(
            event, AckStatus.ADJUSTED, now, reason=f"changed by hand at the site: {names}"
        )
        return [SaveEvent(event.event_id, event.as_record()), told, *alerts]

    def _compare(self, event: Event, power_kw: float, now: float) -> tuple[Effects, str | None]:
        policy = self._context.policy
        error_kw = event.requested_kw - event.shed_by(power_kw)
        band_kw = policy.band * event.requested_kw
        if not self._watch.off_target(error_kw, band_kw, policy.confirm_sec, now):
            return ([RaiseAlert("shed.short")] if self._watch.off_since_ts is None else []), None
        side = f"short by {error_kw:.2f}" if error_kw > 0.0 else f"over by {-error_kw:.2f}"
        return [], f"the measured shed was {side} kW"

    # ---- time ----------------------------------------------------------------------------

    def tick(self, event: Event, now: float) -> Effects:
        """Time has passed: the meter is to be read, or has not been for too long."""
        effects: Effects = []
        if self._settling.due_ts is not None and self._settling.due_ts <= now:
            self._settling.due_ts = None
            effects.append(ReadMeter())
        if self._stale_ts(event) <= now and not self._stale_told:
            self._stale_told = True
            message = "the meter is not read: circuits are neither added nor released until it is"
            effects.append(RaiseAlert("meter.stale", message))
        return effects

    def next_deadline(self, event: Event) -> float | None:
        times = [self._settling.due_ts, None if self._stale_told else self._stale_ts(event)]
        return min((ts for ts in times if ts is not None), default=None)

    def _stale_ts(self, event: Event) -> float:
        latest = self._context.latest
        known = latest is not None and latest.power_kw is not None
        last_ts = max(event.active_ts or 0.0, latest.ts if latest is not None and known else 0.0)
        return last_ts + self._context.policy.stale_after_sec
