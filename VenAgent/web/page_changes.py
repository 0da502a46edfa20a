"""What a person may change at the page: each body is read strictly, and becomes a command.

This side of it is the agent's; the page's process hands the body over as it came.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    model_validator,
)

from VenAgent.contract import MAX_TEXT_CHARACTERS
from VenAgent.contract.finding_text import finding_text
from VenAgent.contract.json_codec import decode_json
from VenAgent.contract.message_refused import MessageRefused
from VenAgent.contract.opt_out_request import OptOutRequest
from VenAgent.contract.reasons import ReasonCode
from VenAgent.web.page_source import Json, PageSource

MAX_BODY_BYTES = 16_384

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
"""A JSON number: `true` and "5" are none."""


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _EventBody(_Body):
    """`circuit_id`: shed from this circuit alone; null is one that was not found."""

    shed_kw: _Positive
    duration_sec: _Positive = 900.0
    event_id: Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)] | None = None
    circuit_id: str = ""


class _EndBody(_Body):
    """Without an `event_id` the active event is meant; with null, one that was not found."""

    event_id: Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)] = ""


class _LoadBody(_Body):
    """`enabled`: the circuit's switch; `priority`: 5 shed first … 1 last."""

    enabled: StrictBool | None = None
    priority: Annotated[int, Field(ge=1, le=5, strict=True)] | None = None

    @model_validator(mode="after")
    def _anything(self) -> _LoadBody:
        if self.enabled is None and self.priority is None:
            raise ValueError("name what is to be changed: enabled or priority")
        return self


class PageChanges:
    """The changes of one site. The answer is the ack that the cloud would get."""

    def __init__(self, site: PageSource) -> None:
        self._site = site
        self._changes: dict[str, Callable[[str, Json], Json]] = {
            "start_event": self._start_event,
            "restore": self._restore,
            "change_circuit": self._change_circuit,
            "opt_out": self._opt_out,
            "opt_in": self._opt_in,
        }

    def change(self, name: str, item: str, body: str) -> tuple[HTTPStatus, Json]:
        """Make the change `name`, of the circuit `item` if it is one's; `body` is JSON as it came.

        The status and the body of the answer; never an error for what a person sent.
        """
        try:
            fields = decode_json(body or "{}", max_bytes=MAX_BODY_BYTES)
            ack = self._changes[name](item, fields)
        except MessageRefused as error:
            return _status_of_refusal(error.code), {"error": str(error)}
        except ValidationError as error:
            return HTTPStatus.UNPROCESSABLE_ENTITY, {"error": _explain(error)}
        return _status_of(ack), dict(ack)

    def _start_event(self, _item: str, body: Json) -> Json:
        wanted = _EventBody.model_validate(body).model_dump(exclude_none=True)
        fields: dict[str, Any] = {"op": "event", **wanted}
        fields.setdefault("event_id", f"page-{secrets.token_hex(4)}")  # short: people read it
        circuit_id = fields.pop("circuit_id")
        if "circuit_id" in body:
            fields.update(op="shedLoad", loadId=circuit_id)
        return self._site.command(fields)

    def _restore(self, _item: str, body: Json) -> Json:
        wanted = _EndBody.model_validate(body).model_dump(exclude_unset=True)
        return self._site.command({"op": "restore", **wanted})

    def _change_circuit(self, item: str, body: Json) -> Json:
        wanted = _LoadBody.model_validate(body).model_dump(exclude_none=True)
        return self._site.command({"op": "setLoad", "loadId": item, **wanted})

    def _opt_out(self, _item: str, body: Json) -> Json:
        wanted = OptOutRequest.model_validate(body)
        return self._site.opt_out(wanted.reason, wanted.duration_sec)

    def _opt_in(self, _item: str, body: Json) -> Json:
        _Body.model_validate(body)
        return self._site.opt_in()


def _explain(error: ValidationError) -> str:
    """Every field that is wrong, by name."""
    known = _fields_of(error)
    findings = []
    for finding in error.errors(include_url=False):
        where = ".".join(map(str, finding["loc"])) or "the request"
        text = finding_text(finding)
        if finding["type"] == "extra_forbidden":
            nearest = get_close_matches(where, known, 1)
            hint = f": do you mean {nearest[0]}?" if nearest else ""
            text = f"is no field of this request{hint}"
        findings.append(f"{where[:64]}: {text}")
    return "; ".join(findings)


def _fields_of(error: ValidationError) -> list[str]:
    bodies: tuple[type[BaseModel], ...] = (_EventBody, _EndBody, _LoadBody, OptOutRequest)
    return [name for body in bodies if body.__name__ == error.title for name in body.model_fields]


def _status_of_refusal(code: ReasonCode) -> HTTPStatus:
    if code in (ReasonCode.NOT_JSON, ReasonCode.NOT_AN_OBJECT, ReasonCode.TOO_DEEP):
        return HTTPStatus.BAD_REQUEST
    if code is ReasonCode.TOO_LARGE:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return HTTPStatus.UNPROCESSABLE_ENTITY


def _status_of(ack: Mapping[str, Any]) -> HTTPStatus:
    """A status that a script can look at."""
    if ack.get("ok"):
        return HTTPStatus.OK
    if ack.get("status") == "rejected":
        return HTTPStatus.CONFLICT
    return HTTPStatus.SERVICE_UNAVAILABLE
