"""How a notice reaches its target: a signed webhook, Alertmanager, or a service of apprise's."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx

from backend.alerts.alert_grouping import RESOLVED
from backend.alerts.webhook_signature import webhook_signature_headers
from backend.config.alert_targets import AlertTarget

TIMEOUT_SEC = 10.0
_ANSWER_LENGTH = 200
_ONE_AT_A_TIME = threading.Lock()
"""apprise says why it failed only in its log, which all its threads share."""
_SUBJECTS = {
    "event.created": "created",
    "event.started": "started",
    "event.modified": "modified",
    "event.ended": "ended",
    "event.measured": "measured",
}


class NoticeChannelError(Exception):
    """The target did not take it; the text says why."""


class NoticeChannels:
    """Sends; `close` it at the end. `repeat_sec` is how often a cause that lasts is told again."""

    def __init__(self, repeat_sec: float) -> None:
        self._repeat_sec = repeat_sec
        # Through a redirect a signed message could go where nobody meant it to.
        self._client = httpx.AsyncClient(timeout=TIMEOUT_SEC, follow_redirects=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def send(self, target: AlertTarget, message_id: str, payload: dict[str, Any]) -> None:
        """Raises NoticeChannelError."""
        if target.webhook is not None:
            await self._webhook(target, message_id, payload)
        elif target.alertmanager is not None:
            await self._alertmanager(target.alertmanager, payload)
        else:
            await asyncio.to_thread(_send_by_apprise, target.apprise or "", payload)

    async def _webhook(self, target: AlertTarget, message_id: str, payload: dict[str, Any]) -> None:
        body = json.dumps(payload, separators=(",", ":")).encode()
        try:
            secret = target.signing_secret()
        except OSError as error:
            raise NoticeChannelError(f"{error.filename}: {error.strerror}") from None
        headers = webhook_signature_headers(secret, message_id, int(time.time()), body)
        await self._post(target.webhook or "", body, headers)

    async def _alertmanager(self, address: str, payload: dict[str, Any]) -> None:
        body = [_alertmanager_alert(payload, self._repeat_sec)]
        url = f"{address.rstrip('/')}/api/v2/alerts"
        await self._post(url, json.dumps(body).encode(), {})

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        kind = {"Content-Type": "application/json", "User-Agent": "venagent"}
        try:
            answer = await self._client.post(url, content=body, headers={**kind, **headers})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoticeChannelError(f"{type(error).__name__}: {error}") from None
        if not answer.is_success:
            text = " ".join(answer.text[:_ANSWER_LENGTH].split())
            raise NoticeChannelError(f"HTTP {answer.status_code} {text}".strip())


def _alertmanager_alert(payload: dict[str, Any], repeat_sec: float) -> dict[str, Any]:
    """A notice as Alertmanager's API v2 takes an alert (`postableAlert`)."""
    data = payload["data"]
    told_at = datetime.fromisoformat(payload["timestamp"].replace("Z", "+00:00"))
    is_over = payload["type"] == RESOLVED
    ends = told_at if is_over else told_at + timedelta(seconds=3 * repeat_sec)
    return {
        "labels": {
            "alertname": data["code"],
            "cause": data["cause"],
            "service": "venagent",
        },
        "annotations": {
            "summary": data["summary"],
            "severity": data["severity"],
            "count": str(data["count"]),
            "vens": ", ".join(data["venIds"][:10]),
        },
        "startsAt": data["since"],
        "endsAt": ends.astimezone(timezone.utc).isoformat(),
    }


def _notice_title(payload: dict[str, Any]) -> str:
    data = payload["data"]
    if payload["type"] in _SUBJECTS:
        return f"[event] {data['id']} {_SUBJECTS[payload['type']]}"
    word = "over" if payload["type"] == RESOLVED else data["severity"]
    return f"[{word}] {data['summary']}"


def _notice_text(payload: dict[str, Any]) -> str:
    """What a person reads: a line a fact."""
    data = payload["data"]
    if payload["type"] in _SUBJECTS:
        return "\n".join(f"{name}: {value}" for name, value in data.items() if value is not None)
    lines = [data["summary"], f"since: {data['since']}", f"code: {data['code']}"]
    if data["venCount"]:
        named = ", ".join(data["venIds"][:10])
        more = " …" if data["venCount"] > 10 else ""
        lines.append(f"VENs: {data['venCount']:,} ({named}{more})")
    return "\n".join(lines)


def _send_by_apprise(address: str, payload: dict[str, Any]) -> None:
    """E-mail and a hundred other services. Raises NoticeChannelError."""
    import apprise  # 27 MB with its services: only where a target needs it

    service = apprise.Apprise()
    if not service.add(address):
        raise NoticeChannelError("apprise does not know such an address")
    with _ONE_AT_A_TIME, apprise.LogCapture(level=apprise.logging.WARNING) as said:
        sent = service.notify(
            title=_notice_title(payload),
            body=_notice_text(payload),
            body_format=apprise.NotifyFormat.TEXT,
        )
        text = " ".join(said.getvalue().split())
    if not sent:
        raise NoticeChannelError(text[-300:] or "apprise could not send it")
