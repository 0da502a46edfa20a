"""What a request's body may have; what it does not know is refused, by name."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from backend.api.request_fields import (
    DurationSec,
    EventDurationSec,
    IdField,
    LevelKw,
    Moment,
    NameInPath,
    NewEventIdField,
    PowerKw,
    Priority,
    RandomSec,
    RequestNumber,
    RequestWholeNumber,
    TextField,
    TimeZoneField,
)
from backend.dispatch.new_event import LONGEST_EVENT, UNTIL_FURTHER_NOTICE
from backend.dispatch.programme_schedule import programme_window_sec
from backend.store.utc_time import utc_now
from VenAgent.baseline.baseline_methods import METHODS
from VenAgent.contract.command_fields import LET_THROUGH
from VenAgent.contract.op import Op


class RequestBody(BaseModel):
    """A request's body: what it does not know is refused, by name."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")
    choices: ClassVar[frozenset[str]] = frozenset()
    """Fields that say whom it is for: one that was looked for and not found (null, an empty list)
    does not mean everybody."""

    @model_validator(mode="before")
    @classmethod
    def let_senders_own_through(cls, value: Any) -> Any:
        """`x_…` is the sender's own."""
        if not isinstance(value, dict):
            return value
        return {key: each for key, each in value.items() if not str(key).startswith(LET_THROUGH)}

    @field_validator("*", mode="before")
    @classmethod
    def check_choice_is_one(cls, value: Any, info: ValidationInfo) -> Any:
        if info.field_name in cls.choices and (value is None or value in ([], {})):
            raise ValueError("names nobody: give what it is for, or leave it out")
        return value


class VenLocationBody(RequestBody):
    lat: RequestNumber = Field(ge=-90, le=90)
    lon: RequestNumber = Field(ge=-180, le=180)


_NEW_VEN: JsonDict = {
    "name": "Maple Street 12",
    "registrationId": "maple-12",
    "location": {"lat": 37.7749, "lon": -122.4194},
}


VenStatusField = Annotated[str, Field(pattern="^(online|offline|unknown|maintenance|active)$")]
"""`active` ends maintenance: whether it is online its telemetry tells."""


class NewVenBody(RequestBody):
    """`registrationId` is the AWS IoT thing name: commands go to `ven/cmd/` it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_NEW_VEN]})

    name: TextField
    registration_id: IdField | None = None
    location: VenLocationBody | None = None
    status: VenStatusField | None = None


class VenChangeBody(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Maple Street 12b"}]})

    name: TextField | None = None
    registration_id: IdField | None = None
    location: VenLocationBody | None = None
    status: VenStatusField | None = None
    trusted: StrictBool | None = None
    feeder: TextField | None = None
    zone: TextField | None = None
    tags: list[TextField] | None = Field(None, max_length=50)
    most_events_per_day: RequestWholeNumber | None = Field(None, ge=0, le=100)
    most_event_hours_per_day: RequestNumber | None = Field(None, ge=0, le=24)
    notice_sec: RandomSec | None = Field(
        None, description="The site is not asked for events that begin sooner."
    )
    timezone: TimeZoneField | None = Field(
        None, description="Of its days; none: the programme's, else UTC."
    )


class LoadChangeBody(RequestBody):
    """`enabled` and `priority` are sent to the VEN as `setLoad`; its next telemetry shows them.

    `capacityKw` is kept here, in place of what the VEN says.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": False}]})

    enabled: StrictBool | None = None
    priority: Priority | None = Field(None, ge=1, le=5)
    capacity_kw: PowerKw | None = None


class ShedLoadBody(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"amountKw": 1.5}]})

    amount_kw: PowerKw
    duration_sec: EventDurationSec = 3_600.0


EventKind = Literal["event", "limit", "loadUp"]


class EventIntervalBody(RequestBody):
    """One level: `shedKw` in an event, `importKw` in a limit."""

    model_config = ConfigDict(populate_by_name=False)

    duration_sec: DurationSec
    shed_kw: LevelKw | None = None
    import_kw: LevelKw | None = None


