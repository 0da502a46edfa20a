"""The JSON answers: what is. docs/local-page.md describes them; changes are in page_changes.py."""

from __future__ import annotations

from http import HTTPStatus

from VenAgent.version import __version__
from VenAgent.web.access_guard import AccessGuard
from VenAgent.web.http_messages import HttpRequest, HttpResponse, http_json_response
from VenAgent.web.page_settings import PageSettings
from VenAgent.web.page_source import PageReadSource

EVENTS_SHOWN = 20
EVENTS_AT_MOST = 500


class JsonApi:
    """Each method answers one call."""

    def __init__(self, site: PageReadSource, guard: AccessGuard, settings: PageSettings) -> None:
        self._site = site
        self._guard = guard
        self._settings = settings

    def session(self, _request: HttpRequest) -> HttpResponse:
        """What a page needs before it may change anything."""
        return http_json_response(
            {
                "csrf_token": self._guard.csrf_token,
                "read_only": self._settings.read_only,
                "site_name": self._settings.site_name,
                "needs_token": self._guard.needs_token,
                "version": __version__,
            }
        )

    def status(self, _request: HttpRequest) -> HttpResponse:
        return http_json_response(self._site.status())

    def circuits(self, _request: HttpRequest) -> HttpResponse:
        return http_json_response({"circuits": list(self._site.circuits())})

    def events(self, request: HttpRequest) -> HttpResponse:
        limit = request.whole_number("limit", EVENTS_SHOWN, 1, EVENTS_AT_MOST)
        return http_json_response({"events": list(self._site.events(limit))})

    def history(self, _request: HttpRequest) -> HttpResponse:
        return http_json_response(self._site.history())

    def alerts(self, _request: HttpRequest) -> HttpResponse:
        return http_json_response(self._site.alerts())

    def health(self, _request: HttpRequest) -> HttpResponse:
        """For monitors; it says nothing of the site but whether all is well."""
        health = str(self._site.status()["health"])
        bad = health == "BAD"
        return http_json_response(
            {"health": health}, HTTPStatus.SERVICE_UNAVAILABLE if bad else HTTPStatus.OK
        )

    def live(self, _request: HttpRequest) -> HttpResponse:
        """For monitors: the agent answers, however its site and its connection are."""
        return http_json_response({"status": "live"})

    def config(self, _request: HttpRequest) -> HttpResponse:
        """What this VEN is set up as, under the names of the wire; no secrets."""
        status = self._site.status()
        return http_json_response(
            {
                "venId": status["ven_id"],
                "version": status["version"],
                "siteName": self._settings.site_name,
                "panelAmperageRating": status["panel_amperage"],
                "panelMaxKw": status["panel_max_kw"],
                "mqttHost": status["cloud"]["host"],
                "mqttPort": status["cloud"]["port"],
            }
        )
