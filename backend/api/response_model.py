"""What all answers of the API share: camelCase names; health, and a problem."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class ResponseModel(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, from_attributes=True, extra="ignore"
    )


class HealthResponse(ResponseModel):
    status: str = Field(examples=["ok"])
    reasons: list[str] = []


class DemoStatusResponse(ResponseModel):
    status: str = Field(examples=["ok"])
    ven_count: int
    online_vens: int
    active_event_ids: list[str]


class ProblemResponse(BaseModel):
    detail: str
