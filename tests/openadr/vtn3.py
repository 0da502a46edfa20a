"""A small VTN of OpenADR 3.1 or 3.0, as far as a VEN meets one, with faults on demand.

What a VEN sends is read by the models of the package `openadr3`; in tests each request and each
answer of 3.1 is also checked against the OpenADR Alliance's description, `3.1.0/openadr3.yaml` in
share/openadr of the environment, where scripts/environment.sh puts it. OPENADR_SPECIFICATION names
another folder; with `3.0.1/openadr3.yaml` in it 3.0 is checked as well (no package has that one).
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import formatdate
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from openadr3.entities import models

from tests.support.ports import free_port

SPECIFICATION = Path(
    os.environ.get("OPENADR_SPECIFICATION") or Path(sys.prefix, "share", "openadr")
)
_FILES = {"3.1": "3.1.0/openadr3.yaml", "3.0": "3.0.1/openadr3.yaml"}
_MODELS: dict[str, type[models.OpenADRBase]] = {
    "programs": models.Program,
    "vens": models.Ven,
    "resources": models.Resource,
    "reports": models.Report,
}


@dataclass
class Fault:
    """An answer as no VTN should give it."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    drip_sec: float = 0.0
    """A byte of the body each so many seconds, and never its end."""


def now_text() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Vtn:
    """Its state, which tests write and read. All of it under `lock`."""

    def __init__(self, version: str = "3.1", *, is_checked: bool = True) -> None:
        self.version = version
        self.lock = threading.RLock()
        self.objects: dict[str, dict[str, dict[str, Any]]] = {
            kind: {} for kind in ("programs", "events", "vens", "resources", "reports")
        }
        self.tokens: set[str] = set()
        self.tokens_given = 0
        self.requests: list[tuple[str, str]] = []
        self.faults: list[Any] = []
        """Taken from the front, one a request to an API path: a status, or a body as it is sent."""
        self.lose_answers: set[str] = set()
        """Methods and paths that are carried out, but whose answer never arrives."""
        self.clock_offset_sec = 0.0
        self.most_a_page = 50
        self.token_lasts_sec: float | None = 3600
        self.notifiers: Any = {"WEBHOOK": True}
        self.closing = threading.Event()
        self.violations: list[str] = []
        self.url = ""
        self._number = 0
        self._openapi = _openapi(version) if is_checked else None
        self.add("programs", {"programName": "shed"}, object_id="p1")

    def add(self, kind: str, body: dict[str, Any], *, object_id: str | None = None) -> str:
        with self.lock:
            self._number += 1
            object_id = object_id or f"{kind[:-1]}-{self._number}"
            now = now_text()
            self.objects[kind][object_id] = {
                **body,
                "id": object_id,
                "createdDateTime": now,
                "modificationDateTime": now,
                "objectType": kind[:-1].upper(),
            }
            return object_id

    def event(self, event_id: str | None = None, **body: Any) -> str:
        """Publish one: `start` is a datetime or a text, `level`s or `kw`s one an interval."""
        return self.add("events", event_body(**body), object_id=event_id)

    def change(self, event_id: str, **body: Any) -> None:
        with self.lock:
            self._number += 1
            known = self.objects["events"][event_id]
            known.update(event_body(**body))
            known["modificationDateTime"] = f"{now_text()[:-1]}{self._number:03d}Z"

    def delete(self, event_id: str) -> None:
        with self.lock:
            del self.objects["events"][event_id]

    def reports(self, event_id: str) -> list[dict[str, Any]]:
        with self.lock:
            every = self.objects["reports"].values()
            return [report for report in every if report["eventID"] == event_id]

    def expire_tokens(self) -> None:
        with self.lock:
            self.tokens.clear()

    # --- requests ------------------------------------------------------------------------------

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], body: Any, token: str
    ) -> tuple[int, Any]:
        with self.lock:
            self.requests.append((method, path))
            if path == "/auth/server":
                return 200, {"tokenURL": f"{self.url}/auth/token"}
            if path == "/auth/token":
                return self._token(body)
            if token not in self.tokens:
                status = 401 if self.version == "3.1" else 403
                return status, _problem(status, "the token is not known")
            if self.faults:
                fault = self.faults.pop(0)
                if isinstance(fault, Fault):
                    return fault.status, fault
                if isinstance(fault, int):
                    return fault, _problem(fault, "as the test wants it")
                return 200, json.dumps(fault)  # as text: what is wrong on purpose is not checked
            return self._object(method, path.strip("/").split("/"), query, body)

    def _token(self, body: Any) -> tuple[int, Any]:
        if body.get("client_secret") != ["secret"]:
            return 401, {"error": "invalid_client"}
        self.tokens_given += 1
        token = f"token-{self.tokens_given}"
        self.tokens.add(token)
        granted = {"access_token": token, "token_type": "Bearer"}
        if self.token_lasts_sec is not None:
            granted["expires_in"] = self.token_lasts_sec
        return 200, granted

    def _object(
        self, method: str, parts: list[str], query: dict[str, list[str]], body: Any
    ) -> tuple[int, Any]:
        kind, more = parts[0], parts[1:]
        if kind == "notifiers" and self.version == "3.1":
            return self._notifier(more)
        if self.version == "3.0" and kind == "vens" and more[1:] == ["resources"]:
            kind, query = "resources", {**query, "venID": [more[0]]}
            body = None if body is None else {**body, "venID": more[0]}
            more = []
        elif self.version == "3.0" and kind == "resources":
            return 404, _problem(404, "3.0 has no such path")
        known = self.objects.get(kind)
        if known is None:
            return 404, _problem(404, "no such path")
        if method == "POST":
            return self._create(kind, body)
        if more:
            found = known.get(more[0])
            return (404, _problem(404, "no such object")) if found is None else (200, found)
        return 200, self._page(list(known.values()), query)

    def _notifier(self, more: list[str]) -> tuple[int, Any]:
        """By MQTT topics like events/vens/ven-1/create."""
        if not more:
            return 200, self.notifiers
        if more[:2] != ["mqtt", "topics"] or more[4:] != ["events"] or "MQTT" not in self.notifiers:
            return 404, _problem(404, "no such topics")
        scope = f"events/{more[2]}/{more[3]}"
        topics = {op: f"{scope}/{op.lower()}" for op in ("CREATE", "UPDATE", "DELETE")}
        return 200, {"topics": topics | ({"ALL": f"{scope}/+"} if more[2] == "vens" else {})}

    def _create(self, kind: str, body: Any) -> tuple[int, Any]:
        try:
            raw = {k: v for k, v in body.items() if k != "objectType"}
            _MODELS[kind].from_raw(raw)
        except (KeyError, ValueError, TypeError) as error:
            self.violations.append(f"POST /{kind}: {error}")
            return 400, _problem(400, str(error))
        name = {"vens": "venName", "resources": "resourceName", "reports": "reportName"}[kind]
        if any(each.get(name) == body[name] for each in self.objects[kind].values()):
            return 409, _problem(409, f"there is a {name} {body[name]} already")
        more = {"clientID": "ven-client"} if self.version == "3.1" else {}
        object_id = self.add(kind, {**raw, **more})
        return 201, self.objects[kind][object_id]

    def _page(
        self, found: list[dict[str, Any]], query: dict[str, list[str]]
    ) -> list[dict[str, Any]]:
        for name in ("programID", "eventID", "venID", "venName", "clientName", "resourceName"):
            if name in query:
                found = [each for each in found if each.get(name) == query[name][0]]
        skip, limit = (int(query.get(name, ["0"])[0]) for name in ("skip", "limit"))
        assert limit <= 50, "the standard lets no client ask for more"
        return found[skip:][: min(limit or 50, self.most_a_page)]

    def check(self, method: str, url: str, sent: bytes, status: int, answer: bytes) -> None:
        """Both against the Alliance's description, where there is one."""
        if self._openapi is not None and "/auth/" not in url:
            self.violations += self._openapi(method, url, sent, status, answer)


