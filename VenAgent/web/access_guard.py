"""Who may ask, and who may change something.

- The Host header must name this page: an address, `localhost`, or a name of the configuration.
  A foreign site that points a name of its own at us (DNS rebinding) is refused by that.
- With a token configured, everything but the page's frame and `/healthz` (`/health`, `/live`)
  needs it: as a Bearer header, or in a session cookie that `/login` gives for it.
- A change needs the same origin and the CSRF token of `/api/session`, which only a page of this
  origin can read. One address makes so many of them in a while, and all together so many; what
  gives back or refuses an event is counted by itself, so that a script that runs wild does not
  keep a person from it.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

from VenAgent.web.http_messages import HttpError, HttpRequest

SESSION_SEC = 12 * 3600.0
TRIES_PER_MINUTE = 10
CLIENTS_REMEMBERED = 256
CHANGES_AT_ONCE = 20
CHANGE_EVERY_SEC = 1.0
"""What one address may change: so many at once, and one so often for long. The agent remembers the
acks of 2,000 commands, which are then more than those of `event.max_command_age_sec`."""
CHANGES_OF_ALL = 2
"""All addresses together, which share one token, may make so many times as many."""
_GIVING_BACK = ("restore", "opt_out")


class AccessGuard:
    """The rules of one configuration. `names`: further host names under which the page is asked."""

    def __init__(
        self,
        *,
        token: str | None,
        names: Iterable[str] = (),
        cookie: str = "ven_session",
        csrf_token: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._token = token
        self._names = {"localhost", *(name.lower().rstrip(".") for name in names)}
        self._cookie = cookie
        self._clock = clock
        self._failures = _Failures(clock)
        self._changes = _ChangeRate(clock)
        self.csrf_token = csrf_token or secrets.token_urlsafe(24)

    @property
    def needs_token(self) -> bool:
        return self._token is not None

    def check_host(self, request: HttpRequest) -> None:
        """Raises HttpError if the request was not meant for this page."""
        host = _host_of(f"//{request.host}")
        if host is None or not (_is_address(host) or host in self._names):
            reason = (
                f"this page is not served under the name {host or 'of this request'}: use its "
                f"address, or add the name to web.names of the configuration"
            )
            raise HttpError(HTTPStatus.MISDIRECTED_REQUEST, reason)

    # ---- who may ask ---------------------------------------------------------------------

    def knows(self, request: HttpRequest) -> bool:
        """Whether the request may see the site. Raises HttpError after too many wrong tokens."""
        if self._token is None or self._session_holds(request.cookies().get(self._cookie, "")):
            return True
        scheme, _, credential = request.header("Authorization").partition(" ")
        if scheme.lower() != "bearer":
            return False
        return self._is_token(request, credential.strip())

    def session_end_ts(self, request: HttpRequest) -> float | None:
        """When what the request may see ends (epoch s); None without a session."""
        value = request.cookies().get(self._cookie, "")
        if self._token is None or not self._session_holds(value):
            return None
        return float(value.partition(".")[0])

    def require(self, request: HttpRequest) -> None:
        """Raises HttpError if the request may not see the site."""
        if not self.knows(request):
            raise HttpError(
                HTTPStatus.UNAUTHORIZED,
                "this page needs the token of the configuration (web.token)",
                WWW_Authenticate="Bearer",
            )

    def log_in(self, request: HttpRequest, token: str) -> str:
        """The Set-Cookie header for the right token. Raises HttpError for a wrong one."""
        self.check_origin(request)
        if self._token is None or not self._is_token(request, token):
            raise HttpError(HTTPStatus.FORBIDDEN, "that is not the token of this page")
        end_ts = int(self._clock() + SESSION_SEC)
        value = f"{end_ts}.{self._seal(end_ts)}"
        return self._set_cookie(request, value, int(SESSION_SEC))

    def log_out(self, request: HttpRequest) -> str:
        return self._set_cookie(request, "", 0)

    def _set_cookie(self, request: HttpRequest, value: str, age_sec: int) -> str:
        """For this page alone, also where a proxy shows others beside it."""
        path = f"{request.prefix}/"
        return f"{self._cookie}={value}; Path={path}; Max-Age={age_sec}; HttpOnly; SameSite=Strict"

    def _is_token(self, request: HttpRequest, token: str) -> bool:
        self._failures.check(request.client)
        right = _same(token, self._token or "")
        if not right:
            self._failures.add(request.client)
        return right

    def _session_holds(self, value: str) -> bool:
        end, _, seal = value.partition(".")
        if not (end.isascii() and end.isdigit() and len(end) < 12 and seal.isascii()):
            return False
        return int(end) > self._clock() and hmac.compare_digest(seal, self._seal(int(end)))

    def _seal(self, end_ts: int) -> str:
        """Made from the token: a session outlives the agent, and ends when the token changes."""
        key = (self._token or "").encode()
        return hmac.new(key, f"venagent session {end_ts}".encode(), hashlib.sha256).hexdigest()

    # ---- who may change ------------------------------------------------------------------

    def check_change(self, request: HttpRequest) -> None:
        """Raises HttpError if the request may not change anything."""
        self.check_origin(request)
        given = request.header("X-CSRF-Token")
        if not _same(given, self.csrf_token):
            reason = "the header X-CSRF-Token is missing or old: take it from /api/session"
            raise HttpError(HTTPStatus.FORBIDDEN, reason)

    def admit_change(self, request: HttpRequest, name: str) -> None:
        """Count the change `name`. Raises HttpError if this client has to wait with it."""
        wait_sec = self._changes.wait_sec(_network_of(request.client), name in _GIVING_BACK)
        if wait_sec > 0:
            seconds = math.ceil(wait_sec)
            reason = f"too many changes in a short time: nothing was done, try again in {seconds} s"
            raise HttpError(HTTPStatus.TOO_MANY_REQUESTS, reason, Retry_After=str(seconds))

    def check_origin(self, request: HttpRequest) -> None:
        """Raises HttpError for a change that another site's page asks for.

        Behind a proxy that speaks TLS the schemes differ, so host and port are compared.
        """
        origin = request.header("Origin")
        if origin and origin.partition("://")[2].lower() != request.host.lower():
            raise HttpError(HTTPStatus.FORBIDDEN, "the request comes from another site's page")
        if request.header("Sec-Fetch-Site") not in ("", "same-origin", "none"):
            raise HttpError(HTTPStatus.FORBIDDEN, "the request comes from another site's page")


class _Failures:
    """Wrong tokens of each client within the last minute; only so many clients are kept."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_client: OrderedDict[str, list[float]] = OrderedDict()

    def check(self, client: str) -> None:
        """Raises HttpError if this client has to wait."""
        since = self._clock() - 60.0
        recent = [ts for ts in self._by_client.get(client, ()) if ts > since]
        if len(recent) >= TRIES_PER_MINUTE:
            reason = "too many wrong tokens: wait a minute"
            raise HttpError(HTTPStatus.TOO_MANY_REQUESTS, reason, Retry_After="60")

    def add(self, client: str) -> None:
        kept = self._by_client.setdefault(client, [])
        kept.append(self._clock())
        del kept[:-TRIES_PER_MINUTE]
        self._by_client.move_to_end(client)
        while len(self._by_client) > CLIENTS_REMEMBERED:
            self._by_client.popitem(last=False)


