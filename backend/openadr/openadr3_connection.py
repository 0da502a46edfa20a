"""HTTPS to a VTN of OpenADR 3: certificates, token, clock, and bounds on what an answer may cost.

The calls are those of the package `openadr3`; its client is given our TLS (it knows no certificate
files) and an end to each answer: its own lets a VTN that sends a byte now and then hold us for
ever. It blocks, so all this runs in a thread.
"""

from __future__ import annotations

import base64
import json
import logging
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
from openadr3.api import OpenADRClient
from openadr3.auth import BearerAuth

from backend.openadr.openadr_settings import OpenAdrSettings

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each request

MOST_ANSWER_BYTES = 32 * 1024 * 1024
RENEW_BEFORE_SEC = 30.0
"""A token is fetched anew so long before its end; a short one in the last fifth of its time."""
_REFUSED = (401, 403)
Call = Callable[[OpenADRClient], httpx.Response]


class OpenAdr3Connection:
    """One VEN's. `clock_offset_sec` is the VTN's clock less ours, of the last answer."""

    def __init__(self, settings: OpenAdrSettings) -> None:
        self._settings = settings
        self._client: OpenADRClient | None = None
        self.clock_offset_sec: float | None = None
        self.token: str | None = None
        self.token_expires_ts: float | None = None
        """Epoch seconds; None when the VTN did not say, or wants no token."""
        self._renew_at: float | None = None
        """Of the monotonic clock: clocks may be apart."""

    def call(self, call: Call) -> httpx.Response:
        """A token that is near its end, or is refused, is fetched anew, once. Raises
        httpx.HTTPError, OSError, and ValueError for what is no token."""
        if self._client is not None and self._token_ends():
            self.close()
        was_new = self._client is None
        response = call(self._client or self._connect())
        if response.status_code in _REFUSED and not was_new and self._settings.client_id:
            self.close()
            response = call(self._connect())
        self._note_clock(response)
        return response

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def tls_context(self, *, of_the_vtn: bool = True) -> ssl.SSLContext:
        """TLS 1.2 or later with the settings' certificates. Others than the VTN (a token server,
        a broker) may be known to the system's authorities too. Raises OSError."""
        ca_cert = None if self._settings.ca_cert is None else str(self._settings.ca_cert)
        context = ssl.create_default_context(cafile=ca_cert if of_the_vtn else None)
        if ca_cert is not None and not of_the_vtn:
            context.load_verify_locations(ca_cert)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._settings.client_cert is not None:
            key = str(self._settings.client_key)
            context.load_cert_chain(str(self._settings.client_cert), key)
        return context

    def _connect(self) -> OpenADRClient:
        settings = self._settings
        self.token = self.token_expires_ts = self._renew_at = None
        if settings.client_id and settings.client_secret:
            self._fetch_token(settings.client_id, settings.client_secret)
        client = OpenADRClient(settings.vtn_url, token=self.token, client_type="ven")
        client._http.close()
        client._http = self._http_client(settings.vtn_url, client.user_agent)
        if self.token is not None:
            client._http.auth = BearerAuth(self.token)
        self._client = client
        return client

    def _http_client(self, url: str, user_agent: str) -> httpx.Client:
        of_the_vtn = _origin(url) == _origin(self._settings.vtn_url)
        limit_sec = self._settings.answer_sec
        transport = _Bounded(
            httpx.HTTPTransport(verify=self.tls_context(of_the_vtn=of_the_vtn)), limit_sec
        )
        return httpx.Client(
            base_url=self._settings.vtn_url.rstrip("/"),
            headers={"User-Agent": user_agent},
            transport=transport,
            timeout=httpx.Timeout(limit_sec, connect=min(limit_sec, 10.0)),
        )

    def _fetch_token(self, client_id: str, client_secret: str) -> None:
        settings = self._settings
        url = settings.token_url
        if url is None and settings.version == "3.0":
            url = f"{settings.vtn_url.rstrip('/')}/auth/token"
        if url is None:
            with self._http_client(settings.vtn_url, "venagent") as client:
                found = _checked(client.get("/auth/server")).json()
            if not isinstance(found, Mapping) or not isinstance(found.get("tokenURL"), str):
                raise ValueError("/auth/server names no tokenURL")
            url = urljoin(f"{settings.vtn_url.rstrip('/')}/", found["tokenURL"])
        if urlsplit(url).scheme != "https" and urlsplit(settings.vtn_url).scheme == "https":
            raise ValueError(
                f"the token's address {url} is not HTTPS: the secret is not sent there"
            )
        asked = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
        }
        if settings.scope:
            asked["scope"] = settings.scope
        with self._http_client(url, "venagent") as client:
            granted = _checked(client.post(url, data=asked)).json()
        token = granted.get("access_token") if isinstance(granted, Mapping) else None
        if not isinstance(token, str) or not token.isprintable() or not token.isascii():
            raise ValueError("the answer has no access_token")
        self.token = token
        lasts_sec = granted.get("expires_in")
        if isinstance(lasts_sec, (int, float)) and 0 < lasts_sec < 1e9:
            self.token_expires_ts = time.time() + lasts_sec
            before_sec = min(RENEW_BEFORE_SEC, lasts_sec / 5)
            self._renew_at = time.monotonic() + lasts_sec - before_sec
        else:
            self.token_expires_ts = _end_in_token(token)

    def _token_ends(self) -> bool:
        return self._renew_at is not None and time.monotonic() >= self._renew_at

    def _note_clock(self, response: httpx.Response) -> None:
        try:
            theirs = parsedate_to_datetime(response.headers["Date"]).timestamp()
        except (KeyError, ValueError, TypeError, OverflowError):
            return
        self.clock_offset_sec = round(theirs - time.time(), 1)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _checked(response: httpx.Response) -> httpx.Response:
    if not response.is_success:
        raise httpx.HTTPError(f"{response.request.url.path} answers {response.status_code}")
    return response


def _end_in_token(token: str) -> float | None:
    """`exp` of a JSON Web Token, where the VTN did not say it beside."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    end = claims.get("exp") if isinstance(claims, Mapping) else None
    return float(end) if isinstance(end, (int, float)) and 0 < end < 1e12 else None


class _Bounded(httpx.BaseTransport):
    """Each answer arrives within its time, and is of a size that can be held."""

    def __init__(self, transport: httpx.BaseTransport, limit_sec: float) -> None:
        self._transport = transport
        self._limit_sec = limit_sec

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        deadline = time.monotonic() + self._limit_sec
        response = self._transport.handle_request(request)
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _BoundedStream(response.stream, deadline)
        return response

    def close(self) -> None:
        self._transport.close()


class _BoundedStream(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for part in self._stream:
            size += len(part)
            if time.monotonic() > self._deadline:
                raise httpx.ReadTimeout("its answer does not end")
            if size > MOST_ANSWER_BYTES:
                raise httpx.ReadError(f"its answer has more than {MOST_ANSWER_BYTES} bytes")
            yield part

    def close(self) -> None:
        self._stream.close()


def retry_after_sec(response: httpx.Response, now_ts: float) -> float | None:
    """So long the VTN wants not to be asked: seconds, or a date (RFC 9110, 10.2.3)."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), 1e6)
    try:
        return max(parsedate_to_datetime(text).timestamp() - now_ts, 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def answer_text(response: httpx.Response) -> dict[str, Any]:
    """The answer's `problem` object, if it is one."""
    try:
        problem = response.json()
    except (ValueError, RecursionError):
        return {}
    return dict(problem) if isinstance(problem, Mapping) else {}