def event_body(
    *,
    start: datetime | str | None = None,
    duration: str = "PT1H",
    levels: list[Any] | None = None,
    kws: list[float] | None = None,
    limits: list[float] | None = None,
    period: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    kind, values = next(
        (kind, values)
        for kind, values in (
            ("SIMPLE", levels),
            ("DISPATCH_SETPOINT_RELATIVE", kws),
            ("IMPORT_CAPACITY_LIMIT", limits),
            ("SIMPLE", [1]),
        )
        if values is not None
    )
    begins = start.isoformat() if isinstance(start, datetime) else start or now_text()
    return {
        "programID": "p1",
        "intervalPeriod": {"start": begins, "duration": duration, **(period or {})},
        "intervals": [
            {"id": n, "payloads": [{"type": kind, "values": [value]}]}
            for n, value in enumerate(values)
        ],
        **more,
    }


def _problem(status: int, detail: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": "refused", "status": status, "detail": detail}


@lru_cache
def _openapi(version: str) -> Any:
    """Checks a request and its answer; None for 3.0 without a description of it."""
    file = SPECIFICATION / _FILES[version]
    if version == "3.0" and not file.exists():
        return None
    if not file.exists():
        raise FileNotFoundError(f"{file}: scripts/test.sh backend gets it (environment.sh)")
    from openapi_core import Config, OpenAPI
    from openapi_core.testing import MockRequest, MockResponse

    description = OpenAPI.from_file_path(
        # Its own slips (a default that is no list) are not what is tested here.
        str(file),
        config=Config(spec_validator_cls=None),
    )
    server = urlsplit(str(description.spec["servers"][0]["url"]))

    def check(method: str, url: str, sent: bytes, status: int, answer: bytes) -> list[str]:
        parts = urlsplit(url)
        request = MockRequest(
            f"{server.scheme}://{server.netloc}",
            method.lower(),
            server.path + parts.path,
            args={k: v[0] for k, v in parse_qs(parts.query).items()},
            headers={"Authorization": "Bearer x"},
            data=sent or None,
            content_type="application/json",
        )
        response = MockResponse(answer, status_code=status, content_type="application/json")
        errors = list(description.iter_request_errors(request))
        # 3.1.0 asks that objectType of a VEN be VEN and BL_VEN_REQUEST at once: nothing is both.
        if version != "3.1" or not parts.path.startswith(("/vens", "/resources")):
            errors += description.iter_response_errors(request, response)
        found = [f"{type(error).__name__} {error}: {error.__cause__}" for error in errors]
        return [f"{method} {url} {status}: {each}" for each in found]

    return check


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    vtn: Vtn

    def log_message(self, *_args: Any) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate((timestamp or time.time()) + self.vtn.clock_offset_sec, usegmt=True)

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Type", "").startswith("application/x-www-form"):
            body: Any = parse_qs(sent.decode())
        else:
            body = json.loads(sent) if sent else None
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        status, answer = self.vtn.answer(
            self.command, parts.path, parse_qs(parts.query), body, token
        )
        if isinstance(answer, Fault):
            self._wrong(answer)
            return
        told = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        if not isinstance(answer, str) and status < 400:
            self.vtn.check(self.command, self.path, sent, status, told)
        if f"{self.command} {parts.path}" in self.vtn.lose_answers:
            self.vtn.lose_answers.clear()
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def _wrong(self, fault: Fault) -> None:
        self.close_connection = True
        self.send_response(fault.status)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):  # whoever asked waits no longer
            for byte in fault.body.encode() if fault.drip_sec else ():
                self.wfile.write(bytes([byte]))
                if self.vtn.closing.wait(fault.drip_sec):
                    return
            self.wfile.write(b"" if fault.drip_sec else fault.body.encode())

    do_GET = do_POST = _serve


@contextmanager
def running(
    version: str = "3.1",
    port: int | None = None,
    tls: ssl.SSLContext | None = None,
    *,
    is_checked: bool = True,
) -> Iterator[Vtn]:
    """A VTN at 127.0.0.1; what it, or the VEN, said wrong fails the test."""
    vtn = Vtn(version, is_checked=is_checked)
    port = port or free_port()
    handler = type("Handler", (_Handler,), {"vtn": vtn})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    vtn.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield vtn
    finally:
        vtn.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
    assert vtn.violations == [], "\n".join(vtn.violations)


def main() -> None:
    """A VTN to try with: one event for whoever asks, and what is reported of it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=8089)
    parser.add_argument("--version", choices=("3.1", "3.0"), default="3.1")
    parser.add_argument("--kw", type=float, default=-5.0, help="change of consumption")
    parser.add_argument("--seconds", type=int, default=120, help="how long the event lasts")
    options = parser.parse_args()
    asked = [{"payloadType": kind} for kind in ("USAGE", "DEMAND", "BASELINE", "OPERATING_STATE")]
    length = f"PT{options.seconds}S"
    with running(options.version, options.port, is_checked=False) as vtn:
        print(f"{vtn.url}: OPENADR_CLIENT_ID=ven-client OPENADR_CLIENT_SECRET=secret", flush=True)
        while not vtn.objects["vens"]:
            time.sleep(0.2)
        vtn.event("try", kws=[options.kw], duration=length, reportDescriptors=asked)
        print(f"published: {options.kw:g} kW for {options.seconds} s", flush=True)
        while len(vtn.reports("try")) < len(asked):
            time.sleep(0.2)
        for report in vtn.reports("try"):
            for resource in report["resources"]:
                payloads = [p for i in resource["intervals"] for p in i["payloads"]]
                said = ", ".join(f"{p['type']} {p['values']}" for p in payloads)
                print(f"reported of {resource['resourceName']}: {said}", flush=True)


if __name__ == "__main__":
    main()
