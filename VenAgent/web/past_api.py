"""What was: the energy of days and weeks, an event in full, a circuit's curve; as JSON and as CSV.

docs/local-page.md describes the answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from VenAgent.contract import MAX_TEXT_CHARACTERS
from VenAgent.web.csv_download import csv_download_response, csv_download_time
from VenAgent.web.http_messages import HttpError, HttpRequest, HttpResponse, http_json_response
from VenAgent.web.page_source import Json, PageReadSource
from VenAgent.web.power_pages import INTERVAL_SEC, MINUTE_SEC, PowerPages

DAYS_AT_MOST = 60
HOURS_AT_MOST = 14 * 24
AROUND_EVENT_SEC = 900.0
EVENT_AT_MOST_SEC = 26 * 3600.0
EVENTS_DOWNLOADED = 500

_EVENT_COLUMNS = (
    *("event_id", "state", "origin", "start_ts", "end_ts", "requested_kw", "predicted_kw"),
    *("measured_kw", "baseline_kw", "circuits", "reason", "reason_code", "ended_by"),
    *("ended_from", "kind", "test", "import_kw", "export_kw"),
)
_CURVE_COLUMNS = ("ts", "power_kw", "baseline_kw", "target_kw")
_SUMMARY_COLUMNS = ("achieved_shed_kw", "delivered_kwh", "shed_percent")


class PastApi:
    """Each method answers one call. `clock`: epoch seconds."""

    def __init__(
        self, site: PageReadSource, pages: PowerPages, clock: Callable[[], float] = time.time
    ) -> None:
        self._site = site
        self._clock = clock
        self._pages = pages

    # ---- the site --------------------------------------------------------------------------

    def power(self, request: HttpRequest) -> HttpResponse:
        columns = self._interval_columns(request)
        return http_json_response({"interval_sec": INTERVAL_SEC, **columns})

    def power_csv(self, request: HttpRequest) -> HttpResponse:
        columns = self._interval_columns(request)
        rows = zip(*(columns[name] for name in columns), strict=True)
        return csv_download_response(
            "power.csv",
            ("time", "power_kw", "energy_kwh", "covered_sec", "in_event"),
            (
                (csv_download_time(ts), kw, _energy_kwh(kw, covered), covered, int(in_event))
                for ts, kw, covered, in_event in rows
            ),
        )

    def _interval_columns(self, request: HttpRequest) -> dict[str, list[Any]]:
        days = request.whole_number("days", 7, 1, DAYS_AT_MOST)
        columns = self._pages.intervals(self._clock() - days * 86_400.0)
        return {
            name: columns.get(name, []) for name in ("ts", "power_kw", "covered_sec", "in_event")
        }

    # ---- an event --------------------------------------------------------------------------

    def event(self, request: HttpRequest) -> HttpResponse:
        return http_json_response(self._event(request))

    def event_power(self, request: HttpRequest) -> HttpResponse:
        """The site's power from a quarter of an hour before the event to one after it."""
        event = self._event(request)
        now = self._clock()
        begin, end = (now if ts is None else ts for ts in (event["start_ts"], event["end_ts"]))
        end = min(end, begin + EVENT_AT_MOST_SEC)
        found = self._pages.minutes(None, begin - AROUND_EVENT_SEC, end + AROUND_EVENT_SEC)
        columns = {name: found.get(name, []) for name in _CURVE_COLUMNS}
        return http_json_response({"point_sec": MINUTE_SEC, **columns})

    def _event(self, request: HttpRequest) -> Json:
        event_id = request.text("id", MAX_TEXT_CHARACTERS)
        event = self._site.event_in_full(event_id)
        if event is None:
            raise HttpError(HTTPStatus.NOT_FOUND, "no such event is on record here")
        return event

    def events_csv(self, request: HttpRequest) -> HttpResponse:
        limit = request.whole_number("limit", EVENTS_DOWNLOADED, 1, EVENTS_DOWNLOADED)
        return csv_download_response(
            "events.csv",
            (*(name.replace("_ts", "") for name in _EVENT_COLUMNS), *_SUMMARY_COLUMNS),
            map(_event_row, self._site.events(limit)),
        )

    # ---- a circuit -------------------------------------------------------------------------

    def circuit_power(self, request: HttpRequest, circuit_id: str) -> HttpResponse:
        columns = self._minute_columns(request, circuit_id)
        return http_json_response({"point_sec": MINUTE_SEC, **columns})

    def circuit_power_csv(self, request: HttpRequest, circuit_id: str) -> HttpResponse:
        columns = self._minute_columns(request, circuit_id)
        rows = zip(columns["ts"], columns["power_kw"], strict=True)
        name = f"{circuit_id.replace(':', '_')}.csv"
        return csv_download_response(
            name, ("time", "power_kw"), ((csv_download_time(ts), kw) for ts, kw in rows)
        )

    def _minute_columns(self, request: HttpRequest, circuit_id: str) -> dict[str, list[Any]]:
        hours = request.whole_number("hours", 24, 1, HOURS_AT_MOST)
        if all(circuit["id"] != circuit_id for circuit in self._site.circuits()):
            raise HttpError(HTTPStatus.NOT_FOUND, "this panel has no such circuit")
        now = self._clock()
        columns = self._pages.minutes(circuit_id, now - hours * 3600.0, now)
        return {name: columns.get(name, []) for name in ("ts", "power_kw")}


def _energy_kwh(power_kw: float | None, covered_sec: float) -> float | None:
    return None if power_kw is None else round(power_kw * covered_sec / 3600.0, 4)


def _event_row(event: Json) -> list[Any]:
    row: list[Any] = []
    for name in _EVENT_COLUMNS:
        value = event.get(name)
        if name.endswith("_ts"):
            value = csv_download_time(value)
        elif name == "circuits":
            value = " ".join(value or ())
        row.append(value)
    summary = event.get("summary") or {}
    return [*row, *(summary.get(name) for name in _SUMMARY_COLUMNS)]
