"""How this site carries its events out: the settings that the core's decisions depend on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

from VenAgent.contract.commands import CommandFeature
from VenAgent.dr.opt_schedule import OptSchedule

SUPPORTED_FEATURES: frozenset[CommandFeature] = frozenset(
    {
        CommandFeature.TEST,
        CommandFeature.DRY_RUN,
        CommandFeature.UNTIL_CANCELLED,
        CommandFeature.RANDOMIZE_START,
        CommandFeature.INTERVALS,
        CommandFeature.LIMIT,
        CommandFeature.LOAD_UP,
    }
)
"""What the engine carries out beyond one level of shedding; a command that asks for more is refused
as `not_supported`, never treated as something else."""


class StopPolicy(str, Enum):
    """What an orderly stop of the agent does to an event that runs."""

    RESTORE = "restore"
    RESUME = "resume"
    """Leave it: the next start goes on with it, or the device's lease ends it."""


class ReleasePolicy(str, Enum):
    """Which loads return first when an event that goes on sheds too much."""

    MOST_IMPORTANT_FIRST = "most_important_first"
    """What a person would miss most."""
    LEAST_IMPORTANT_FIRST = "least_important_first"


class PriorityPolicy(str, Enum):
    """How the priorities of circuits decide which are shed."""

    BEST_FIT = "best_fit"
    """Land on the request, with as few important priorities as that needs."""
    STRICT = "strict"
    """No circuit is shed while a less important one that could be is not; more than the request is
    shed if need be."""


@dataclass(frozen=True)
class Policy:
    """Times in seconds."""

    band: float = 0.05
    """How far the measured shed may be from the request, as a part of it."""
    confirm_sec: float = 10.0
    """So long the meter must show it before circuits are added or released."""
    stale_after_sec: float = 30.0
    restore_stagger_sec: float = 2.0
    """Between two circuits that go back."""
    restore_within_sec: float = 60.0
    """In so long all circuits are to be back: with many of them the pauses are shorter."""
    limit_ramp_sec: float = 0.0
    """In so long a limit goes back to what it was; 0: at once."""
    baseline_method: str = "pre_event_mean"
    rebound_sec: float = 900.0
    on_stop: StopPolicy = StopPolicy.RESTORE
    release_order: ReleasePolicy = ReleasePolicy.MOST_IMPORTANT_FIRST
    priority_order: PriorityPolicy = PriorityPolicy.BEST_FIT
    max_duration_sec: float = 86_400.0
    """So long an event lasts that no one ends."""
    opt_schedule: OptSchedule = field(default_factory=OptSchedule)
    max_scheduled: int = 200
    """So many events may wait; one more is refused."""


@dataclass(frozen=True)
class EndurancePolicy:
    """What a circuit's equipment bears; times in seconds."""

    min_off_sec: float = 0.0
    """Once shed, it stays so for at least this long."""
    min_on_sec: float = 0.0
    """Once back, it is not shed again for at least this long."""
    max_sheds_per_day: float = math.inf
    """In any 24 hours."""


@dataclass(frozen=True)
class RotationPolicy:
    """Like units that take turns."""

    group: str
    turn_sec: float
    """None of them is shed for longer, as long as another can take its place."""


UNLIMITED = EndurancePolicy()
