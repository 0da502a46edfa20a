"""What all parts of the core share about the site: its panel, its policy, what was read of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from VenAgent.baseline.intervals import IntervalHistory
from VenAgent.baseline.recent_power import RecentPower
from VenAgent.baseline.sampling_interval import SamplingInterval
from VenAgent.dr.command_replies import CommandReplies
from VenAgent.dr.cycling_limits import CYCLING_LIMITS_FACT, CyclingLimits
from VenAgent.dr.effects import Effects, SaveFactEffect
from VenAgent.dr.event import Event
from VenAgent.dr.grid_limits import GridLimits, GridLimitSide
from VenAgent.dr.guard_history import GuardHistory
from VenAgent.dr.learned_shed import LEARNED_RISE_FACT, LEARNED_SHED_FACT, LearnedSheds
from VenAgent.dr.meter_delay import METER_DELAY_FACT, MeterDelay
from VenAgent.dr.meter_stillness import MeterStillness
from VenAgent.dr.panel import Panel, PanelReading
from VenAgent.dr.policy import Policy
from VenAgent.dr.shed_circuit import ShedCircuit
from VenAgent.dr.unrestored_circuits import UnrestoredCircuits
from VenAgent.dr.unshown_writes import UnshownWrites

WAITED_INTERVALS = 2.0
"""Of the meter, for a write to show, while it is not known how late it is."""


@dataclass
class SiteState:
    panel: Panel
    replies: CommandReplies
    policy: Policy
    history: RecentPower = field(default_factory=RecentPower)
    intervals: IntervalHistory = field(default_factory=IntervalHistory)
    """The site's quarter hours of the last weeks."""
    cycling_limits: CyclingLimits = field(default_factory=CyclingLimits)
    learned_sheds: LearnedSheds = field(default_factory=LearnedSheds)
    learned_rises: LearnedSheds = field(default_factory=LearnedSheds)
    sampling: SamplingInterval = field(default_factory=SamplingInterval)
    """How often the meter is read."""
    meter_delay: MeterDelay = field(default_factory=MeterDelay)
    stillness: MeterStillness = field(default_factory=MeterStillness)
    unshown: UnshownWrites = field(default_factory=UnshownWrites)
    latest: PanelReading | None = None
    unrestored: UnrestoredCircuits = field(default_factory=UnrestoredCircuits)
    limits: GridLimits = field(default_factory=GridLimits)
    """Of what the site draws."""
    export_limits: GridLimits = field(default_factory=lambda: GridLimits(GridLimitSide.EXPORT))
    """Of what it feeds in."""
    guards: GuardHistory = field(default_factory=GuardHistory)
    guarded_until: dict[str, float] = field(default_factory=dict)
    """Circuits that a guard released, and until when (epoch s) they are left alone: a state of
    charge that jumps to 0 and back must not switch a battery with each reading."""
    lease_overdue: bool = False
    """The shed lease was not renewed in time: circuits that have changed are no one's hand."""
    switching: dict[str, float] = field(default_factory=dict)
    """Circuits that a command switches, and until when (epoch s) readings may not show it yet."""

    def unavailable(self, end_ts: float, now: float) -> set[str]:
        """The circuits that may not be shed from now to `end_ts`."""
        switching = {name for name, until_ts in self.switching.items() if now < until_ts}
        guarded = {name for name, until_ts in self.guarded_until.items() if now < until_ts}
        kept = switching | guarded | self.unrestored.circuit_ids
        return kept | self.cycling_limits.unavailable(self.panel, now, end_ts)

    @property
    def all_limits(self) -> tuple[GridLimits, GridLimits]:
        return self.limits, self.export_limits

    def take_limit(self, event: Event) -> None:
        """It counts from its start to its end; what is no limit is passed over."""
        for limits in self.all_limits:
            limits.take(event)

    def no_longer_needed(self, event: Event, now: float) -> list[ShedCircuit]:
        """What `event` holds, and neither it nor a limit in force asks for any more: a limit that
        had it is over, or the limit took it over from an event that is."""
        is_drawn_limited = self.limits.strictest(now) is not None
        is_fed_in_limited = self.export_limits.strictest(now) is not None
        sheds = is_drawn_limited or not (event.is_limit or event.is_load_up)
        found = []
        for held in event.held():
            raises = is_fed_in_limited and held.settle_sec <= 0.0  # setpoints are too slow for it
            raises = raises or (event.is_load_up and not held.generates)
            if (raises if held.is_raised else sheds) or held.switching:
                continue
            circuit = self.panel.by_id.get(held.circuit_id)
            min_off_sec = 0.0 if circuit is None else circuit.endurance.min_off_sec
            if held.is_raised or now - held.shed_ts >= min_off_sec:
                found.append(held)
        return found

    def is_limited(self, now: float, beside: Event) -> bool:
        """Whether a limit is in force that is not `beside`."""
        return any(e is not beside for limits in self.all_limits for e in limits.in_force(now))

    def net_kw(self, event: Event, reading: PanelReading, now: float) -> float:
        """The site's power as it will be when what was written a moment ago shows. Of a meter that
        is frozen nothing shows: all that is held counts as planned."""
        wait_sec = math.inf if self.stillness.is_suspect else self.meter_wait_sec
        pending = event, reading, now, wait_sec
        falls_kw = self.unshown.pending_kw(*pending, rises=False)
        rises_kw = self.unshown.pending_kw(*pending, rises=True)
        return (reading.power_kw or 0.0) - falls_kw + rises_kw

    def learn_shed(self, circuit_id: str, point: str, shed_kw: float) -> SaveFactEffect:
        """A setpoint has brought so much."""
        self._learn(self.learned_sheds, circuit_id, point, shed_kw)
        return SaveFactEffect(LEARNED_SHED_FACT, self.learned_sheds.as_fact())

    def learn_rise(self, circuit_id: str, point: str, rise_kw: float) -> SaveFactEffect:
        """One that was moved the other way has brought so much more load."""
        self._learn(self.learned_rises, circuit_id, point, rise_kw)
        return SaveFactEffect(LEARNED_RISE_FACT, self.learned_rises.as_fact())

    @property
    def meter_wait_sec(self) -> float:
        """So long after writes a meter that stands still proves nothing."""
        unknown_sec = max(
            self.policy.confirm_sec, WAITED_INTERVALS * (self.sampling.interval_sec or 0.0)
        )
        return self.meter_delay.wait_sec(self.panel.measured_by, unknown_sec)

    def doubted_kw(self, event: Event, now: float) -> float:
        """What was written and is taken for not to respond, though the meter may just be late."""
        doubt_sec = self.meter_delay.doubt_sec(self.panel.measured_by)
        return self.unshown.doubted_kw(event, now, doubt_sec)

    def learn_delay(self, delay_sec: float, *, is_late: bool) -> Effects:
        """A shed has shown after so long: when it was taken for one that does not respond
        (`is_late`), or as it should."""
        before, delay = self.meter_delay.as_fact(), self.meter_delay
        (delay.note_late if is_late else delay.note_shown)(self.panel.measured_by, delay_sec)
        fact = delay.as_fact()
        return [] if fact == before else [SaveFactEffect(METER_DELAY_FACT, fact)]

    def _learn(self, known: LearnedSheds, circuit_id: str, point: str, brought_kw: float) -> None:
        circuit = self.panel.by_id.get(circuit_id)
        measured_by = "" if circuit is None else circuit.measured_by
        known.note(circuit_id, point, brought_kw, measured_by)
        self.panel = self.with_learned_sheds(self.panel)

    def with_learned_sheds(self, panel: Panel) -> Panel:
        """`panel` with what its setpoints have brought so far."""
        if all(circuit.setpoint is None for circuit in panel.circuits):
            return panel
        circuits = []
        for circuit in panel.circuits:
            if circuit.setpoint is not None:
                key = circuit.id, circuit.point, circuit.measured_by
                setpoint = replace(
                    circuit.setpoint,
                    learned=self.learned_sheds.of(*key),
                    learned_rise=self.learned_rises.of(*key),
                )
                circuit = replace(circuit, setpoint=setpoint)
            circuits.append(circuit)
        return replace(panel, circuits=tuple(circuits))

    def is_comparable(self, event: Event) -> bool:
        """Whether the power is read from what the event's baseline was read from."""
        baseline = event.baseline
        return baseline is None or baseline.measured_by == self.panel.measured_by

    def forget_meter(self) -> None:
        """Another meter is read from now on: how it behaves is not known."""
        self.forget_measurements()
        self.stillness, self.unshown = MeterStillness(), UnshownWrites()

    def forget_measurements(self) -> None:
        """Something else is measured from now on, or the clock was set: what was read before is
        not comparable."""
        self.history, self.sampling = RecentPower(), SamplingInterval()
        for limits in self.all_limits:
            limits.forget_measurements()

    @property
    def stale_after_sec(self) -> float:
        """When a reading is stale, with a meter that is read as often as this one."""
        return self.sampling.stale_after_sec(self.policy.stale_after_sec)

    def save_cycling_limits(self) -> SaveFactEffect:
        return SaveFactEffect(CYCLING_LIMITS_FACT, self.cycling_limits.as_fact())
