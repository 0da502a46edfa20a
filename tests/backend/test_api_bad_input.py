"""What no client of ours sends: it is refused, named, and never a fault of the server."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from backend.store.database import Database

from .api_client import add_house, api

pytestmark = pytest.mark.asyncio
TIMES = '"startTime": "2030-06-01T16:00:00Z", "endTime": "2030-06-01T17:00:00Z"'


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/events/", f'{{{TIMES}, "requestedReductionKw": 1e400}}'),
        ("/api/events/", f'{{{TIMES}, "requestedReductionKw": NaN}}'),
        ("/api/events/", f'{{{TIMES}, "requestedReductionKw": -Infinity}}'),
        ("/api/events/", f'{{{TIMES}, "requestedReductionKw": 1, "id": "\\ud800"}}'),
        ("/api/events/", f'{{{TIMES}, "requestedReductionKw": 1, "\\ud800": 1}}'),
        ("/api/vens/", '{"name": "\\ud800"}'),
        ("/api/vens/", '{"name": "x", "location": {"lat": NaN, "lon": 0}}'),
        ("/api/vens/", '{"name": "x", "location": {"lat": 1e999, "lon": 0}}'),
        ("/api/vens/", '{"name": ' + "[" * 400 + "]" * 400 + "}"),
        ("/api/vens/house/send-event", '{"shedKw": NaN}'),
        ("/api/vens/house/send-event", '{"shedKw": 1, "durationSec": 1e400}'),
        ("/api/vens/house/loads/hvac1/commands/shed", '{"amountKw": Infinity}'),
    ],
)
async def test_a_body_that_is_no_json_or_no_number_is_refused(
    database: Database, path: str, body: str
) -> None:
    await add_house(database)
    async with api(database) as client:
        answer = await client.post(
            path, content=body.encode(), headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]


def cursor(*place: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("path", "forged"),
    [
        ("/api/vens/", cursor("\ud800")),
        ("/api/vens/", cursor("a\0b")),
        ("/api/events/", cursor("0001-01-01T00:00:00+00:00", "x")),
        ("/api/events/", cursor("9999-12-31T23:59:59+00:00", "x")),
        ("/api/vens/house/telemetry", cursor("0001-01-01T00:00:00+14:00", 1, True)),
        ("/api/vens/house/telemetry", cursor("2026-01-01T00:00:00+00:00", 2**70, True)),
        ("/api/vens/house/telemetry", cursor("2026-01-01T00:00:00+00:00", 1, "yes")),
        ("/api/vens/house/circuits/history", cursor("2026-01-01T00:00:00+00:00", 1, 1.5, True)),
        ("/api/vens/", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")),
    ],
)
async def test_a_cursor_that_is_not_ours_is_refused(
    database: Database, path: str, forged: str
) -> None:
    await add_house(database)
    async with api(database) as client:
        answer = await client.get(path, params={"cursor": forged})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", "cursor"])


async def test_a_name_in_a_query_that_a_call_does_not_have_is_refused_with_the_nearest(
    database: Database,
) -> None:
    """Else a slip of the pen is answered with everything there is."""
    await add_house(database)
    slips = {
        "/api/vens/house/telemetry?strat=2026-01-01T00:00:00Z": ("strat", "start"),
        "/api/vens/house/circuits/history?loadId=hvac1": ("loadId", "load_id"),
        "/api/vens/house/circuits/history?load_id=hvac1&Limit=5": ("Limit", "limit"),
        "/api/vens/house/history?from=2026-01-01T00:00:00Z": ("from", "start"),
        "/api/vens/house/events?count=3": ("count", "limit"),
        "/api/vens/?pagesize=3": ("pagesize", "limit"),
        "/api/events/?cursr=x": ("cursr", "cursor"),
        "/api/settlement?moth=2030-06": ("moth", "month"),
        "/api/stats/network?start=2026-01-01T00:00:00Z": ("start", "has none"),
        "/api/alerts/?acknowleged=true": ("acknowleged", ""),
        "/health?verbose=1": ("verbose", "has none"),
        "/api/vens/?%00=1": ("\0", "limit"),
        "/api/vens/?=1": ("", "limit"),
    }
    async with api(database) as client:
        for path, (slip, names) in slips.items():
            answer = await client.get(path)
            assert answer.status_code == 422, (path, answer.text)
            problem = answer.json()["detail"][0]
            assert (problem["type"], problem["loc"]) == ("unknown_field", ["query", slip]), path
            assert names in problem["msg"], (path, problem["msg"])
        posted = await client.post("/api/vens/house/send-event?dry_run=true", json={"shedKw": 1})
        assert (posted.status_code, posted.json()["detail"][0]["loc"][1]) == (422, "dry_run")
        twice = await client.get("/api/vens/house/telemetry?limit=1&limit=2")
        assert twice.json()["detail"][0]["type"] == "duplicate_key"


async def test_what_the_references_clients_ask_for_in_a_query_is_answered(
    database: Database,
) -> None:
    await add_house(database)
    day = "start=2025-10-23T00:00:00Z&end=2025-10-24T00:00:00Z"
    async with api(database) as client:
        for path in (
            "/api/vens/house/circuits/history?limit=10",
            "/api/vens/house/circuits/history?load_id=hvac1&limit=20",
            f"/api/vens/house/circuits/history?{day}",
            f"/api/vens/house/telemetry?{day}&limit=5",
            f"/api/vens/house/history?{day}&granularity=hour",
            f"/api/vens/house/loads/hvac1/history?{day}&granularity=hour",
            f"/api/vens/house/events?{day}&limit=5",
            f"/api/events/history?{day}",
            "/api/vens/?x_trace=7&limit=2",
        ):
            answer = await client.get(path)
            assert answer.status_code == 200, (path, answer.text)