class EventKindBody(RequestBody):
    """What an event asks for: a reduction, a limit, or to draw more."""

    kind: EventKind = Field("event", description="limit: stay under; loadUp: draw more.")
    raise_kw: PowerKw | None = Field(None, description="loadUp: so much more, in all.")
    import_kw: LevelKw | None = Field(None, description="limit: draw at most this.")
    export_kw: LevelKw | None = Field(None, description="limit: each site feeds in at most this.")
    window_sec: DurationSec | None = Field(None, description="limit: as a mean over this.")
    failsafe_kw: LevelKw | None = Field(
        None, description="limit: rules at a site that did not hear the backend for `heartbeatSec`."
    )
    heartbeat_sec: DurationSec | None = Field(
        None, description="limit: so long a site waits for a sign; three are sent in it."
    )
    failsafe_min_sec: RandomSec | None = Field(
        None, description="limit: the failsafe rules for so long at least."
    )
    intervals: list[EventIntervalBody] | None = Field(None, min_length=1, max_length=288)
    randomize_start_sec: RandomSec | None = Field(
        None, description="Each site draws its delay within it, once."
    )
    test: StrictBool = Field(False, description="Marked as a test everywhere.")
    dry_run: StrictBool = Field(False, description="Nothing is switched; the acks say what would.")

    def kind_fields(self) -> dict[str, Any]:
        """As `NewEvent` has them."""
        levels = self.intervals or []
        return {
            "kind": Op(self.kind),
            "raise_kw": self.raise_kw,
            "import_kw": self.import_kw,
            "export_kw": self.export_kw,
            "window_sec": self.window_sec,
            "failsafe_kw": self.failsafe_kw,
            "heartbeat_sec": self.heartbeat_sec,
            "failsafe_min_sec": self.failsafe_min_sec,
            "intervals": [level.model_dump(exclude_none=True) for level in levels],
            "randomize_start_sec": self.randomize_start_sec,
            "test": self.test,
            "dry_run": self.dry_run,
        }

    def lasts_sec(self, duration_sec: float | None) -> float | None:
        """The duration given, or that of the intervals; None when neither says one."""
        if duration_sec is None and self.intervals:
            return math.fsum(level.duration_sec for level in self.intervals)
        if duration_sec == 0 and self.intervals:
            raise ValueError("the intervals say how long it lasts: leave durationSec out")
        if duration_sec == 0 and self.kind == "limit":
            return None
        return duration_sec

    def is_until_stopped(self, duration_sec: float | None) -> bool:
        """Of a shed or loadUp; a limit has no end then."""
        return duration_sec == 0 and self.kind != "limit"


class SendEventBody(EventKindBody):
    """`shedKw` (or `raiseKw`, `importKw`) for `durationSec`, an hour if none, 0 until it is
    stopped; a limit without it holds until it is stopped."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"shedKw": 2.0, "durationSec": 300}]})

    shed_kw: PowerKw | None = None
    duration_sec: EventDurationSec | None = None
    event_id: NewEventIdField | None = None

    @model_validator(mode="after")
    def check_duration(self) -> SendEventBody:
        self.lasts_sec(self.duration_sec)
        return self

    def end_after(self, now: datetime) -> datetime:
        lasts_sec = self.lasts_sec(self.duration_sec)
        if lasts_sec is None and self.kind == "limit":
            return UNTIL_FURTHER_NOTICE
        if lasts_sec == 0:
            return now + LONGEST_EVENT
        return now + timedelta(seconds=3_600.0 if lasts_sec is None else lasts_sec)


_NEW: JsonDict = {
    "requestedReductionKw": 250.0,
    "durationSec": 7200.0,
}


class VenSelectionBody(RequestBody):
    """VENs by what is said of them: of one property any value fits, all that are named must."""

    choices = frozenset({"tags", "feeders", "zones", "groups"})

    tags: list[TextField] | None = Field(None, max_length=50)
    feeders: list[TextField] | None = Field(None, max_length=200)
    zones: list[TextField] | None = Field(None, max_length=200)
    groups: list[TextField] | None = Field(None, max_length=50)

    def given(self) -> dict[str, list[str]]:
        return {name: value for name, value in self.model_dump().items() if value}


class NewEventBody(EventKindBody):
    """From `startTime` (now if none) to `endTime`, or for `durationSec`; 0 is until it is stopped,
    24 hours at most (no limit).

    Without `venIds` every VEN that can shed takes part; with them, those. A limit without an end
    holds until it is stopped; `importKw` is for all its VENs together, each getting its part by
    what it draws, or with `limitPerSite` for each.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_NEW]})
    choices = frozenset({"ven_ids", "selection", "programme_id"})

    id: NewEventIdField | None = None
    status: str | None = Field(
        None,
        pattern="^(scheduled|active)$",
        description="Both begin at `startTime`, at once when there is none.",
    )
    start_time: Moment | None = None
    end_time: Moment | None = None
    duration_sec: EventDurationSec | None = None
    requested_reduction_kw: PowerKw | None = None
    limit_per_site: StrictBool = Field(False, description="limit: `importKw` is for each VEN.")
    ven_ids: list[IdField] | None = Field(None, min_length=1, max_length=20_000)
    selection: VenSelectionBody | None = Field(None, description="In place of venIds.")
    programme_id: IdField | None = Field(
        None, description="What the body does not say is as the programme has it."
    )
    notice_sec: RandomSec | None = Field(
        None, description="The VENs are told so long before the start."
    )
    priority: RequestWholeNumber | None = Field(
        None, ge=0, le=255, description="As in OpenADR 3: 0 is the highest, none the lowest."
    )

    @model_validator(mode="after")
    def check_times(self) -> NewEventBody:
        now = utc_now()
        if self.programme_id is not None and self.end_time is None and self.duration_sec is None:
            return self  # as long as the programme's are
        start, end = self.window(now)
        if self.start_time is not None and end <= self.start_time:
            raise ValueError("endTime must be later than startTime")
        if end <= now:
            raise ValueError("endTime is in the past")
        if self.kind != "limit" and end - max(start, self.start_time or start) > LONGEST_EVENT:
            raise ValueError("an event lasts 24 hours at most")
        return self

    def window(self, now: datetime) -> tuple[datetime, datetime]:
        """(start, end); a start that is past is now. Raises ValueError without an end."""
        start = max(self.start_time or now, now)
        lasts_sec = self.lasts_sec(self.duration_sec)
        if self.end_time is None and lasts_sec is None and self.kind == "limit":
            return start, UNTIL_FURTHER_NOTICE
        if self.end_time is None and lasts_sec == 0:
            return start, start + LONGEST_EVENT
        if self.end_time is not None and self.duration_sec is None:
            return start, self.end_time
        if self.end_time is not None or lasts_sec is None:
            raise ValueError("give endTime or durationSec, one of them")
        return start, start + timedelta(seconds=lasts_sec)


