"""Alerts over REST: listed, filtered, acknowledged; and told by the process that serves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from backend.alerts.alert_store import ALERTS
from backend.api.api_keys import ApiKeyRole
from backend.store.access_tables import AuditEntryRow
from backend.store.alert_tables import AlertNoticeRow
from backend.store.database import Database
from backend.store.utc_time import utc_now

from .api_client import api
from .dispatching import rows
from .test_api_access import KEYS, make_key

pytestmark = pytest.mark.asyncio


async def add_alerts(database: Database) -> None:
    now = utc_now()
    common = {"subject": "", "message": "the VEN is offline", "last_at": now, "changed_at": now}
    alerts: list[dict[str, Any]] = [
        {"ven_id": f"v{n}", "code": "ven_offline", "cause": "broker_away", "severity": "warning"}
        for n in range(5)
    ]
    alerts += [
        {"ven_id": "", "code": "broker_away", "cause": "broker_away", "severity": "critical"}
        | {"message": "the broker is away"},
        {"ven_id": "v1", "code": "note", "cause": "note", "severity": "info", "subject": "c1"},
        {"ven_id": "v2", "code": "note", "cause": "note", "severity": "info"},
    ]
    rows_ = [
        {"begun_at": now - timedelta(hours=n), "ended_at": None, **common, **one}
        for n, one in enumerate(alerts)
    ]
    rows_[-1]["ended_at"] = now
    async with database.engine.begin() as connection:
        await connection.execute(insert(ALERTS), rows_)


async def test_alerts_are_listed_and_filtered(database: Database) -> None:
    await add_alerts(database)
    async with api(database) as client:

        async def found(**query: Any) -> list[str]:
            answer = await client.get("/api/alerts/", params=query)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            assert page["totalCount"] == len(page["alerts"]) or "limit" in query
            return [f"{one['venId']}/{one['code']}" for one in page["alerts"]]

        assert len(await found()) == 7
        assert len(await found(state="all")) == 8
        assert await found(state="ended") == ["v2/note"]
        assert await found(severity="critical") == ["None/broker_away"]
        assert len(await found(severity="warning")) == 6
        assert await found(code="note") == ["v1/note"]
        assert len(await found(cause="broker_away")) == 6
        assert await found(venId="v1") == ["v1/note", "v1/ven_offline"]
        assert await found(search="BROKER") == ["None/broker_away"]
        late = (utc_now() - timedelta(minutes=90)).isoformat()
        assert await found(start=late) == ["v1/ven_offline", "v0/ven_offline"]
        first = (await client.get("/api/alerts/", params={"limit": 4})).json()
        further = {"limit": 4, "cursor": first["nextCursor"]}
        rest = (await client.get("/api/alerts/", params=further)).json()
        ids = [one["id"] for one in first["alerts"] + rest["alerts"]]
        assert ids == [7, 6, 5, 4, 3, 2, 1]
        assert (await client.get("/api/alerts/7")).json()["subject"] == "c1"
        assert (await client.get("/api/alerts/99")).status_code == 404
        assert (await client.get("/api/alerts/?severity=loud")).status_code == 422

        causes = (await client.get("/api/alerts/causes")).json()
        assert (causes["openCount"], causes["unacknowledged"]) == (7, 7)
        named = ("cause", "severity", "count", "venCount")
        assert [tuple(one[name] for name in named) for one in causes["causes"]] == [
            ("broker_away", "critical", 6, 5),
            ("note", "info", 1, 1),
        ]
        assert causes["causes"][0]["message"] == "the broker is away"


async def test_alerts_are_acknowledged_by_name(database: Database) -> None:
    await add_alerts(database)
    async with api(database, **KEYS) as client:
        operator = await make_key(database, ApiKeyRole.OPERATE)
        reader = await make_key(database, ApiKeyRole.READ)
        body = {"cause": "broker_away", "note": "called the provider"}
        refused = await client.post("/api/alerts/acknowledge", headers=reader, json=body)
        assert refused.status_code == 403
        done = await client.post("/api/alerts/acknowledge", headers=operator, json=body)
        again = await client.post("/api/alerts/acknowledge", headers=operator, json=body)
        one = await client.post("/api/alerts/acknowledge", headers=operator, json={"ids": [7, 99]})
        assert [each.json()["acknowledged"] for each in (done, again, one)] == [6, 0, 1]
        page = await client.get("/api/alerts/?acknowledged=true", headers=reader)
        assert page.json()["totalCount"] == 7
        assert {row["acknowledgedBy"] for row in page.json()["alerts"]} == {"operate"}
        assert page.json()["alerts"][-1]["note"] == "called the provider"
        for wrong in ({}, {"ids": [1], "cause": "x"}, {"id": 1}):
            answer = await client.post("/api/alerts/acknowledge", headers=operator, json=wrong)
            assert answer.status_code == 422
    entries = await rows(database, AuditEntryRow.__table__)
    assert [(e.actor, e.action, e.detail["count"]) for e in entries] == [
        ("operate", "alert.acknowledge", 6),
        ("operate", "alert.acknowledge", 1),
    ]


async def test_what_was_sent_to_whom_is_told(database: Database) -> None:
    now = utc_now()
    notices = [
        {"target": "room", "key": f"k{n}", "message_id": f"m{n}", "kind": "alert.firing"}
        | {"payload": {"n": n}, "state": state, "attempts": n, "not_before": now}
        | {"created_at": now, "error": None if state == "sent" else "HTTP 500"}
        for n, state in enumerate(("sent", "pending", "given_up"))
    ]
    async with database.engine.begin() as connection:
        await connection.execute(insert(AlertNoticeRow), notices)
    async with api(database) as client:
        page = (await client.get("/api/alerts/notices")).json()["notices"]
        assert [one["state"] for one in page] == ["given_up", "pending", "sent"]
        assert (page[0]["error"], page[2]["payload"]) == ("HTTP 500", {"n": 0})
        waiting = (await client.get("/api/alerts/notices?state=pending")).json()["notices"]
        assert [one["messageId"] for one in waiting] == ["m1"]
