"""The site's alerts: each is published once when it begins and once when it ends.

An alert is known by its `code` and, where there may be one for each circuit or device, by its
`subject`. Whoever sees a trouble may raise it as often as it is seen.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from VenAgent.contract.alerts import AlertSeverity, build_alert
from VenAgent.contract.reasons import ReasonCode

RECENT_KEPT = 100


class ActiveAlerts:
    """`publish` gets each alert's message, as docs/mqtt-topics.md has it, once each way."""

    def __init__(self, ven_id: str, publish: Callable[[Mapping[str, Any]], None]) -> None:
        self.ven_id = ven_id
        self._publish = publish
        self._active: dict[tuple[str, str], dict[str, Any]] = {}
        self._recent: deque[dict[str, Any]] = deque(maxlen=RECENT_KEPT)

    def raise_alert(
        self,
        code: str,
        severity: AlertSeverity,
        message: str,
        *,
        subject: str = "",
        reason_code: ReasonCode | None = None,
        **context: Any,
    ) -> None:
        """Something is wrong. Raised already: nothing is sent, even if the words differ."""
        if (code, subject) in self._active:
            return
        body = self._publish_alert(code, severity, message, subject, context, reason_code)
        self._active[code, subject] = body

    def clear(self, code: str, *, subject: str = "") -> None:
        """It is well again; nothing happens if it was not raised."""
        before = self._active.pop((code, subject), None)
        if before is not None:
            message = f"over: {before['message']}"
            self._publish_alert(
                code, AlertSeverity.CLEARED, message, subject, {"since_ts": before["ts"]}
            )

    def set(
        self,
        code: str,
        severity: AlertSeverity,
        message: str | None,
        *,
        subject: str = "",
        reason_code: ReasonCode | None = None,
    ) -> None:
        """Raise it with `message`, or clear it when there is none."""
        if message:
            self.raise_alert(code, severity, message, subject=subject, reason_code=reason_code)
        else:
            self.clear(code, subject=subject)

    def active(self) -> list[dict[str, Any]]:
        """Those not over, oldest first."""
        return list(self._active.values())

    def recent(self) -> list[dict[str, Any]]:
        """The last ones published, ends included, newest first."""
        return list(reversed(self._recent))

    def _publish_alert(
        self,
        code: str,
        severity: AlertSeverity,
        message: str,
        subject: str,
        context: Mapping[str, Any],
        reason_code: ReasonCode | None = None,
    ) -> dict[str, Any]:
        named = {"subject": subject, **context} if subject else dict(context)
        body = build_alert(
            ven_id=self.ven_id,
            ts=time.time(),
            severity=severity,
            code=code,
            message=message,
            context=named,
            reason_code=reason_code,
        )
        self._recent.append(body)
        self._publish(body)
        return body