class _ChangeRate:
    """How many changes came: a time for each client that runs ahead of the clock with every change,
    by CHANGES_AT_ONCE at most; only so many clients are kept."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ahead_until: OrderedDict[tuple[str, bool], float] = OrderedDict()

    def wait_sec(self, client: str, is_giving_back: bool) -> float:
        """How long this client has to wait; 0: the change is made, and counted."""
        now, most_sec = self._clock(), CHANGES_AT_ONCE * CHANGE_EVERY_SEC
        costs = {
            (client, is_giving_back): CHANGE_EVERY_SEC,
            ("", is_giving_back): CHANGE_EVERY_SEC / CHANGES_OF_ALL,
        }
        for key in costs:  # a clock that was set back makes nobody wait for longer
            ahead_until = self._ahead_until.get(key, now)
            self._ahead_until[key] = min(max(ahead_until, now), now + most_sec)
            self._ahead_until.move_to_end(key)
        while len(self._ahead_until) > CLIENTS_REMEMBERED:
            self._ahead_until.popitem(last=False)
        wait_sec = max(self._ahead_until[key] + cost_sec for key, cost_sec in costs.items())
        wait_sec -= now + most_sec
        if wait_sec > 1e-6:
            return wait_sec
        for key, cost_sec in costs.items():
            self._ahead_until[key] += cost_sec
        return 0.0


def _network_of(client: str) -> str:
    """The client as it is counted: a machine has all addresses of an IPv6 network to choose from,
    and all those of loopback."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client[:64]
    if address.is_loopback:
        return "loopback"
    if address.version == 4:
        return client
    return str(ipaddress.ip_network((int(address), 64), strict=False))


def _same(given: str, right: str) -> bool:
    """In a time that does not tell how much of it was right; `given` may be no text at all."""
    return hmac.compare_digest(given.encode(errors="replace"), right.encode())


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _host_of(url: str) -> str | None:
    """The host in lower case, without port and brackets; None if there is none."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    return None if host is None or "@" in parts.netloc else host.rstrip(".")
