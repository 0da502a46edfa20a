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
