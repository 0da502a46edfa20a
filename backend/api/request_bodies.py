"""What a request's body may have; what it does not know is refused, by name."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from backend.api.request_fields import DurationSec, IdField, Moment, PowerKw, Priority, TextField
from backend.api.ven_responses import VenLocation
from backend.store.table_base import utc_now


class RequestBody(BaseModel):
    """A request's body: what it does not know is refused, by name."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


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
    location: VenLocation | None = None
    status: VenStatusField | None = None


class VenChangeBody(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Maple Street 12b"}]})

    name: TextField | None = None
    registration_id: IdField | None = None
    location: VenLocation | None = None
    status: VenStatusField | None = None
    trusted: StrictBool | None = None


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
    duration_sec: DurationSec = 3_600.0


class SendEventBody(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"shedKw": 2.0, "durationSec": 300}]})

    shed_kw: PowerKw
    duration_sec: DurationSec = 3_600.0
    event_id: IdField | None = None


LONGEST = timedelta(hours=24)
"""A VEN refuses more."""


_NEW: JsonDict = {
    "startTime": "2030-06-01T16:00:00Z",
    "endTime": "2030-06-01T18:00:00Z",
    "requestedReductionKw": 250.0,
}


class NewEventBody(RequestBody):
    """From `startTime` (now if none) to `endTime`, or for `durationSec`.

    Without `venIds` every VEN that can shed takes part; with them, those.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_NEW]})

    id: IdField | None = None
    status: str | None = Field(
        None,
        pattern="^(scheduled|active)$",
        description="Both begin at `startTime`, at once when there is none.",
    )
    start_time: Moment | None = None
    end_time: Moment | None = None
    duration_sec: DurationSec | None = None
    requested_reduction_kw: PowerKw
    ven_ids: list[IdField] | None = Field(None, min_length=1, max_length=20_000)
    priority: int | None = Field(
        None, ge=0, le=255, description="As in OpenADR 3: 0 is the highest, none the lowest."
    )

    @model_validator(mode="after")
    def check_times(self) -> NewEventBody:
        now = utc_now()
        start, end = self.window(now)
        if self.start_time is not None and end <= self.start_time:
            raise ValueError("endTime must be later than startTime")
        if end <= now:
            raise ValueError("endTime is in the past")
        if end - max(start, self.start_time or start) > LONGEST:
            raise ValueError("an event lasts 24 hours at most")
        return self

    def window(self, now: datetime) -> tuple[datetime, datetime]:
        """(start, end); a start that is past is now. Raises ValueError without an end."""
        start = max(self.start_time or now, now)
        if (self.end_time is None) == (self.duration_sec is None):
            raise ValueError("give endTime or durationSec, one of them")
        if self.end_time is not None:
            return start, self.end_time
        assert self.duration_sec is not None
        return start, start + timedelta(seconds=self.duration_sec)
