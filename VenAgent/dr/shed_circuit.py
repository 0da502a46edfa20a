"""A circuit that an event holds shed: what it was, what was written, what became of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from VenAgent.dr.circuit_selection import CircuitSelectionAction
from VenAgent.dr.companion_point import CompanionPoint
from VenAgent.dr.panel import PanelCircuit, PanelReading
from VenAgent.dr.point_write import PointWrite

CIRCUIT_ALERTS = ("circuit.not_responding", "circuit.manual_override", "write.failed")
"""Of a circuit that an event holds: over once it holds it no more."""
RESPONDED_FRACTION = 0.5
"""A circuit responded when its power fell by at least this part of what was expected of it."""
SETPOINT_ROUNDING = 0.15
"""A thermostat may keep whole degrees Fahrenheit, or halves: less than its own step away from what
was written, or than this part of the move, is as written."""
LARGEST_ROUNDING = 0.45
"""Of a move: what is nearer to what was before is not as written."""
RELEASE_AGAIN_SEC = 60.0
"""What could not be put back for the room that there is waits for so long: its device may be away,
and each try is told."""
HELPED_FRACTION = 0.05
"""A limit that falls by less still helps, if its last write made it fall by this part of what was
expected: a charger may go from 16 to 15 A when it is set to 8."""

NOISE_FRACTION = 0.018
"""Of what a circuit drew: less than this is no answer of its own."""


@dataclass(frozen=True)
class ShedCircuit:
    """One circuit the event wrote to, or tried to. Power in kW, times epoch seconds.

    A circuit whose write failed is kept too: the device may have switched without a confirmation,
    and it is put back with the others.

    Nothing changes a ShedCircuit: each method below that names a change returns the circuit after
    it, and `Event.put` takes that one in the place of the old. Who calls them: the planner
    (`newly_shed`, `rewritten`, `tried_again`, `to_release`), EventExecution (`write_ended`,
    `still_held`, `release_failed`), ClosedLoop (`seen_in`, `judged`, `not_judged`,
    `taken_by_hand`), LoadControl (`switched_by_command`, `command_ended`) and Restoration
    (`restore_ended`, `left_unrestored`).
    """

    circuit_id: str
    name: str
    breaker_amps: float
    critical: bool
    point: str
    before: float | bool
    value: float | bool
    original_kw: float
    final_kw: float
    priority: int = 3
    shed_ts: float = 0.0
    confirmed: bool | None = None
    """None while the write is under way."""
    failure: str | None = None
    """Why its last write failed, for a person."""
    responded: bool | None = None
    """Whether its own power fell; None while that is not known."""
    seen: bool = False
    """Whether a reading has shown its point as it was written last."""
    manual_override: bool = False
    """A person changed it since: it is theirs, and not written again."""
    is_read_as_taken: bool = False
    """Only readings say so: once it reads as it was written again, it is this event's after all."""
    switching: bool = False
    """A command switches it now: theirs when that succeeds, this event's again when it fails."""
    left_alone: bool = False
    """Its device restarts again and again: not written any more until it goes back."""
    releasing: bool = False
    """It is being put back while the event goes on."""
    restored: bool = False
    reference_kw: float | None = None
    """Its own power before its last write; None: as `original_kw`."""
    step_kw: float | None = None
    """By how much its last write should lower it; None: by `shed_kw`, or it was raised."""
    exhausted: bool = False
    """Lowering its limit further does not help."""
    unrestored: bool = False
    """It could not be put back in time: `UnrestoredCircuits` goes on with it, not the event."""
    inverted: bool = False
    """Its contactor opens when the point is on."""
    relinquish: bool = False
    """It goes back to whoever had it before us, whatever they make of it: nothing is written."""
    settle_sec: float = 0.0
    """So long after `shed_ts` its power does not show yet that it is shed."""

    rounding: float = 0.0
    """Its device keeps what it is sent to its own step: off by less than this is as written."""
    relieved_by: tuple[str, ...] = ()
    """Its turn is over: it goes back as soon as these circuits, shed in its place, show it."""
    release_failed_ts: float | None = None
    """When it could not be put back last, while the event went on."""
    register_unit: float | None = None
    """What one unit of its register was taken for in `before` and `value`. One that is corrected in
    mid-event changes these, not what stands in the register."""
    companion: CompanionPoint | None = None
    """What is written with its register."""
    generates: bool = False
    """It is made to generate less for a limit of what the site feeds in. How much the sun would
    give is not measured, so that this is no part of another event's shed or rise."""

    # ---- changes -------------------------------------------------------------------------

    @classmethod
    def newly_shed(
        cls,
        action: CircuitSelectionAction,
        circuit: PanelCircuit,
        before: float | bool,
        now: float = 0.0,
        *,
        relinquish: bool = False,
        register_unit: float | None = None,
    ) -> ShedCircuit:
        """As `action` plans it, of a circuit whose point holds `before`."""
        return cls(
            circuit_id=circuit.id,
            name=circuit.name,
            breaker_amps=circuit.breaker_amps,
            critical=circuit.critical,
            point=circuit.point,
            before=before,
            value=action.value,
            original_kw=action.original_kw,
            final_kw=action.final_kw,
            priority=circuit.priority,
            shed_ts=now,
            inverted=circuit.inverted,
            relinquish=relinquish,
            settle_sec=circuit.settle_sec,
            rounding=_rounding(circuit, before, action.value),
            register_unit=register_unit,
            companion=circuit.companion,
            generates=circuit.generates,
        )

    def rewritten(
        self, value: float | bool, final_kw: float, step_kw: float | None = None
    ) -> ShedCircuit:
        """It is to be written again: nothing is known of it until that is confirmed and read.

        `step_kw`: by how much that should lower it further.
        """
        return replace(
            self,
            value=value,
            final_kw=final_kw,
            reference_kw=self.final_kw,
            step_kw=step_kw,
            confirmed=None,
            responded=None,
            seen=False,
            left_alone=False,
        )

    def tried_again(self, action: CircuitSelectionAction, now: float) -> ShedCircuit:
        """It was not reached, and is to be shed after all. What it was before stays as it is."""
        return replace(
            self.rewritten(action.value, action.final_kw),
            original_kw=action.original_kw,
            reference_kw=None,
            shed_ts=now,
        )

    def generating_up_to(self, value: float, final_kw: float, step_kw: float) -> ShedCircuit:
        """What it may generate is more from now on. It was reduced while it generated less than it
        could, so that what it is held back from is not known better than by a step."""
        written = self.rewritten(value, final_kw)
        return replace(written, original_kw=min(self.original_kw, final_kw - step_kw))

    def to_release(self) -> ShedCircuit:
        """It is to go back while the event goes on."""
        return replace(self, releasing=True)

    def to_be_relieved(self, by: Iterable[str] = ()) -> ShedCircuit:
        """Its turn is over, and these take its place; none: it stays after all."""
        return replace(self, relieved_by=tuple(by))

    def still_held(self) -> ShedCircuit:
        """It is not to go back after all."""
        return replace(self, releasing=False)

    def release_failed(self, failure: str, now: float) -> ShedCircuit:
        """It did not go back after all. It may be back by half, of two points one: until it is seen
        as this event wrote it, that is no one's hand."""
        return replace(self, releasing=False, failure=failure, seen=False, release_failed_ts=now)

    def write_ended(self, failure: str | None) -> ShedCircuit:
        """The device confirmed the write, or did not."""
        return replace(self, confirmed=failure is None, failure=failure)

    def in_unit_of(self, reading: PanelReading) -> ShedCircuit:
        """The same circuit, its register as the configuration takes it by now: what stands there is
        what stood there."""
        read = reading.circuit(self.circuit_id)
        known, unit = self.register_unit, read.register_unit
        if self.is_switch or known is None or unit in (None, known) or read.point != self.point:
            return self
        times = (unit or known) / known
        return replace(
            self,
            before=round(float(self.before) * times, 9),
            value=round(float(self.value) * times, 9),
            rounding=self.rounding * times,
            register_unit=unit,
        )

    def seen_in(self, reading: PanelReading) -> ShedCircuit:
        """Remember it if `reading` shows the point as it was written."""
        if self.seen or not self._is_at(self.setting(reading), self.value):
            return self
        return replace(self, seen=True)

    def judged(self, reading: PanelReading) -> ShedCircuit:
        """Whether its own power fell as its write should have made it, if `reading` tells."""
        power_kw = reading.circuit(self.circuit_id).power_kw
        is_others = self.manual_override or self.left_alone
        if power_kw is None or not self.confirmed or is_others:
            return self
        if self.is_raised:
            rise_kw = self.final_kw - self.original_kw
            has_risen = power_kw >= self.original_kw + RESPONDED_FRACTION * rise_kw
            return replace(self, responded=has_risen)
        if power_kw <= self.original_kw - RESPONDED_FRACTION * self.shed_kw:
            return replace(self, responded=True)
        before_kw = self.original_kw if self.reference_kw is None else self.reference_kw
        expected_kw = self.shed_kw if self.step_kw is None else self.step_kw
        if self.is_switch or expected_kw <= 0.0:
            return replace(self, responded=False)
        has_fallen = self.original_kw - power_kw >= NOISE_FRACTION * self.original_kw
        helped = has_fallen and before_kw - power_kw >= HELPED_FRACTION * expected_kw
        has_shed = has_fallen and before_kw < self.original_kw
        if not helped and not has_shed:
            return replace(self, responded=False)
        return replace(self, responded=True, final_kw=power_kw, exhausted=not helped)

    def not_judged(self) -> ShedCircuit:
        """Whether it responded is not known after all: its meter is frozen."""
        return replace(self, responded=None)

    def taken_by_hand(self) -> ShedCircuit:
        """A person at the site changed it."""
        return replace(self, manual_override=True, is_read_as_taken=True)

    def left_as_it_is(self) -> ShedCircuit:
        """Its device does not keep what it is told: it does not count, and goes back with the
        others."""
        return replace(self, left_alone=True, responded=False, seen=False)

    def ours_again(self) -> ShedCircuit:
        """It was no hand: its point was misread for a while, or the person has put it back."""
        return replace(self, manual_override=False, is_read_as_taken=False)

    def switched_by_command(self) -> ShedCircuit:
        """A command begins to switch it."""
        return replace(self, switching=True)

    def command_ended(self, *, more_to_come: bool, succeeded: bool) -> ShedCircuit:
        """The command's write ended; it is a person's now, if it succeeded and no other follows."""
        taken = succeeded and not more_to_come
        return replace(self, switching=more_to_come, manual_override=taken, is_read_as_taken=False)

    def restore_ended(self, failure: str | None, *, is_back: bool) -> ShedCircuit:
        """A write of its restoration ended; `is_back`: it is as it was before the event."""
        return replace(self, failure=failure, restored=self.restored or is_back)

    def left_unrestored(self) -> ShedCircuit:
        """The event ends without it."""
        return replace(self, unrestored=True)

    def shifted(self, step_sec: float) -> ShedCircuit:
        """The clock was set by `step_sec`."""
        failed_ts = self.release_failed_ts
        return replace(
            self,
            shed_ts=self.shed_ts + step_sec,
            release_failed_ts=None if failed_ts is None else failed_ts + step_sec,
        )

    # ---- what is known -------------------------------------------------------------------

    @property
    def shed_kw(self) -> float:
        return self.original_kw - self.final_kw

    def is_settling(self, now: float) -> bool:
        """Whether its power cannot show yet that it is shed."""
        return self.settle_sec > 0.0 and 0.0 <= now - self.shed_ts < self.settle_sec

    def is_release_tried(self, now: float) -> bool:
        """Whether it could not be put back a moment ago, and is tried again a little later."""
        failed_ts = self.release_failed_ts
        return failed_ts is not None and 0.0 <= now - failed_ts < RELEASE_AGAIN_SEC

    @property
    def is_raised(self) -> bool:
        """It is let draw more than before."""
        return self.final_kw > self.original_kw

    @property
    def counts(self) -> bool:
        """Whether it is shed as far as is known: confirmed, responded, and not taken by hand."""
        return self.is_ours and self.responded is not False

    @property
    def is_ours(self) -> bool:
        """Whether its write was confirmed, and no one has taken it since."""
        return bool(self.confirmed) and not (self.manual_override or self.switching)

    @property
    def device(self) -> str:
        """The device that its point belongs to."""
        return self.point.rpartition("/")[0]

    @property
    def is_switch(self) -> bool:
        return isinstance(self.before, bool)

    @property
    def register(self) -> float | None:
        """What its register held before; None for a contactor."""
        return None if self.is_switch else float(self.before)

    @property
    def last_resort(self) -> bool:
        return self.critical or self.priority <= 1

    @property
    def to_put_back(self) -> bool:
        return not self.restored and not self.manual_override and not self.unrestored

    def write(self) -> PointWrite:
        """What is to be written now: to shed it, or to put it back while the event goes on."""
        if self.releasing:
            return self.write_back()
        return PointWrite(
            *(self.circuit_id, self.point, self.value, self.inverted),
            rounding=self.kept_within,
            register_unit=self.register_unit,
            companion=self.companion,
        )

    def write_back(self) -> PointWrite:
        """What puts it back."""
        return PointWrite(
            *(self.circuit_id, self.point, self.before, self.inverted, self.relinquish),
            rounding=self.kept_within,
            register_unit=self.register_unit,
            companion=self.companion,
        )

    def is_back(self, reading: PanelReading | None) -> bool:
        """Whether `reading` shows the circuit's point as it was before the event. One that was
        relinquished is as others want it, which is no proof."""
        return (
            not self.relinquish
            and reading is not None
            and self._is_at(self.setting(reading), self.before)
        )

    def has_gone_back(self, reading: PanelReading) -> bool:
        """Whether `reading` shows that a release which was reported as failed was done. Of two
        points one does not show it."""
        is_tried = self.release_failed_ts is not None and not self.seen
        is_others = self.manual_override or self.switching
        if not is_tried or is_others or self.companion is not None:
            return False
        if self.relinquish:
            setting = self.setting(reading)
            return setting is not None and not self._is_at(setting, self.value)
        return self.is_back(reading)

    @property
    def kept_within(self) -> float:
        """How far from a value that was written its point may read, and still be as written."""
        if self.is_switch or not self.rounding:
            return 0.0
        return min(self.rounding, LARGEST_ROUNDING * abs(float(self.value) - float(self.before)))

    def _is_at(self, setting: float | bool | None, value: float | bool) -> bool:
        return is_same_shed_value(setting, value, self.kept_within)

    def is_as_written_again(self, reading: PanelReading) -> bool:
        """Whether `reading` shows one that was taken by hand as this event wrote it."""
        taken = self.is_read_as_taken and not self.switching
        return taken and self._is_at(self.setting(reading), self.value)

    def is_unreached(self, reading: PanelReading) -> bool:
        """Whether its write was not confirmed, and `reading` shows its point as it was before."""
        if self.confirmed is not False or self.switching or not self.to_put_back:
            return False
        if self.relinquish:  # what others make of it meanwhile is not what it was
            setting = self.setting(reading)
            return setting is not None and not self._is_at(setting, self.value)
        return self._is_at(self.setting(reading), self.before)

    def is_others(self, reading: PanelReading | None, ours: Iterable[float | bool] = ()) -> bool:
        """Whether its register, which took a write of what it was before, reads neither as that nor
        as anything that was written: its device keeps it otherwise, or someone has it again."""
        setting = None if reading is None or self.is_switch else self.setting(reading)
        if setting is None or math.isnan(setting):
            return False
        return not any(self._is_at(setting, value) for value in (self.value, *ours))

    def is_changed(self, reading: PanelReading) -> bool:
        """Whether someone changed the circuit's point since it was seen as this event wrote it.

        One that was never seen so has not responded: that is no one's hand.
        """
        setting = self.setting(reading)
        return self.seen and setting is not None and not self._is_at(setting, self.value)

    def contradiction(self, reading: PanelReading, value: float | bool) -> str | None:
        """What `reading` has against the circuit's point holding `value`, as was confirmed."""
        if self.relinquish and is_same_shed_value(value, self.before):
            return None
        setting = self.setting(reading)
        if setting is None or self._is_at(setting, value):
            return None
        return f"{self.point} was written as {value!r} and reads {setting!r}"

    def setting(self, reading: PanelReading) -> float | bool | None:
        """What its point holds, by this event's polarity; None if that was not read, or if the
        configuration names another point by now."""
        read = reading.circuit(self.circuit_id)
        if read.point not in ("", self.point):
            return None
        if self.companion is not None and read.companion_point not in (None, self.companion.point):
            return None
        if not self.is_switch and read.is_commanded is False and read.limit is not None:
            return math.nan  # its own programme rules, whatever the register holds
        if not self.is_switch:
            return in_register_unit(read.limit, read.register_unit, self.register_unit)
        if read.closed is None:
            return None
        return read.closed if read.inverted == self.inverted else not read.closed


def in_register_unit(
    value: float | None, read_unit: float | None, unit: float | None
) -> float | None:
    """A register's value that was read in units of `read_unit`, in those of `unit`; as it is where
    one of these is not known."""
    if value is None or read_unit is None or unit is None or read_unit == unit:
        return value
    return round(value / read_unit * unit, 9)


def is_same_shed_value(
    read: float | bool | None, value: float | bool, rounding: float = 0.0
) -> bool:
    """Whether a point reads as `value`: a register of 32 bits gives 7.3 back as 7.30000019, and a
    device keeps what it is sent to its own step, off by less than `rounding`."""
    if read is None:
        return False
    is_rounded = abs(read - value) < rounding - 1e-6
    return is_rounded or math.isclose(read, value, rel_tol=1e-6, abs_tol=1e-6)


def _rounding(circuit: PanelCircuit, before: float | bool, value: float | bool) -> float:
    if circuit.setpoint is not None:
        return max(circuit.setpoint.step, SETPOINT_ROUNDING * abs(float(value) - float(before)))
    if circuit.storage is not None:
        return circuit.storage.step
    return 0.0 if circuit.limit is None else circuit.limit.step
