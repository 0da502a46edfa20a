"""The JSON answers, and the changes that a person may make. docs/local-page.md describes them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, model_validator

from VenAgent.version import __version__
from VenAgent.web.access_guard import AccessGuard
from VenAgent.web.http_messages import HttpError, Request, Response, json_response
from VenAgent.web.page_source import Json, PageSource

EVENTS_SHOWN = 20
EVENTS_AT_MOST = 500

Finite = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _EventBody(_Body):
    """`circuit_id`: shed from this circuit alone."""

    shed_kw: Finite
    duration_sec: Finite = 900.0
    event_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    circuit_id: str | None = None


class _EndBody(_Body):
    event_id: str | None = None


class _LoadBody(_Body):
    """`enabled`: the circuit's switch; `priority`: 1 critical … 5 flexible."""

    enabled: StrictBool | None = None
    priority: Annotated[int, Field(ge=1, le=5)] | None = None

    @model_validator(mode="after")
    def _anything(self) -> _LoadBody:
        if self.enabled is None and self.priority is None:
            raise ValueError("name what is to be changed: enabled or priority")
        return self


class _OptOutBody(_Body):
    reason: Annotated[str, Field(min_length=1, max_length=200)] = "opted out at the site"


class JsonApi:
    """Each method answers one call."""

    def __init__(self, site: PageSource, guard: AccessGuard, *, read_only: bool) -> None:
        self._site = site
        self._guard = guard
        self._read_only = read_only

    # ---- what is ------------------------------------------------------------------------

    def session(self, _request: Request) -> Response:
        """What a page needs before it may change anything."""
        return json_response(
            {
                "csrf_token": self._guard.csrf_token,
                "read_only": self._read_only,
                "needs_token": self._guard.needs_token,
                "version": __version__,
            }
        )

    def status(self, _request: Request) -> Response:
        return json_response(self._site.status())

    def circuits(self, _request: Request) -> Response:
        return json_response({"circuits": list(self._site.circuits())})

    def events(self, request: Request) -> Response:
        limit = request.whole_number("limit", EVENTS_SHOWN, 1, EVENTS_AT_MOST)
        return json_response({"events": list(self._site.events(limit))})

    def history(self, _request: Request) -> Response:
        return json_response(self._site.history())

    def alerts(self, _request: Request) -> Response:
        return json_response(self._site.alerts())

    def health(self, _request: Request) -> Response:
        """For monitors; it says nothing of the site but whether all is well."""
        health = str(self._site.status()["health"])
        bad = health == "BAD"
        return json_response(
            {"health": health}, HTTPStatus.SERVICE_UNAVAILABLE if bad else HTTPStatus.OK
        )

    # ---- what is to be ------------------------------------------------------------------

    def start_event(self, request: Request) -> Response:
        body = _read(_EventBody, request)
        fields: dict[str, Any] = {"op": "event", **body.model_dump(exclude_none=True)}
        fields.setdefault("event_id", f"page-{secrets.token_hex(4)}")  # short: people read it
        circuit_id = fields.pop("circuit_id", None)
        if circuit_id is not None:
            fields.update(op="shedLoad", loadId=circuit_id)
        return _answer(self._site.command(fields))

    def restore(self, request: Request) -> Response:
        body = _read(_EndBody, request)
        return _answer(self._site.command({"op": "restore", **body.model_dump(exclude_none=True)}))

    def change_circuit(self, request: Request, circuit_id: str) -> Response:
        body = _read(_LoadBody, request)
        fields = {"op": "setLoad", "loadId": circuit_id, **body.model_dump(exclude_none=True)}
        return _answer(self._site.command(fields))

    def opt_out(self, request: Request) -> Response:
        return _answer(self._site.opt_out(_read(_OptOutBody, request).reason.strip()))

    def opt_in(self, request: Request) -> Response:
        _read(_Body, request)
        return _answer(self._site.opt_in())


def _read(kind: type[Any], request: Request) -> Any:
    """The body as a `kind`. Raises HttpError that names every field that is wrong."""
    try:
        return kind.model_validate(request.json())
    except ValidationError as error:
        findings = [
            f"{'.'.join(map(str, finding['loc'])) or 'the request'}: "
            f"{finding['msg'].removeprefix('Value error, ')}"
            for finding in error.errors(include_url=False)
        ]
        raise HttpError(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(findings)) from None


def _answer(ack: Json) -> Response:
    """The ack, under a status that a script can look at."""
    return json_response(dict(ack), _status_of(ack))


def _status_of(ack: Mapping[str, Any]) -> HTTPStatus:
    if ack.get("ok"):
        return HTTPStatus.OK
    if ack.get("status") == "rejected":
        return HTTPStatus.CONFLICT
    return HTTPStatus.SERVICE_UNAVAILABLE
