"""The site's electrical panel: its circuits, how each can be shed, and what was read from it.

Power is kW (generation negative), current A, voltage V, times epoch seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from VenAgent.dr.comfort_guard import ComfortGuard
from VenAgent.dr.companion_point import CompanionPoint
from VenAgent.dr.policy import UNLIMITED, EndurancePolicy, RotationPolicy
from VenAgent.dr.setpoint_control import SetpointControl
from VenAgent.dr.storage_control import StorageControl

CRITICAL_LIMIT_FLOOR = 0.8
"""What a critical circuit with a limit keeps of its present draw."""


class PanelCircuitControl(str, Enum):
    """How a circuit can be shed: as a whole, down to a limit, by a setpoint, by discharging, or
    not at all."""

    SWITCH = "switch"
    LIMIT = "limit"
    SETPOINT = "setpoint"
    POWER = "power"
    NONE = "none"


class PanelLimitUnit(str, Enum):
    PERCENT = "percent"
    AMPS = "amps"
    KW = "kw"


@dataclass(frozen=True)
class PanelLimitScale:
    """Between kW and the number a device's limit register holds, in whole multiples of `step`."""

    unit: PanelLimitUnit
    full_scale_kw: float
    """What 100 percent means."""
    voltage: float
    step: float = 1.0
    phase_factor: float = 1.0
    """kW are amps by voltage by this, over 1000: √3 for three phases, voltage between lines."""
    lowest: float = 0.0
    """A smaller number than this is never written, but 0: a charger takes no 1 to 5 A."""
    unlimited: tuple[float, ...] = ()
    """What stands in the register when there is no limit, such as 0, -1 or 65535."""

    def limit_of(self, value: float | None) -> float | None:
        """The limit that the register's `value` means; None when it means that there is none: no
        one is limited to less than nothing."""
        is_none = value is None or value < 0.0 or value in self.unlimited
        return None if is_none else value

    @property
    def kw_per_value(self) -> float:
        if self.unit is PanelLimitUnit.PERCENT:
            return self.full_scale_kw / 100.0
        amp_kw = self.voltage * self.phase_factor / 1000.0
        return amp_kw if self.unit is PanelLimitUnit.AMPS else 1.0

    @property
    def step_kw(self) -> float:
        return self.step * self.kw_per_value

    def value_at(self, power_kw: float, lowest_kw: float = 0.0, *, at_most: bool = False) -> float:
        """The register value nearest to `power_kw` that does not go below `lowest_kw`; `at_most`:
        that does not go above it either, where that leaves one."""
        exact = power_kw / self.step_kw
        steps = math.floor(exact + 1e-6) if at_most else round(exact)
        lowest = math.ceil(lowest_kw / self.step_kw - 1e-9)
        value = round(max(steps, lowest, 0) * self.step, 6)
        if 0.0 < value < self.lowest:
            is_nearer_to_0 = at_most or value < self.lowest / 2.0
            value = 0.0 if lowest <= 0 and is_nearer_to_0 else self.lowest
        while value > 0.0 and value in self.unlimited:  # full scale may mean that there is none
            value = round(value - self.step, 6)
        is_none = value in self.unlimited or 0.0 < value < self.lowest
        return max(self.step, self.lowest) if is_none else value

    @property
    def open_value(self) -> float:
        """What limits nothing: full scale, also where that is how no limit is written."""
        return round(round(self.full_scale_kw / self.step_kw) * self.step, 6)

    def kw_of(self, value: float) -> float:
        return value * self.kw_per_value


@dataclass(frozen=True)
class PanelCircuit:
    """One branch circuit.

    `priority`: 1 critical … 5 flexible. `floor`: the fraction of its draw that it keeps.
    `point`: where it is controlled; an address for site/, opaque to this package.
    """

    id: str
    name: str
    type: str
    breaker_amps: float
    voltage: float
    priority: int = 3
    critical: bool = False
    control: PanelCircuitControl = PanelCircuitControl.SWITCH
    limit: PanelLimitScale | None = None
    floor: float | None = None
    point: str = ""
    switch_point: str = ""
    """Where it is switched off and on as a whole; for a `switch` the same as `point`."""
    measured_by: str = ""
    """What its power is read from: what was learned of it belongs to that."""
    endurance: EndurancePolicy = UNLIMITED
    inverted: bool = False
    """Its contactor hangs on a normally closed contact: it opens when the point is on."""
    phase_factor: float = 1.0
    """kW are amps by voltage by this, over 1000: √3 for three phases, voltage between lines."""
    setpoint: SetpointControl | None = None
    storage: StorageControl | None = None
    guard: ComfortGuard | None = None
    rotation: RotationPolicy | None = None
    companion: CompanionPoint | None = None
    """What is written with its register."""
    shown_after_sec: float = 0.0
    """Its device shows a write by so much later: standing still is no proof before."""
    renew_sec: float | None = None
    """Its device drops what it was sent, unless that is written again so often."""
    generates: bool = False
    """It feeds in and draws nothing, as a PV inverter: its limit or switch is of what it generates.
    Used to keep a limit of what the site feeds in, never to shed."""

    @property
    def rating_kw(self) -> float:
        return self.breaker_amps * self.voltage * self.phase_factor / 1000.0

    @property
    def last_resort(self) -> bool:
        """Shed only when all other circuits together are not enough."""
        return self.critical or self.priority <= 1

    @property
    def kept_fraction(self) -> float:
        """What must be left of the present draw: 1 means that it may not be touched."""
        if self.control is PanelCircuitControl.NONE:
            return 1.0
        if not self.critical:
            return self.floor or 0.0
        is_limit = self.control is PanelCircuitControl.LIMIT
        protected = CRITICAL_LIMIT_FLOOR if is_limit else 1.0
        return max(protected, self.floor or 0.0)

    @property
    def can_feed_in_less(self) -> bool:
        """Whether a limit of what the site feeds in can be kept by it: it generates less, or a
        battery charges instead."""
        if self.storage is not None:
            return self.storage.most_charge_kw > 0.0 and self.kept_fraction < 1.0
        return self.generates and self.kept_fraction == 0.0

    @property
    def power_scale(self) -> PanelLimitScale | StorageControl | None:
        """Of the register that sets its power: any part of what it has can be taken."""
        return self.limit if self.storage is None else self.storage

    def as_read(self, read: PanelCircuitReading) -> PanelCircuit:
        """With the scale that its limit has on the lines that it uses now, and the rating that its
        breaker has on them: the amps of each line stay."""
        limit = self.limit
        if read.phases is None or limit is None or limit.unit is not PanelLimitUnit.AMPS:
            return self
        lines = float(read.phases)
        full_scale_kw = limit.full_scale_kw * lines / limit.phase_factor
        scale = replace(limit, phase_factor=lines, full_scale_kw=full_scale_kw)
        return replace(self, limit=scale, phase_factor=lines)

    @property
    def settle_sec(self) -> float:
        """So long its power takes to show that it is shed; 0: it shows at once."""
        return 0.0 if self.setpoint is None else self.setpoint.settle_sec


