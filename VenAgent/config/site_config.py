"""The blocks of the configuration about the building: panel, circuits, events, leases, its days."""

from __future__ import annotations

import math
import re
from datetime import date, timedelta, timezone, tzinfo
from enum import Enum
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from VenAgent.baseline.baseline_methods import DEFAULT_METHOD, METHODS
from VenAgent.baseline.site_calendar import SiteCalendar
from VenAgent.config.circuit_wiring_config import (
    PowerPoints,
    check_circuit_wiring_sum,
    circuit_wiring_points,
)
from VenAgent.config.config_block import (
    ConfigBlock,
    DevicePath,
    Name,
    NotBoolean,
    NotNegative,
    Positive,
)
from VenAgent.dr.opt_schedule import OptScheduleWindow
from VenAgent.dr.policy import PriorityPolicy, ReleasePolicy, StopPolicy


def _zone(name: str) -> tzinfo:
    """Raises KeyError, ValueError or OSError if it is not known; UTC needs no files."""
    if name == "UTC":
        return timezone.utc
    offset = re.fullmatch(r"([+-])(\d\d):([0-5]\d)", name)
    if offset is None:
        return ZoneInfo(name)
    sign, hours, minutes = offset.groups()
    ahead = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(ahead if sign == "+" else -ahead)


def _known_zone(name: str) -> str:
    try:
        _zone(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            "is no time zone known here: name one like Europe/Vienna, or an offset like +01:00"
        ) from None
    return name


class SiteCalendarConfig(ConfigBlock):
    """The site's own days: baselines from similar days compare weekdays with weekdays."""

    timezone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    """`America/New_York`, or a fixed offset, `-05:00`."""
    holidays: frozenset[date] = frozenset()
    """Days like a Sunday, `2026-12-24`."""
    nerc_holidays: bool = False
    """The six of NERC too, as in PJM and CAISO."""

    def build(self) -> SiteCalendar:
        return SiteCalendar(_zone(self.timezone), self.holidays, self.nerc_holidays)


SiteWeekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
SITE_WEEKDAYS: tuple[SiteWeekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SiteWallTime = Annotated[str, StringConstraints(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")]


def _wall_sec(text: str) -> float:
    hours, minutes = text.split(":")
    return int(hours) * 3600.0 + int(minutes) * 60.0


class SiteOptWindow(ConfigBlock):
    """A time in which the site does not take part in events, by the calendar's time zone."""

    days: tuple[SiteWeekday, ...] = ()
    """`["mon", "fri"]`: each week."""
    dates: frozenset[date] = frozenset()
    """`["2026-12-24"]`."""
    holidays: bool = False
    """On the calendar's holidays."""
    from_time: SiteWallTime = "00:00"
    """By the wall clock."""
    to_time: SiteWallTime = "24:00"
    """One that is not after `from_time` is on the day after."""
    reason: Annotated[str, StringConstraints(max_length=200)] = ""
    """For a person."""

    @model_validator(mode="after")
    def _has_days(self) -> SiteOptWindow:
        if not (self.days or self.dates or self.holidays):
            raise ValueError("give days, dates or holidays: else it is never")
        return self

    def build(self) -> OptScheduleWindow:
        return OptScheduleWindow(
            from_sec=_wall_sec(self.from_time),
            to_sec=_wall_sec(self.to_time),
            weekdays=frozenset(SITE_WEEKDAYS.index(day) for day in self.days),
            dates=self.dates,
            holidays=self.holidays,
            reason=self.reason,
        )


class SiteVoltageConfig(str, Enum):
    """What a three-phase voltage is between."""

    LINES = "lines"
    LINE_AND_NEUTRAL = "line_and_neutral"


class SitePanelConfig(ConfigBlock):
    """The panel as a whole: its device in the platform driver, and the points read from it."""

    device: DevicePath
    """Without `devices/`, e.g. `site/building/panel`."""
    amperage: Positive = 200.0
    voltage: Positive = 240.0
    phases: Literal[1, 3] = 1
    """3 for a three-phase service; 1 for a single-phase or split-phase one."""
    voltage_between: SiteVoltageConfig = SiteVoltageConfig.LINES
    """What `voltage` is between, with three phases: lines (400 V) or line and neutral (230 V)."""
    power_point: Name | PowerPoints | None = None
    """Total power, one point or several that are summed; without one the circuits are summed."""
    power_scale: Annotated[float, Field(allow_inf_nan=False), NotBoolean] = 1.0
    """kW per unit of `power_point`: 0.001 for a meter in watts."""
    voltage_point: Name | None = None
    current_point: Name | None = None
    battery_soc_point: Name | None = None

    @property
    def power_points(self) -> tuple[str, ...]:
        return circuit_wiring_points(self.power_point)

    @model_validator(mode="after")
    def _sum(self) -> SitePanelConfig:
        check_circuit_wiring_sum(self.power_points)
        return self

    @property
    def phase_factor(self) -> float:
        """kW are amps by voltage by this, over 1000."""
        if self.phases == 1:
            return 1.0
        return math.sqrt(3.0) if self.voltage_between is SiteVoltageConfig.LINES else 3.0

    @property
    def max_kw(self) -> float:
        return self.amperage * self.voltage * self.phase_factor / 1000.0


def _known_method(name: str) -> str:
    if name not in METHODS:
        raise ValueError(f"must be one of {', '.join(METHODS)}")
    return name


class SiteEventConfig(ConfigBlock):
    """What events this site accepts, and how it carries them out."""

    min_duration_sec: Positive = 1.0
    max_duration_sec: Positive = 86_400.0
    task_priority: Literal["HIGH", "LOW", "LOW_PREEMPT"] = "HIGH"
    """Of our schedule at the actuator; only HIGH preempts another's."""
    write_timeout_sec: Positive = 5.0
    preempt_wait_sec: NotNegative = 65.0
    """Devices that we take from another agent stay its own for the actuator's grace time (60 s):
    so long we wait for them."""
    max_command_age_sec: Positive = 900.0
    """An event whose `issued_ts` is older than this is refused: it was queued somewhere. So is one
    without, from the broker's queue, when the agent was away for longer."""
    max_ahead_sec: Positive = 2_592_000.0
    """An event that begins later than this (30 days) is refused: a mistake in the unit or year."""
    clock_tolerance_sec: Positive = 300.0
    """A command whose `issued_ts` is further ahead of this clock is refused."""
    require_issued_ts: bool = False
    """Whether an event without `issued_ts` is refused. The reference's sender dates nothing."""
    max_scheduled: Annotated[int, Field(ge=1, le=10_000), NotBoolean] = 200
    """So many events may wait; one more is refused."""
    band: Annotated[float, Field(gt=0, le=0.5), NotBoolean] = 0.05
    """How far the measured shed may be from the request, as a part of it."""
    confirm_sec: NotNegative = 10.0
    """So long the meter must show it before circuits are added or released."""
    restore_stagger_sec: NotNegative = 2.0
    """Between two circuits that go back."""
    restore_within_sec: NotNegative = 60.0
    """In so long all circuits are to be back: with many of them the pauses are shorter. So long a
    circuit is tried that does not go back, before its event ends without it."""
    limit_ramp_sec: NotNegative = 0.0
    """In so long a limit goes back to what it was; 0: at once."""
    baseline_method: Annotated[str, AfterValidator(_known_method)] = DEFAULT_METHOD
    """What an event is settled by; it is steered by the minutes before it."""
    rebound_sec: NotNegative = 900.0
    """After the event, the highest power is looked for this long."""
    on_stop: StopPolicy = StopPolicy.RESTORE
    """`resume`: an orderly stop of the agent leaves the event to its next start."""
    priority_order: PriorityPolicy = PriorityPolicy.BEST_FIT
    """How priorities decide what is shed: `best_fit` lands on the request with as few important
    priorities as that needs; `strict` uses up each priority before it touches a more important one,
    and sheds more than the request if need be."""
    release_order: ReleasePolicy = ReleasePolicy.MOST_IMPORTANT_FIRST
    """Which loads return first when an event sheds too much, or is changed to less."""

    @model_validator(mode="after")
    def _durations(self) -> SiteEventConfig:
        if self.min_duration_sec > self.max_duration_sec:
            raise ValueError(
                f"min_duration_sec {self.min_duration_sec:g} is above max_duration_sec "
                f"{self.max_duration_sec:g}: every event would be refused"
            )
        return self


class SiteDeviceQuirksConfig(ConfigBlock):
    """What is odd about one device: data that belongs beside its registers."""

    device: DevicePath
    sentinels: tuple[Annotated[float, Field(allow_inf_nan=False), NotBoolean], ...] = ()
    """Raw values that mean "no value", such as -32768 or 65535."""
    scale_points: dict[
        Name, Name | Annotated[float, Field(allow_inf_nan=False, gt=0), NotBoolean]
    ] = Field(default_factory=dict)
    """A point → the point that holds its power of ten (SunSpec), or what one unit of it is: 0.1 for
    a setpoint in tenths. It counts for what is read and for what is written."""
    settle_sec: Annotated[float, Field(ge=0, le=120), NotBoolean] = 0.0
    """So long after a write a reading may still show what was before."""
    answer_within_sec: Annotated[float, Field(ge=1, le=120), NotBoolean] | None = None
    """The longest that it may take to answer a request; learnt from its answers if none."""
    frozen_after_sec: Annotated[float, Field(ge=10, le=86_400), NotBoolean] | None = None
    """A meter whose readings always move a little: when all of them stand still for longer, it is
    frozen, and they are not used."""
    renew_sec: Annotated[float, Field(ge=5, le=3_600), NotBoolean] | None = None
    """A device that drops what it was sent after a while: so often it is written again while it is
    shed. A third of the device's own time is right."""


class SiteLeaseConfig(ConfigBlock):
    """A device that goes back to normal by itself when this agent falls silent."""

    device: DevicePath
    heartbeat_point: Name
    """Written every third of the time-out while anything is shed."""
    timeout_point: Name | None = None
    """Where the device keeps its time-out, in seconds, 0 for off; without one it is fixed."""
    timeout_sec: Annotated[float, Field(ge=3, le=65_535), NotBoolean] = 120.0

    @model_validator(mode="after")
    def _two_points(self) -> SiteLeaseConfig:
        if self.heartbeat_point == self.timeout_point:
            raise ValueError(
                f"heartbeat_point and timeout_point are both {self.timeout_point!r}: each needs "
                "its own; leave timeout_point out where the time-out is fixed"
            )
        return self
