"""Looks for what is wrong, and tells those who are to know: two loops beside the API.

Several instances may run: on PostgreSQL one looks at a time, and each sends what it has claimed.
"""

from __future__ import annotations

import asyncio
import platform
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import delete, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.alerts.alert_store import (
    ALERTS,
    end_forgotten_stored_alerts,
    store_alerts_of_conditions,
    store_alerts_of_vens,
)
from backend.alerts.broker_certificates import CERTIFICATE_ENDS, broker_certificate_conditions
from backend.alerts.event_notices import put_event_notices, sweep_alert_notices
from backend.alerts.group_notices import put_group_notices
from backend.alerts.notice_channels import NoticeChannels
from backend.alerts.notice_outbox import NoticeOutbox, notice_outbox_failing_targets
from backend.alerts.system_conditions import (
    DEAD_LETTERS,
    EVENT_SHORT,
    INGEST_AWAY,
    INGEST_LAG,
    VEN_OFFLINE,
    VEN_STALE,
    SystemCondition,
    active_events_for_conditions,
    condition_that_explains_silence,
    dead_letter_conditions,
    event_conditions,
    instance_conditions,
    ven_offline_condition,
    ven_stale_condition,
)
from backend.config.alert_settings import AlertSettings
from backend.config.alert_targets import AlertTargetRouting
from backend.config.backend_settings import BackendSettings
from backend.process.timeouts import happens_within_timeout
from backend.store.database import Database, database_now
from backend.store.database_errors import database_error_line
from backend.store.instance_report import BROKER_AWAY, DISPATCH_FAILS
from backend.store.transaction import in_transaction
from VenAgent.contract.alerts import AlertSeverity

log = structlog.get_logger(__name__)

DeliveredKw = Callable[[AsyncConnection, Sequence[str]], Awaitable[Mapping[str, float]]]
"""What events deliver now, by id."""
TARGET_FAILS = "target_fails"
SYSTEM_CODES = (
    *(INGEST_AWAY, BROKER_AWAY, INGEST_LAG, DISPATCH_FAILS, DEAD_LETTERS, EVENT_SHORT),
    *(CERTIFICATE_ENDS, TARGET_FAILS),
)
_ONE_AT_A_TIME = 72_616_004
_SENDS_EVERY_SEC = 1.0
_AFTER_A_START = timedelta(minutes=5)
_TARGET_FAILS_AFTER = timedelta(minutes=10)
_RETENTION_EVERY_SEC = 3_600.0


class AlertService:
    """`run` until cancelled; `close` first ends it in good order."""

    def __init__(
        self,
        database: Database,
        settings: BackendSettings,
        alerts: AlertSettings,
        routing: AlertTargetRouting,
        delivered_kw: DeliveredKw,
    ) -> None:
        self._database = database
        self._settings = settings
        self._alerts = alerts
        self._routing = routing
        self._delivered_kw = delivered_kw
        self._stop = asyncio.Event()
        self._swept_at = float("-inf")
        self._faults: dict[str, str] = {}
        """A loop's own mistake, until its next good turn."""
        instance = f"{platform.node()}-{secrets.token_hex(4)}"
        self._channels = NoticeChannels(routing.group_interval_sec)
        self._outbox = NoticeOutbox(database.engine, self._channels, routing.targets, instance)

    async def run(self) -> None:
        """Until `close`. Its work on a database is finished, not broken off."""
        look_sec = self._alerts.look_every_sec
        try:
            await asyncio.gather(
                self._loop("look", self._look, look_sec),
                self._loop(
                    "the sending", self._send, min(_SENDS_EVERY_SEC, self._alerts.look_every_sec)
                ),
            )
        finally:
            await self._channels.close()

    def close(self) -> None:
        self._stop.set()

    def fault(self) -> str | None:
        """A mistake of this program that the alerts meet again and again: nobody may be told."""
        return next(iter(self._faults.values()), None)

    async def _loop(self, name: str, work: Callable[[], Awaitable[None]], every_sec: float) -> None:
        while not self._stop.is_set():
            try:
                await work()
                self._faults.pop(name, None)
            except (SQLAlchemyError, OSError) as error:
                log.warning("alerts have to wait", error=database_error_line(error))
            except Exception as error:
                # Going on beats standing still: nobody would be told of anything. Health tells.
                self._faults[name] = f"the {name} of alerts fails: {type(error).__name__}: {error}"
                log.exception("alerts fail", loop=name)
            await happens_within_timeout(self._stop, every_sec)

    async def _send(self) -> None:
        await self._outbox.send_due()

    async def _look(self) -> None:
        await in_transaction(self._database.engine, self.look_once)

    async def look_once(self, connection: AsyncConnection) -> bool:
        """What is wrong now becomes alerts, and these become notices. False: another looks."""
        if connection.dialect.name == "postgresql":
            query = text(f"SELECT pg_try_advisory_xact_lock({_ONE_AT_A_TIME})")
            if not await connection.scalar(query):
                return False
        now = await database_now(connection)
        conditions = await self._conditions(connection, now)
        await store_alerts_of_conditions(connection, SYSTEM_CODES, conditions, now)
        await self._record_vens(connection, conditions, now)
        await end_forgotten_stored_alerts(connection, now, _AFTER_A_START)
        await put_group_notices(connection, self._routing, now)
        await put_event_notices(connection, self._routing.targets, now)
        if time.monotonic() - self._swept_at > _RETENTION_EVERY_SEC:
            await self._sweep(connection, now)
            self._swept_at = time.monotonic()
        return True

    async def _conditions(
        self, connection: AsyncConnection, now: datetime
    ) -> list[SystemCondition]:
        settings = self._alerts
        events = await active_events_for_conditions(connection)
        delivered_kw = await self._delivered_kw(connection, [event.id for event in events])
        return [
            *await instance_conditions(connection, settings, now),
            *await dead_letter_conditions(connection, settings, now),
            *event_conditions(events, delivered_kw, settings, now),
            *broker_certificate_conditions(self._settings.mqtt, settings.certificate_days, now),
            *await self._target_conditions(connection, now),
        ]

    async def _target_conditions(
        self, connection: AsyncConnection, now: datetime
    ) -> list[SystemCondition]:
        failing = await notice_outbox_failing_targets(connection, now - _TARGET_FAILS_AFTER)
        return [
            SystemCondition(
                TARGET_FAILS,
                AlertSeverity.WARNING.value,
                f"the target {name} takes no notices: {why}",
                name,
            )
            for name, why in sorted(failing.items())
        ]

    async def _record_vens(
        self, connection: AsyncConnection, conditions: list[SystemCondition], now: datetime
    ) -> None:
        why = condition_that_explains_silence(conditions)
        for code, troubled, words in (
            (VEN_OFFLINE, ven_offline_condition(self._alerts, now), "the VEN is offline"),
            (
                VEN_STALE,
                ven_stale_condition(self._alerts, now),
                "the VEN sends no telemetry of now",
            ),
        ):
            await store_alerts_of_vens(
                connection, code, troubled, message=words, cause=why or code, now=now
            )

    async def _sweep(self, connection: AsyncConnection, now: datetime) -> None:
        before = now - timedelta(days=self._settings.retention.alerts_days)
        await connection.execute(delete(ALERTS).where(ALERTS.c.ended_at < before))
        await sweep_alert_notices(connection, before, now)