@dataclass(frozen=True)
class Panel:
    amperage: float
    voltage: float
    circuits: tuple[PanelCircuit, ...]
    phase_factor: float = 1.0
    measured_by: str = ""
    """What its power is read from: device, points and scale. What was learnt from one says
    nothing of another."""
    by_id: Mapping[str, PanelCircuit] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {circuit.id: circuit for circuit in self.circuits})

    def as_read(self, reading: PanelReading) -> Panel:
        """With every limit's scale as it is now."""
        if all(read.phases is None for read in reading.circuits.values()):
            return self
        circuits = tuple(circuit.as_read(reading.circuit(circuit.id)) for circuit in self.circuits)
        return replace(self, circuits=circuits)

    @property
    def max_kw(self) -> float:
        return self.amperage * self.voltage * self.phase_factor / 1000.0

    @property
    def can_feed_in_less(self) -> bool:
        """Whether the site can keep a limit of what it feeds in."""
        return any(circuit.can_feed_in_less for circuit in self.circuits)


@dataclass(frozen=True)
class PanelCircuitReading:
    """What was read of one circuit; None where nothing was. `limit` is the value of its control
    register: a limit, a setpoint or a commanded power."""

    power_kw: float | None = None
    closed: bool | None = None
    limit: float | None = None
    guard: float | None = None
    """What its comfort guard's point reads."""
    guard_unmoved_sec: float | None = None
    """For how long that has not changed, if it is not believed for that; `guard` is None then."""
    guard_silent_sec: float | None = None
    """For how long that has not been read, if that is too long; `guard` is None then."""
    soc_percent: float | None = None
    """State of charge."""
    soc_ts: float | None = field(default=None, compare=False)
    """When that was read (epoch s), which may be long ago; None: with all the rest."""
    soc_silent_sec: float | None = None
    """For how long that has not been read, if that is too long; it is None then."""
    is_paused: bool = False
    """A charger's own point says that it is not to charge, whatever its register holds."""
    phases: int | None = None
    """How many lines a charger uses now."""
    is_commanded: bool | None = None
    """Whether its register rules now, or its own programme; None if it has no such mode."""
    point: str = field(default="", compare=False)
    """The circuit's control point in the configuration that it was read by; empty: not known."""
    companion_point: str | None = field(default=None, compare=False)
    """The companion of that in the configuration; empty: it has none, None: not known."""
    inverted: bool = field(default=False, compare=False)
    """Whether `closed` was read as from a normally closed contact."""
    ts: float | None = field(default=None, compare=False)
    """When the oldest of these was read (epoch s); None where nothing was."""
    heard_again_ts: float | None = field(default=None, compare=False)
    """When its control point was last read after it had been missed, as of a device that was
    away."""
    has_slot: bool = field(default=False, compare=False)
    """Its control point has a slot of our own (BACnet's priority array): to give that back writes
    nothing over anybody."""
    is_silent: bool = field(default=True, compare=False)
    """Of a control point that is not read: its device does not answer. One whose device is there
    may come only when it changes."""
    relinquish: bool = field(default=False, compare=False)
    """Its control point is given back to whoever had it: a BACnet slot, a register with a default
    of its own."""
    relinquish_switch: bool = field(default=False, compare=False)
    """The same of its contactor, which may be another object than what sheds it."""
    register_unit: float | None = field(default=None, compare=False)
    """What one unit of its control register was taken for in `limit` (`scale_points`); None where
    that is not known."""
    slot: float | bool | None = field(default=None, compare=False)
    """What its control point held at our own priority before we wrote; None if nothing."""


@dataclass(frozen=True)
class PanelReading:
    """What the meter said; `ts` is when the panel's power was read, each circuit has its own."""

    ts: float
    power_kw: float | None
    circuits: Mapping[str, PanelCircuitReading]
    voltage: float | None = None
    current_amps: float | None = None
    battery_soc: float | None = None
    """Percent."""

    def circuit(self, circuit_id: str) -> PanelCircuitReading:
        return self.circuits.get(circuit_id, _NOT_READ)

    def age_sec(self, now: float) -> float:
        return max(0.0, now - self.ts)


_NOT_READ = PanelCircuitReading()