class AlertAcknowledgeBody(RequestBody):
    """Which: by id, or all that are open of a cause."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"cause": "broker_away", "note": "called the provider"}]}
    )

    ids: Annotated[list[RequestWholeNumber], Field(max_length=5_000)] | None = None
    cause: Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00]+$")] | None = None
    note: Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")] | None = None

    @model_validator(mode="after")
    def check_which(self) -> AlertAcknowledgeBody:
        if (self.ids is None) == (self.cause is None):
            raise ValueError("name either ids or a cause")
        return self


class AccountNewKeyBody(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "dashboard", "role": "read"}]}
    )

    name: NameInPath
    role: Literal["read", "operate", "admin"]


def _method(value: str) -> str:
    if value not in METHODS:
        raise ValueError(f"{value!r} is no baseline method, use one of {', '.join(METHODS)}")
    return value


ClockTime = Annotated[str, Field(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["16:00"])]
BaselineField = Annotated[str, Field(max_length=64), AfterValidator(_method)]
Weekday = Annotated[RequestWholeNumber, Field(ge=1, le=7)]
_GROUP: dict[str, Any] = {"name": "Feeder 7", "feeders": ["F7"]}
_EXAMPLE: dict[str, Any] = {"name": "Summer evenings", "powerKw": 250.0, "durationSec": 7200}


class ProgrammeBody(RequestBody):
    """What its events are: `powerKw` is shed, drawn more (`loadUp`) or stayed under (`limit`)."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})
    choices = frozenset({"selection"})

    id: IdField | None = Field(None, description="Made of the name when there is none.")
    name: TextField
    kind: EventKind = "event"
    power_kw: LevelKw
    limit_per_site: StrictBool = False
    selection: VenSelectionBody | None = Field(None, description="Without it: every VEN.")
    baseline_method: BaselineField | None = None
    duration_sec: DurationSec = 3_600.0
    notice_sec: RandomSec | None = None
    days: list[Weekday] | None = Field(
        None, min_length=1, max_length=7, description="1 Monday … 7 Sunday; none: each day."
    )
    window_start: ClockTime | None = None
    window_end: ClockTime | None = None
    timezone: TimeZoneField = "UTC"
    recurring: StrictBool = Field(False, description="An event at each window's start, by itself.")
    most_events_per_day: RequestWholeNumber | None = Field(None, ge=1, le=100)
    most_event_hours_per_day: RequestNumber | None = Field(None, gt=0, le=24)
    test: StrictBool = False
    active: StrictBool = True

    @model_validator(mode="after")
    def check_window(self) -> ProgrammeBody:
        if self.recurring and self.window_start is None:
            raise ValueError("recurring needs windowStart")
        if self.window_end is not None and self.window_start is None:
            raise ValueError("windowEnd needs windowStart")
        if self.window_start is not None and self.window_end is None and not self.recurring:
            raise ValueError("windowStart needs windowEnd, or recurring")
        if self.window_start is not None and self.window_start == self.window_end:
            raise ValueError("windowEnd is windowStart: leave both out where any time will do")
        if self.window_start is not None and self.window_end is not None:
            window_sec = programme_window_sec(self.window_start, self.window_end)
            if self.duration_sec > window_sec:
                raise ValueError(
                    f"durationSec {self.duration_sec:g} is more than the window's {window_sec:g} s"
                )
        if self.kind != "limit" and self.power_kw <= 0:
            raise ValueError("powerKw must be above 0")
        return self


class VenGroupBody(RequestBody):
    """A choice of VENs under a name."""

    model_config = ConfigDict(json_schema_extra={"examples": [_GROUP]})
    choices = frozenset({"tags", "feeders", "zones", "ven_ids"})

    name: NameInPath
    description: TextField | None = None
    tags: list[TextField] | None = Field(None, max_length=50)
    feeders: list[TextField] | None = Field(None, max_length=200)
    zones: list[TextField] | None = Field(None, max_length=200)
    ven_ids: list[IdField] | None = Field(None, max_length=20_000)

    @model_validator(mode="after")
    def check_choice(self) -> VenGroupBody:
        if not self.chosen():
            raise ValueError("give tags, feeders, zones or venIds")
        return self

    def chosen(self) -> dict[str, list[str]]:
        named = self.model_dump(include={"tags", "feeders", "zones", "ven_ids"})
        return {name: value for name, value in named.items() if value}
