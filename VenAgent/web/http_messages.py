"""Requests, answers, and the headers that every answer carries."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

MAX_BODY_BYTES = 16_384
"""As page_changes.py has it."""

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]{1,64}){1,8}")

SECURITY_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)


class HttpError(Exception):
    """An answer that is no success; `reason` is a sentence for a person."""

    def __init__(self, status: HTTPStatus, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass
class HttpResponse:
    status: HTTPStatus = HTTPStatus.OK
    body: bytes | Iterable[bytes] = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    def wsgi_headers(self) -> list[tuple[str, str]]:
        """All headers; an answer that says nothing of it is not to be kept by any cache."""
        own = {"Cache-Control": "no-store", **self.headers}
        if self.body:
            own["Content-Type"] = self.content_type
        if isinstance(self.body, bytes):
            own["Content-Length"] = str(len(self.body))
        return [*own.items(), *SECURITY_HEADERS]


def http_json_response(value: Any, status: HTTPStatus = HTTPStatus.OK) -> HttpResponse:
    return HttpResponse(status, http_json_bytes(value))


def http_json_bytes(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


class HttpRequest:
    """A WSGI environment, read with limits.

    `proxies` are the addresses of peers whose X-Forwarded- headers are believed; `prefix` is the
    path below which they show the page, if it is known.
    """

    def __init__(
        self, environ: Mapping[str, Any], proxies: Container[str] = (), prefix: str = ""
    ) -> None:
        self._environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.path: str = environ.get("PATH_INFO", "/")
        self.client: str = environ.get("REMOTE_ADDR", "")
        self.host = self.header("Host")
        self.prefix = prefix
        if self.client in proxies:
            self._believe_proxy()
        if self.prefix and f"{self.path}/".startswith(f"{self.prefix}/"):
            self.path = self.path[len(self.prefix) :]  # this proxy leaves it in

    def _believe_proxy(self) -> None:
        client = self.header("X-Forwarded-For").rpartition(",")[2].strip()
        if client:
            self.client = client
        self.host = self.header("X-Forwarded-Host").rpartition(",")[2].strip() or self.host
        prefix = self.header("X-Forwarded-Prefix").rstrip("/")
        if _PREFIX.fullmatch(prefix):
            self.prefix = prefix

    def header(self, name: str) -> str:
        """The header's value; empty if there is none."""
        return str(self._environ.get("HTTP_" + name.upper().replace("-", "_"), ""))

    def cookies(self) -> dict[str, str]:
        pairs = (part.strip().partition("=") for part in self.header("Cookie").split(";"))
        return {name: value for name, _, value in pairs if name}

    def whole_number(self, name: str, default: int, lowest: int, highest: int) -> int:
        """A number of the query. Raises HttpError for anything else."""
        value = self._query(name)
        if value is None:
            return default
        if value.isascii() and value.isdigit() and len(value) < 10:
            number = int(value)
            if lowest <= number <= highest:
                return number
        reason = f"{name} must be a whole number from {lowest} to {highest}"
        raise HttpError(HTTPStatus.BAD_REQUEST, reason)

    def text(self, name: str, longest: int) -> str:
        """A text of the query. Raises HttpError if it is missing or longer."""
        value = self._query(name)
        if not value or len(value) > longest:
            reason = f"{name} must be given, with at most {longest} characters"
            raise HttpError(HTTPStatus.BAD_REQUEST, reason)
        return value

    def check_query(self, known: Sequence[str]) -> None:
        """Raises HttpError for a field of the query that this call does not have."""
        for name in self._fields():
            if name not in known and not name.startswith("x_"):
                nearest = get_close_matches(name.lower(), known, 1)
                hint = f": do you mean {nearest[0]}?" if nearest else ""
                reason = f"{ascii(name[:32])[1:-1]}: is no field of this query{hint}"
                raise HttpError(HTTPStatus.BAD_REQUEST, reason)

    def _fields(self) -> dict[str, list[str]]:
        query = self._environ.get("QUERY_STRING", "")
        try:
            return parse_qs(query, keep_blank_values=True, max_num_fields=20)
        except ValueError:
            raise HttpError(HTTPStatus.BAD_REQUEST, "the query has too many fields") from None

    def _query(self, name: str) -> str | None:
        """A field of the query; None without it. Raises HttpError if it stands there twice."""
        values = self._fields().get(name)
        if values is not None and len(values) > 1:
            raise HttpError(HTTPStatus.BAD_REQUEST, f"{name} stands twice in the query")
        return None if values is None else values[0]

    def json(self) -> dict[str, Any]:
        """The body, a JSON object (no body: an empty one). Raises HttpError for anything else."""
        try:
            value = json.loads(self.json_text() or "{}")
        except (ValueError, RecursionError):
            raise HttpError(HTTPStatus.BAD_REQUEST, "the body is not JSON") from None
        if not isinstance(value, dict):
            raise HttpError(HTTPStatus.BAD_REQUEST, "the body is not a JSON object")
        return value

    def json_text(self) -> str:
        """The body as it came, if its sender calls it JSON. Raises HttpError otherwise."""
        kind = str(self._environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()
        if kind != "application/json":
            reason = "send JSON, with the header Content-Type: application/json"
            raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, reason)
        try:
            return self._body().decode()
        except UnicodeDecodeError:
            raise HttpError(HTTPStatus.BAD_REQUEST, "the body is not UTF-8") from None

    def _body(self) -> bytes:
        length = str(self._environ.get("CONTENT_LENGTH") or "0")
        if self.header("Transfer-Encoding") or not (length.isascii() and length.isdigit()):
            reason = "the request must say its Content-Length"
            raise HttpError(HTTPStatus.LENGTH_REQUIRED, reason)
        if len(length) > 9 or int(length) > MAX_BODY_BYTES:
            reason = f"a request may have at most {MAX_BODY_BYTES} bytes"
            raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, reason)
        body: bytes = self._environ["wsgi.input"].read(int(length))
        return body
