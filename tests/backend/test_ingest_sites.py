"""What a VEN says of itself: panels in parts, shadows, its agent, how often it reports."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from backend.alerts.system_conditions import ven_stale_condition
from backend.config.alert_settings import AlertSettings
from backend.config.backend_settings import BackendSettings
from backend.dispatch.agent_survey import KNOWN_FOR, AgentSurvey
from backend.ingest.ingest_message import IngestMessage
from backend.ingest.ingest_writer import IngestWriter
from backend.ingest.report_intervals import ReportIntervals
from backend.store.database import Database
from backend.store.database_upkeep import upkeep_ven_statuses
from backend.store.fleet_tables import VenAgentRow
from backend.store.tables import COMMANDS, VEN_STATE, VENS
from backend.store.utc_time import utc_now
from VenAgent.contract.acks import AckStatus, build_ack
from VenAgent.contract.json_codec import encode_json
from VenAgent.contract.shadow_document import split_shadow_document
from VenAgent.contract.telemetry import split_telemetry

from .api_client import api
from .builders import telemetry
from .dispatching import Wire, add_vens, rows

pytestmark = pytest.mark.asyncio
CIRCUITS = 400
UPDATE = "$aws/things/large/shadow/update"


def large_panel(at: float, power_kw: float = 0.5) -> list[bytes]:
    """The telemetry of a panel of 400 circuits, as it goes on the wire: more than one message."""
    loads = [
        {
            "loadId": f"circuit_{n}",
            "id": f"circuit_{n}",
            "name": f"Circuit {n}",
            "type": "hvac",
            "capacityKw": 5.0,
            "currentPowerKw": power_kw,
            "shedCapabilityKw": 0.25,
            "enabled": True,
            "priority": 4,
        }
        for n in range(CIRCUITS)
    ]
    fields = {"usedPowerKw": 200.0, "panelMaxKw": 960.0, "loads": loads, "circuits": []}
    whole = telemetry("large", ts_ms=round(at * 1000), **fields)
    parts = split_telemetry(whole, max_bytes=30_000)
    assert len(parts) > 2
    return [encode_json({**part, "seq": n}) for n, part in enumerate(parts, start=round(at))]


async def store(database: Database, *messages: tuple[str, Any], writer: Any = None) -> IngestWriter:
    writer = writer or IngestWriter(database, BackendSettings.from_environment({}))
    for topic, body in messages:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        outcome = await writer.store([IngestMessage(topic, payload, time.time())], "test")
        assert outcome.refused == 0, body
    return writer  # type: ignore[no-any-return]


async def test_a_panel_whose_telemetry_comes_in_parts_is_known_whole(database: Database) -> None:
    settings = BackendSettings.from_environment({"INGEST_STATE_INTERVAL_SEC": "0.001"})
    now = time.time()
    one, other = (IngestWriter(database, settings) for _ in range(2))
    parts = large_panel(now - 5)
    topic = "ven/telemetry/large"
    await store(database, (topic, parts[-1]), writer=one)
    await store(database, *((topic, part) for part in parts[:-1]), writer=one)
    async with api(database) as client:
        ven = (await client.get("/api/vens/large")).json()
        summary = (await client.get("/api/vens/summary")).json()
        assert len(ven["loads"]) == CIRCUITS
        assert [load["id"] for load in ven["loads"]] == [f"circuit_{n}" for n in range(CIRCUITS)]
        assert ven["metrics"]["shedAvailabilityKw"] == CIRCUITS * 0.25
        assert summary[0]["controllablePower"] == CIRCUITS * 0.25
        # Of the next, each instance hears some of the parts: what it never heard it cannot tell.
        later = large_panel(now, power_kw=0.75)
        for n, part in enumerate(later):
            await store(database, (topic, part), writer=(one, other)[n % 2])
        await store(database, *((topic, part) for part in large_panel(now + 5)), writer=other)
        ven = (await client.get("/api/vens/large")).json()
    assert len(ven["loads"]) == CIRCUITS


async def test_a_shadow_that_is_reported_over_mqtt_is_there_in_full(database: Database) -> None:
    await store(database, ("ven/telemetry/large", encode_json(telemetry("large"))))
    circuits = [{"id": f"circuit_{n}", "enabled": True, "current_kw": 0.5} for n in range(300)]
    reported = {
        "schemaVersion": "1.0",
        "power_kw": 8.2,
        "panel_voltage": 240,
        "circuits": circuits,
        "active_event": {"event_id": "e1", "shed_kw": 2.0, "end_ts": 1_800_000_000},
        "refused": None,
        "timestamp": 1_800_000_000,
    }
    classic, named = split_shadow_document(reported, 4_000)
    assert len(named) > 1, "its circuits have shadows of their own"
    await store(
        database,
        (UPDATE, {"state": {"reported": classic}}),
        *(
            (f"$aws/things/large/shadow/name/{name}/update", {"state": {"reported": state}})
            for name, state in named.items()
        ),
        (UPDATE, {"state": {"desired": {"report_interval_sec": 10}}}),
        (UPDATE, {"state": {"reported": {"power_kw": 7.5, "active_event": None}}}),
        ("$aws/things/stranger/shadow/update", {"state": {"reported": {"power_kw": 1}}}),
    )
    async with api(database) as client:
        shadow = (await client.get("/api/vens/large/shadow")).json()
    assert shadow["source"] == "mqtt"
    state = shadow["state"]
    assert state["desired"] == {"report_interval_sec": 10}
    assert state["reported"]["power_kw"] == 7.5
    assert state["reported"]["panel_voltage"] == 240
    assert "active_event" not in state["reported"], "a null takes a key away"
    assert state["reported"]["circuits"] == circuits
    assert (shadow["reported"], shadow["desired"]) == (state["reported"], state["desired"])
    topics = BackendSettings.from_environment({}).mqtt.topics
    assert "$aws/things/+/shadow/update" in topics
    aws = BackendSettings.from_environment({"IOT_ENDPOINT": "x.iot.eu-west-1.amazonaws.com"})
    assert not any(topic.startswith("$aws") for topic in aws.mqtt.topics)


async def test_the_newest_report_of_a_shadow_stands_whoever_comes_to_it_last(
    database: Database,
) -> None:
    """Each instance hears every update, one of them long after the other."""
    now = round(time.time())

    def report(at: float, **fields: Any) -> tuple[str, Any]:
        return UPDATE, {"state": {"reported": {"timestamp": at, **fields}}}

    event = report(now - 60, power_kw=6.0, active_event={"event_id": "e1"})
    over = report(now - 30, power_kw=8.0, active_event=None)
    desired = UPDATE, {"state": {"desired": {"report_interval_sec": 10}}}

    async def reported() -> dict[str, Any]:
        async with api(database) as client:
            state = (await client.get("/api/vens/large/shadow")).json()["state"]
        assert state["desired"] == {"report_interval_sec": 10}
        return state["reported"]  # type: ignore[no-any-return]

    await store(database, ("ven/telemetry/large", encode_json(telemetry("large"))))
    await store(database, event, desired, over)
    await store(database, event, desired)
    assert await reported() == {"timestamp": now - 30, "power_kw": 8.0}
    await store(database, over, report((now - 30) * 1000, power_kw=7.0))  # as new, in milliseconds
    assert (await reported())["power_kw"] == 7.0
    # A clock that was ahead and is right again; a time that is none; a report that tells none.
    await store(database, report(now + 3_600, power_kw=6.5), report(now, power_kw=5.0))
    assert (await reported())["power_kw"] == 5.0
    await store(database, report("soon", power_kw=4.0))  # type: ignore[arg-type]
    assert (await reported())["power_kw"] == 4.0
    await store(database, (UPDATE, {"state": {"reported": {"power_kw": 3.0}}}))
    assert (await reported())["power_kw"] == 3.0


async def test_instances_that_store_one_shadow_at_once_wait_for_each_other(
    database: Database,
) -> None:
    await store(database, ("ven/telemetry/large", encode_json(telemetry("large"))))
    writers = [IngestWriter(database, BackendSettings.from_environment({})) for _ in range(4)]
    at = time.time()

    def update(name: str) -> IngestMessage:
        body = {"state": {"reported": {name: 1}}}
        return IngestMessage(UPDATE, encode_json(body), at)

    names = [f"key_{n}" for n in range(24)]
    await asyncio.gather(
        *(writers[n % 4].store([update(name)], "test") for n, name in enumerate(names))
    )
    async with api(database) as client:
        state = (await client.get("/api/vens/large/shadow")).json()["state"]
    assert set(state["reported"]) == set(names)


async def test_what_is_no_shadow_is_refused(database: Database) -> None:
    writer = IngestWriter(database, BackendSettings.from_environment({}))
    for topic, body in (
        ("$aws/things/a/jobs/update", b'{"state": {}}'),
        (UPDATE, b'{"reported": {}}'),
        (UPDATE, b'{"state": {"reported": 5}}'),
        (UPDATE, b'{"state": {"reported": ' + b'{"a":' * 200 + b"1" + b"}" * 202),
    ):
        outcome = await writer.store([IngestMessage(topic, body, time.time())], "test")
        assert (outcome.stored, outcome.refused) == (0, 1), body


async def test_an_agent_tells_what_it_is_when_it_is_asked(database: Database) -> None:
    await store(database, ("ven/telemetry/a", encode_json(telemetry("a"))))
    wire = Wire()
    async with api(database, wire) as client:
        asked = await client.post("/api/vens/a/commands/status")
        assert asked.json()["payload"]["what"] == "status"
        before = (await client.get("/api/vens/a")).json()["agent"]
        ack = build_ack(
            op="get",
            status=AckStatus.SUCCESS,
            ven_id="a",
            ts=time.time(),
            correlation_id=wire.sent[0]["correlationId"],
            data={
                "version": "1.4.2",
                "health": "GOOD",
                "health_context": "all is well",
                "certificate_expires_ts": 1_900_000_000.0,
            },
        )
        await store(database, ("ven/ack/a", encode_json(ack)))
        agent = (await client.get("/api/vens/a")).json()["agent"]
    assert before is None
    assert agent.pop("toldAt") is not None
    assert agent == {
        "version": "1.4.2",
        "health": "GOOD",
        "healthContext": "all is well",
        "certificateExpiresAt": "2030-03-17T17:46:40Z",
    }
    assert len(await rows(database, VenAgentRow.__table__)) == 1


async def test_what_a_site_measured_long_before_tells_nothing_of_now(database: Database) -> None:
    """Of an outbox that is emptied, or by a clock that is far off; a clock a little off is none."""
    settings = BackendSettings.from_environment({"INGEST_STATE_INTERVAL_SEC": "0.001"})
    writer = IngestWriter(database, settings)
    now = time.time()

    async def report(ven_id: str, *ages_sec: float) -> None:
        for seq, age_sec in enumerate(ages_sec, 1):
            body = telemetry(ven_id, seq, timestamp=now - age_sec)
            await store(database, (f"ven/telemetry/{ven_id}", encode_json(body)), writer=writer)

    async def fleet() -> dict[str, tuple[str, str | None, bool]]:
        async with api(database) as client:
            found = (await client.get("/api/vens/summary")).json()
            can_kw = sum(row["controllablePower"] for row in found)
            told = (await client.get("/api/stats/network")).json()
            assert told["potentialLoadReductionKw"] == pytest.approx(can_kw)
            body = {"requestedReductionKw": 1000, "durationSec": 60}
            preview = (await client.post("/api/events/preview", json=body)).json()
            assert preview["asked"] == sum(row["controllablePower"] > 0 for row in found)
        return {
            row["id"]: (
                row["availability"]["state"],
                row["availability"]["reasonCode"],
                row["controllablePower"] > 0,
            )
            for row in found
        }

    late, here = ("stale", "readings_late", False), ("available", None, True)
    await report("once", 20 * 86_400)
    await report("returns", 3_615, 3_610, 3_605, 3_600)
    await report("slow_clock", 615, 610, 605, 600)
    await report("a_little", 215, 210, 205, 200)
    await report("ahead", -1_785, -1_790, -1_795, -1_800)
    await report("seldom", 3_000, 2_100, 1_200, 600)  # each 10 or 15 minutes
    assert await fleet() == {
        **dict.fromkeys(("once", "returns", "slow_clock"), late),
        **dict.fromkeys(("a_little", "ahead", "seldom"), here),
    }
    async with database.engine.connect() as connection:
        stale = (
            await connection.scalars(
                select(VENS.c.id).where(
                    ven_stale_condition(
                        AlertSettings().model_copy(update={"stale_sec": 0.0}), utc_now()
                    )
                )
            )
        ).all()
    assert {"once", "returns", "slow_clock"} <= set(stale)
    await report("returns", 5, 0)
    assert (await fleet())["returns"] == here


async def test_a_silent_site_is_judged_by_how_often_it_reports(database: Database) -> None:
    settings = BackendSettings.from_environment({"INGEST_STATE_INTERVAL_SEC": "0.001"})
    writer = IngestWriter(database, settings)
    now = time.time()
    for ven_id, every_sec in (("seldom", 120), ("often", 5)):
        for n in range(4):
            body = telemetry(ven_id, n + 1, timestamp=now - (3 - n) * every_sec)
            await store(database, (f"ven/telemetry/{ven_id}", encode_json(body)), writer=writer)
    found = {row.ven_id: row for row in await rows(database, VEN_STATE)}
    assert found["seldom"].report_interval_sec == pytest.approx(120)
    assert found["often"].report_interval_sec == pytest.approx(5)
    # Both were heard 100 s ago: less than a report of the one, twenty of the other.
    async with database.engine.begin() as connection:
        for ven_id, row in found.items():
            heard = row.last_seen - timedelta(seconds=100)
            until = row.quiet_until - timedelta(seconds=100)
            await connection.execute(
                update(VEN_STATE)
                .where(VEN_STATE.c.ven_id == ven_id)
                .values(last_seen=heard, quiet_until=until)
            )
        old = utc_now() - timedelta(seconds=110)
        await connection.execute(update(VENS).values(status="online", status_since=old))
        assert await upkeep_ven_statuses(connection, settings, utc_now()) == 1
        statuses = dict((await connection.execute(select(VENS.c.id, VENS.c.status))).all())
    assert statuses == {"seldom": "online", "often": "offline"}
    async with api(database) as client:
        summary = {row["id"]: row for row in (await client.get("/api/vens/summary")).json()}
    assert summary["seldom"]["availability"]["state"] == "available"
    assert summary["seldom"]["controllablePower"] > 0
    assert summary["often"]["availability"]["state"] == "stale"
    assert summary["often"]["controllablePower"] == 0
    # A new process knows it from the first telemetry on.
    again = IngestWriter(database, settings)
    body = telemetry("seldom", 9, timestamp=now + 120)
    await store(database, ("ven/telemetry/seldom", encode_json(body)), writer=again)
    (row,) = await rows(database, VEN_STATE, VEN_STATE.c.ven_id == "seldom")
    assert row.quiet_until - row.last_seen == timedelta(seconds=300)


async def test_an_outage_does_not_make_a_site_seldom() -> None:
    known = ReportIntervals()
    assert known.add("a", 0.0) is None
    assert [known.add("a", ts) for ts in (5.0, 5.0, 10.0, 3_000.0, 3_005.0)] == [5.0] * 5
    seldom = [known.add("a", 3_005.0 + 300.0 * n) for n in (1, 2, 3)]
    assert seldom[-1] == 300.0, "another interval is known after three reports"
    assert known.add("a", 10.0) == 300.0, "the clock was set back"


async def test_agents_are_asked_what_they_are_when_new_when_back_and_daily(
    database: Database,
) -> None:
    await add_vens(database, dict.fromkeys(("a", "b"), 1.0))
    await add_vens(database, {"away": 1.0}, status="offline")
    await add_vens(database, {"new": 1.0})

    async def asked(**values: Any) -> list[str]:
        """By a dispatcher, and by another at the same moment, once these are so of all."""
        async with database.engine.begin() as connection:
            if values:
                await connection.execute(update(VenAgentRow).values(**values))
        surveys = [AgentSurvey(database.engine, 86_400.0) for _ in range(2)]
        await asyncio.gather(*(survey.ask_due_agents() for survey in surveys))
        async with database.engine.begin() as connection:
            found = await connection.execute(select(COMMANDS.c.ven_id, COMMANDS.c.op))
            await connection.execute(delete(COMMANDS))
        assert await surveys[0].ask_due_agents() == 0, "a round a minute"
        rows = found.all()
        assert {row.op for row in rows} <= {"get"}
        return sorted(row.ven_id for row in rows)

    now = utc_now()
    async with database.engine.begin() as connection:
        known = VENS.c.id.in_(("a", "b", "away"))
        long_ago = {"created_at": now - timedelta(days=9), "status_since": now - timedelta(days=9)}
        await connection.execute(update(VENS).where(known).values(**long_ago))
        # However slow this test is, it stays new.
        stays_new = update(VENS).where(VENS.c.id == "new").values(created_at=now + KNOWN_FOR * 60)
        await connection.execute(stays_new)
    assert await asked() == ["a", "b"]
    assert await asked() == []
    assert await asked(asked_at=now - timedelta(days=2)) == ["a", "b"], "each day"
    two_hours_ago = {"asked_at": now - timedelta(hours=2)}
    assert await asked(**two_hours_ago) == []
    async with database.engine.begin() as connection:
        back = update(VENS).where(VENS.c.id == "a").values(status_since=now)
        await connection.execute(back)
    assert await asked(**two_hours_ago) == ["a"], "it was away: it may be another version"
    async with api(database) as client:
        assert (await client.get("/api/vens/a")).json()["agent"] is None, "asked is not told"
