"""A browser, or whoever pretends to be one, for the WSGI application called as a function."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import responses
from typing import Any

from tests.web.fake_site import FakeSite
from VenAgent.web.access_guard import AccessGuard
from VenAgent.web.page_changes import PageChanges
from VenAgent.web.page_settings import PageSettings
from VenAgent.web.power_pages import PowerPages
from VenAgent.web.static_assets import StaticAssets
from VenAgent.web.wsgi_app import WsgiApp

TOKEN = "a-token-of-more-than-16"
ASSETS = StaticAssets()


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class OneReader:
    """A lock for those who do not wait."""

    def __init__(self) -> None:
        self.held = False

    def acquire(self, *, timeout: float) -> bool:
        taken = not self.held
        self.held = True
        return taken

    def release(self) -> None:
        self.held = False


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        return self.json()["error"]


class Caller:
    """The page of a fake site; `session` gives the CSRF token as a page would get it."""

    def __init__(
        self,
        *,
        token: str | None = None,
        read_only: bool = False,
        names: Iterable[str] = (),
        streams: int = 1,
        proxies: Iterable[str] = (),
        prefix: str = "",
    ) -> None:
        self.clock = Clock()
        self.site = FakeSite(self.clock)
        self.guard = AccessGuard(token=token, names=names, clock=self.clock)
        self._streams = streams
        self.stream_until_ts: float | None = None
        self.app = WsgiApp(
            self.site,
            PageChanges(self.site).change,
            self.guard,
            self._stream,
            ASSETS,
            PageSettings(read_only=read_only, proxies=tuple(proxies), prefix=prefix),
            PowerPages(self.site, OneReader(), lambda: None, self.clock),
            self.clock,
        )

    def _stream(self, until_ts: float | None) -> Iterable[bytes] | None:
        self.stream_until_ts = until_ts
        self._streams -= 1
        return iter([b"event: status\ndata: {}\n\n"]) if self._streams >= 0 else None

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, b"", **headers)

    def post(self, path: str, value: Any = None, **headers: str) -> Answer:
        """As the page itself does it; a header given as an empty text is left out."""
        own = {
            "Content_Type": "application/json",
            "Origin": "http://127.0.0.1:8080",
            "X_CSRF_Token": self.guard.csrf_token,
        }
        body = value if isinstance(value, bytes) else json.dumps(value or {}).encode()
        return self.ask("POST", path, body, **{**own, **headers})

    def ask(self, method: str, path: str, body: bytes, **headers: str) -> Answer:
        path, _, query = path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REMOTE_ADDR": "192.0.2.7",
            "HTTP_HOST": "127.0.0.1:8080",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        for name, value in headers.items():
            key = name.upper()
            environ[key if key.startswith("CONTENT_") else f"HTTP_{key}"] = value
        answer = Answer(0, {}, b"")

        def start_response(line: str, pairs: list[tuple[str, str]]) -> None:
            number, _, phrase = line.partition(" ")
            assert responses[int(number)] == phrase
            assert len({name.lower() for name, _ in pairs}) == len(pairs)
            answer.status, answer.headers = int(number), dict(pairs)

        answer.body = b"".join(self.app(environ, start_response))
        return answer
