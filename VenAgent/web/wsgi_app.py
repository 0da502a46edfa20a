"""The WSGI application: which request is answered by what, and in which order it is checked.

It knows nothing of sockets or gevent: a test calls it as a function.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from VenAgent.web.access_guard import AccessGuard
from VenAgent.web.http_messages import HttpError, HttpRequest, HttpResponse, http_json_response
from VenAgent.web.json_api import JsonApi
from VenAgent.web.page_settings import PageSettings
from VenAgent.web.page_source import Json, PageReadSource
from VenAgent.web.past_api import PastApi
from VenAgent.web.power_pages import PowerPages
from VenAgent.web.prometheus_metrics import CONTENT_TYPE, prometheus_metrics
from VenAgent.web.static_assets import StaticAssets

_log = logging.getLogger(__name__)

_CIRCUIT = re.compile(r"/api/circuits/([A-Za-z0-9_.:-]{1,64})")
_CIRCUIT_POWER = re.compile(r"/api/circuits/([A-Za-z0-9_.:-]{1,64})/power(\.csv)?")
_STATIC = re.compile(r"/static/([A-Za-z0-9_.-]{1,64})")

_QUERIES = {
    "/api/events": ("limit",),
    "/api/events.csv": ("limit",),
    "/api/power": ("days",),
    "/api/power.csv": ("days",),
    "/api/event": ("id",),
    "/api/event/power": ("id",),
}
"""What a call of the API takes; a slip of the pen is not to be another question."""

Handler = Callable[[HttpRequest], HttpResponse]
Stream = Callable[[float | None], Iterable[bytes] | None]
"""A live view for one client, until a time (epoch s); None when there are as many as may be."""
Change = Callable[[str, str, str], tuple[HTTPStatus, Json]]
"""`PageChanges.change`, or the way there."""


class WsgiApp:
    """The page of one site under one configuration."""

    def __init__(
        self,
        site: PageReadSource,
        change: Change,
        guard: AccessGuard,
        stream: Stream,
        assets: StaticAssets,
        settings: PageSettings,
        pages: PowerPages,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._site = site
        self._change_site = change
        self._guard = guard
        self._stream = stream
        self._assets = assets
        self._settings = settings
        api = JsonApi(site, guard, settings)
        past = PastApi(site, pages, clock)
        self._open: dict[str, Handler] = {
            "/": self._page,
            "/login": lambda request: assets.respond(request, "login.html"),
            "/healthz": api.health,
            "/health": api.health,
            "/live": api.live,
        }
        self._guarded: dict[str, Handler] = {
            "/config": api.config,
            "/api/session": api.session,
            "/api/status": api.status,
            "/api/circuits": api.circuits,
            "/api/events": api.events,
            "/api/history": api.history,
            "/api/alerts": api.alerts,
            "/api/power": past.power,
            "/api/power.csv": past.power_csv,
            "/api/event": past.event,
            "/api/event/power": past.event_power,
            "/api/events.csv": past.events_csv,
            "/api/stream": self._live,
            "/metrics": self._metrics,
        }
        self._past = past
        self._changes = {
            "/api/events": "start_event",
            "/api/restore": "restore",
            "/api/opt-out": "opt_out",
            "/api/opt-in": "opt_in",
        }

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        try:
            settings = self._settings
            response = self._answer(HttpRequest(environ, settings.proxies, settings.prefix))
        except HttpError as error:
            response = http_json_response({"error": error.reason}, error.status)
            response.headers = error.headers
        except OSError:
            raise  # the client is gone or too slow: the server closes the connection
        except Exception:  # noqa: BLE001  a fault of the page must not end the agent's greenlet
            _log.exception("%s %s", environ["REQUEST_METHOD"], environ.get("PATH_INFO"))
            reason = "the agent could not answer this; its log says why"
            response = http_json_response({"error": reason}, HTTPStatus.INTERNAL_SERVER_ERROR)
        line = f"{response.status.value} {response.status.phrase}"
        start_response(line, response.wsgi_headers())
        if isinstance(response.body, bytes):
            return [b"" if environ["REQUEST_METHOD"] == "HEAD" else response.body]
        return response.body

    def _answer(self, request: HttpRequest) -> HttpResponse:
        self._guard.check_host(request)
        if request.method in ("GET", "HEAD"):
            return self._show(request)
        if request.method == "POST":
            return self._change(request)
        raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, "use GET or POST", Allow="GET, HEAD, POST")

    def _show(self, request: HttpRequest) -> HttpResponse:
        if not request.path:  # below a proxy's path; the page's own links need the slash
            headers = {"Location": f"{request.prefix}/"}
            return HttpResponse(HTTPStatus.PERMANENT_REDIRECT, headers=headers)
        static = _STATIC.fullmatch(request.path)
        if static is not None:
            return self._assets.respond(request, static[1])
        handler = self._open.get(request.path)
        if handler is None:
            handler = self._guarded.get(request.path)
            self._guard.require(request)
        if handler is not None:
            if request.path.startswith("/api/"):
                request.check_query(_QUERIES.get(request.path, ()))
            return handler(request)
        curve = _CIRCUIT_POWER.fullmatch(request.path)
        if curve is None:
            raise HttpError(HTTPStatus.NOT_FOUND, "there is nothing at this address")
        request.check_query(("hours",))
        answer = self._past.circuit_power_csv if curve[2] else self._past.circuit_power
        return answer(request, curve[1])

    def _change(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/login":
            return self._log_in(request)
        self._guard.require(request)
        if request.path == "/logout":
            self._guard.check_change(request)
            headers = {"Set-Cookie": self._guard.log_out(request)}
            return HttpResponse(HTTPStatus.NO_CONTENT, headers=headers)
        name, item = self._changes.get(request.path), ""
        circuit = _CIRCUIT.fullmatch(request.path)
        if circuit is not None:
            name, item = "change_circuit", circuit[1]
        if name is None:
            raise HttpError(HTTPStatus.NOT_FOUND, "there is nothing to change at this address")
        self._guard.check_change(request)
        if self._settings.read_only:
            reason = "this page only shows (web.read_only in the configuration)"
            raise HttpError(HTTPStatus.FORBIDDEN, reason)
        text = request.json_text()
        self._guard.admit_change(request, name)
        status, body = self._change_site(name, item, text)
        return http_json_response(body, status)

    def _log_in(self, request: HttpRequest) -> HttpResponse:
        token = request.json().get("token")
        if not isinstance(token, str):
            raise HttpError(HTTPStatus.UNPROCESSABLE_ENTITY, "token: is missing")
        headers = {"Set-Cookie": self._guard.log_in(request, token)}
        return HttpResponse(HTTPStatus.NO_CONTENT, headers=headers)

    def _page(self, request: HttpRequest) -> HttpResponse:
        name = "index.html" if self._guard.knows(request) else "login.html"
        return self._assets.respond(request, name)

    def _metrics(self, _request: HttpRequest) -> HttpResponse:
        site = self._site
        text = prometheus_metrics(site.status(), site.circuits(), site.alerts())
        return HttpResponse(body=text, content_type=CONTENT_TYPE)

    def _live(self, request: HttpRequest) -> HttpResponse:
        if request.method == "HEAD":
            return HttpResponse(content_type="text/event-stream")
        stream = self._stream(self._guard.session_end_ts(request))
        if stream is None:
            reason = "as many pages are open as this agent serves (web.max_clients)"
            raise HttpError(HTTPStatus.SERVICE_UNAVAILABLE, reason, Retry_After="5")
        headers = {"X-Accel-Buffering": "no"}
        return HttpResponse(body=stream, content_type="text/event-stream", headers=headers)
