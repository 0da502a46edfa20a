"""Alerts from their begin to their end: of sites, and of the operator's side."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.alerts.alert_service import AlertService
from backend.alerts.alert_store import ALERTS, MOST_OPEN_OF_A_VEN
from backend.config.alert_settings import AlertSettings
from backend.config.alert_targets import AlertTargetRouting
from backend.config.backend_settings import BackendSettings
from backend.ingest.ingest_message import IngestMessage
from backend.ingest.ingest_writer import IngestWriter
from backend.store.database import Database
from backend.store.fleet_tables import VenRow
from backend.store.ingest_tables import DeadLetterRow
from backend.store.instance_report import InstanceReport, store_instance_end, store_instance_report
from backend.store.instance_tables import BackendInstanceRow
from backend.store.tables import EVENTS, VENS
from backend.store.transaction import in_transaction
from backend.store.utc_time import utc_now
from VenAgent.contract.alerts import AlertSeverity, build_alert
from VenAgent.contract.json_codec import encode_json
from VenAgent.contract.reasons import ReasonCode

from .api_client import api, services_of
from .dispatching import add_event, add_vens, eventually, rows, set_online, set_state

pytestmark = pytest.mark.asyncio
SETTINGS = AlertSettings().model_copy(update={"broker_away_sec": 0.0, "dead_letters": 5})


class Delivered:
    """What events bring."""

    def __init__(self) -> None:
        self.kw: dict[str, float] = {}

    async def __call__(self, _connection: AsyncConnection, ids: Sequence[str]) -> dict[str, float]:
        return {event_id: self.kw.get(event_id, 0.0) for event_id in ids}


def service_of(database: Database, delivered: Delivered | None = None, **mqtt: str) -> AlertService:
    settings = BackendSettings.from_environment(mqtt)
    return AlertService(
        database, settings, SETTINGS, AlertTargetRouting(), delivered or Delivered()
    )


async def look(database: Database, delivered: Delivered | None = None, **mqtt: str) -> None:
    service = service_of(database, delivered, **mqtt)
    assert await in_transaction(database.engine, service.look_once)


async def open_codes(database: Database) -> list[tuple[str, str]]:
    found = await rows(database, ALERTS, ALERTS.c.ended_at.is_(None))
    return sorted((row.ven_id, row.code) for row in found)


def said(ven_id: str, severity: str, at: datetime, **more: Any) -> IngestMessage:
    body = build_alert(
        ven_id=ven_id,
        ts=at.timestamp(),
        severity=AlertSeverity(severity),
        code=more.pop("code", "meter_stale"),
        message=more.pop("message", "the meter is silent"),
        reason_code=more.pop("reason_code", None),
        context=more,
    )
    return IngestMessage(f"ven/alerts/{ven_id}", encode_json(body), utc_now().timestamp())


async def ingest(database: Database, *messages: IngestMessage) -> None:
    writer = IngestWriter(database, BackendSettings.from_environment({}))
    outcome = await writer.store(list(messages), "test")
    assert outcome.refused == 0


async def test_a_sites_alert_begins_and_ends_once(database: Database) -> None:
    await add_vens(database, {"site": 1.0})
    now = utc_now().replace(microsecond=0)
    at = [now + timedelta(seconds=n - 10) for n in range(6)]
    first = said("site", "warning", at[0])
    await ingest(database, first)
    worse = said("site", "critical", at[1], message="worse", reason_code=ReasonCode.WRITE_FAILED)
    await ingest(database, first, worse)
    (row,) = await rows(database, ALERTS)
    assert row.reason_code == "write_failed"
    assert (row.severity, row.message, row.begun_at) == ("critical", "worse", at[0])
    assert (row.ended_at, row.cause) == (None, "meter_stale")

    # Its end, and a late copy of its begin that comes after it: over all the same.
    await ingest(database, said("site", "cleared", at[3]))
    await ingest(database, said("site", "warning", at[2], message="late"))
    (row,) = await rows(database, ALERTS)
    assert row.ended_at == at[3]

    # Again, with its end in one batch; and of two circuits, each by itself.
    two = [said("site", "info", at[5], code="write_failed", subject=f"c{n}") for n in (1, 2)]
    await ingest(database, said("site", "warning", at[4]), said("site", "cleared", at[5]), *two)
    found = await rows(database, ALERTS)
    assert len(found) == 4
    assert await open_codes(database) == [("site", "write_failed")] * 2
    subjects = {row.subject for row in found if row.ended_at is None}
    assert subjects == {"c1", "c2"}


async def test_a_ven_fills_no_table_with_alerts(database: Database) -> None:
    """Neither one that nobody knows, nor one that makes up codes."""
    await add_vens(database, {"site": 1.0})
    now = utc_now()
    await ingest(database, said("nobody", "warning", now))
    assert await rows(database, ALERTS) == []
    many = [said("site", "info", now, code=f"code{n}") for n in range(MOST_OPEN_OF_A_VEN + 20)]
    await ingest(database, *many)
    assert len(await rows(database, ALERTS)) <= MOST_OPEN_OF_A_VEN + 20
    await ingest(database, *(said("site", "info", now, code=f"more{n}") for n in range(20)))
    assert not any(code.startswith("more") for _, code in await open_codes(database))


async def test_what_a_site_does_not_say_again_after_its_restart_is_over(
    database: Database,
) -> None:
    await add_vens(database, {"site": 1.0})
    now = utc_now()
    await _boot(database, "one", now - timedelta(hours=2))
    await ingest(database, said("site", "warning", now - timedelta(hours=1)))
    await look(database)
    assert await open_codes(database) == [("site", "meter_stale")]
    await _boot(database, "two", now - timedelta(minutes=1))
    await look(database)
    assert await open_codes(database) == [("site", "meter_stale")]  # it may still say it
    await _boot(database, "two", now - timedelta(minutes=10))
    await look(database)
    assert await open_codes(database) == []


async def _boot(database: Database, boot_id: str, since: datetime) -> None:
    async with database.engine.begin() as connection:
        values = {"boot_id": boot_id, "status_since": since, "status": "online"}
        await connection.execute(update(VENS).values(**values))


async def test_silent_vens_are_alerts_until_they_are_heard(database: Database) -> None:
    await add_vens(database, {"away": 1.0, "mute": 1.0, "kept": 1.0, "well": 1.0})
    before = utc_now() - timedelta(minutes=10)
    async with database.engine.begin() as connection:
        await connection.execute(update(VENS).values(status_since=before))
    await set_state(database, "well")
    async with database.engine.begin() as connection:
        for ven_id, status in (("away", "offline"), ("kept", "maintenance")):
            change = update(VENS).where(VENS.c.id == ven_id).values(status=status)
            await connection.execute(change)
        await connection.exec_driver_sql(
            f"UPDATE ven_state SET last_seen = '{before.replace(tzinfo=None)}'"
            " WHERE ven_id IN ('mute', 'kept')"
        )
    for _ in range(2):
        await look(database)
        assert await open_codes(database) == [("away", "ven_offline"), ("mute", "ven_stale")]
    assert len(await rows(database, ALERTS)) == 2
    await set_online(database, "away")
    await set_state(database, "away")
    await set_state(database, "mute")
    await look(database)
    assert await open_codes(database) == []


async def test_ten_thousand_vens_behind_a_broker_that_is_away_have_one_cause(
    postgresql_url: str,
) -> None:
    database = Database(postgresql_url)
    before = utc_now() - timedelta(minutes=10)
    vens = [
        {"id": f"v{n}", "name": f"v{n}", "status": "offline", "status_since": before}
        | {"created_at": before, "trusted": True}
        for n in range(10_000)
    ]
    async with database.engine.begin() as connection:
        await connection.execute(insert(VenRow), vens)
        report = InstanceReport("ingest", "i1", "broker_away", "gone")
        await store_instance_report(connection, report)
    await look(database)
    found = await rows(database, ALERTS)
    assert len(found) == 10_001
    assert {row.cause for row in found} == {"broker_away"}
    await database.close()


async def test_the_operators_side_has_alerts_too(database: Database) -> None:
    async def report(**changes: Any) -> None:
        async with database.engine.begin() as connection:
            await store_instance_report(connection, InstanceReport("ingest", "i1", **changes))

    async def codes() -> list[str]:
        await look(database, MQTT_CA_CERT="")
        return [code for _, code in await open_codes(database)]

    assert await codes() == []  # no ingest was ever there
    await report()
    assert await codes() == []
    await report(problem_code="broker_away", problem="connection refused")
    assert await codes() == ["broker_away"]
    (row,) = await rows(database, ALERTS)
    assert row.severity == "critical"
    assert "connection refused" in row.message
    await report(lag_sec=100.0)
    assert await codes() == ["ingest_lag"]
    await report(lag_sec=0.1)
    assert await codes() == []
    async with database.engine.begin() as connection:
        long_ago = utc_now() - timedelta(minutes=5)
        await connection.execute(update(BackendInstanceRow).values(reported_at=long_ago))
    assert await codes() == ["ingest_away"]
    async with database.engine.begin() as connection:
        await store_instance_end(connection, "ingest", "i1")
    assert await codes() == []

    letters = [
        {"received_at": utc_now(), "source": "mqtt", "topic": "t", "payload": b"x"}
        | {"reason": "not JSON"}
        for _ in range(5)
    ]
    async with database.engine.begin() as connection:
        await connection.execute(insert(DeadLetterRow), letters)
    assert await codes() == ["dead_letters"]
    found = await rows(database, ALERTS, ALERTS.c.code == "dead_letters")
    assert "not JSON" in found[0].message


async def test_an_event_short_of_its_target_is_an_alert_until_it_is_over(
    database: Database,
) -> None:
    delivered = Delivered()
    await add_event(database, 100.0)
    begun = utc_now() - timedelta(minutes=5)
    async with database.engine.begin() as connection:
        await connection.execute(update(EVENTS).values(status="active", activated_at=begun))
    delivered.kw["e1"] = 95.0
    await look(database, delivered)
    assert await open_codes(database) == []
    delivered.kw["e1"] = 60.0
    await look(database, delivered)
    (row,) = await rows(database, ALERTS)
    assert (row.code, row.subject, row.cause) == ("event_short", "e1", "event_short:e1")
    assert "90 of 100 kW" in row.message
    for over in ({"dry_run": True}, {"dry_run": False, "status": "completed"}):
        async with database.engine.begin() as connection:
            await connection.execute(update(EVENTS).values(**over))
        await look(database, delivered)
        assert await open_codes(database) == [], over


async def test_a_mistake_in_the_alerts_own_work_is_told_by_health_until_it_goes_well_again(
    sqlite_url: str,
) -> None:
    database, delivered = Database(sqlite_url), Delivered()
    await add_event(database, 100.0)
    begun = utc_now() - timedelta(minutes=5)
    async with database.engine.begin() as connection:
        await connection.execute(update(EVENTS).values(status="active", activated_at=begun))
    often = SETTINGS.model_copy(update={"look_every_sec": 0.02})
    settings = BackendSettings.from_environment({})
    service = AlertService(database, settings, often, AlertTargetRouting(), delivered)
    delivered.kw = None  # type: ignore[assignment]
    async with api(database) as client:
        services_of(client).alerts = service
        running = asyncio.create_task(service.run())
        await eventually(service.fault)
        failing = await client.get("/health")
        delivered.kw = {"e1": 60.0}
        await eventually(lambda: service.fault() is None)
        well = await client.get("/health")
        service.close()
        await running
    assert (failing.status_code, well.status_code) == (503, 200)
    assert failing.json()["reasons"][0].startswith("the look of alerts fails: AttributeError")
    assert await open_codes(database) != [], "it went on"
    await database.close()


@pytest.mark.parametrize(
    ("days", "severity"), [(90, None), (20, "warning"), (3, "critical"), (-1, "critical")]
)
async def test_the_brokers_certificate_is_an_alert_before_its_end(
    sqlite_url: str, days: int, severity: str | None
) -> None:
    database = Database(sqlite_url)
    await look(database, CLIENT_CERT_PEM=certificate(days))
    assert [row.severity for row in await rows(database, ALERTS)] == (
        [severity] if severity else []
    )
    await look(database)
    assert await open_codes(database) == []
    await database.close()


def certificate(days: int) -> str:
    """One that ends in so many days."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "backend")])
    now = utc_now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=100))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    from cryptography.hazmat.primitives.serialization import Encoding

    return made.public_bytes(Encoding.PEM).decode()
