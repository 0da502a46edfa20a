"""Two changes of one thing at the same moment, and names that are taken: told as such, or no matter
at all; never a server's error."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from backend.ingest.batch_storage import register_batch_vens
from backend.store.database import Database
from backend.store.tables import VENS
from backend.store.utc_time import utc_now

from .api_client import add_house, api
from .dispatching import rows

pytestmark = pytest.mark.asyncio
AT_ONCE = 8


async def _codes(*calls: Any) -> Counter[int]:
    answers: list[httpx.Response] = await asyncio.gather(*calls)
    return Counter(answer.status_code for answer in answers)


async def test_what_is_written_by_many_at_once_is_there_once(database: Database) -> None:
    await add_house(database, "house", samples=1)
    programme = {"id": "p", "name": "Evenings", "powerKw": 2}
    event = {"id": "e", "requestedReductionKw": 1, "durationSec": 60}
    async with api(database) as client:
        for number in range(3):
            name = f"v{number}"
            ven = {"name": "Maple", "registrationId": name}
            made = await _codes(*(client.post("/api/vens/", json=ven) for _ in range(AT_ONCE)))
            assert made == {201: 1, 200: AT_ONCE - 1}
            group = {"name": name, "tags": ["t"]}
            set_ = await _codes(*(client.post("/api/groups/", json=group) for _ in range(AT_ONCE)))
            assert set_ == {201: AT_ONCE}
        capacity = await _codes(
            *(
                client.patch("/api/vens/house/loads/hvac1", json={"capacityKw": kw})
                for kw in range(1, 1 + AT_ONCE)
            )
        )
        assert capacity == {200: AT_ONCE}
        for path, body in (
            ("/api/programmes/", programme),
            ("/api/events/", event),
            ("/api/accounts/keys", {"name": "k", "role": "read"}),
        ):
            made = await _codes(*(client.post(path, json=body) for _ in range(AT_ONCE)))
            assert made == {201: 1, 409: AT_ONCE - 1}, path
        gone = await _codes(
            client.put("/api/programmes/p", json=programme),
            client.delete("/api/programmes/p"),
            client.put("/api/programmes/p", json=programme),
        )
        assert gone.keys() <= {200, 204, 404}
        groups = (await client.get("/api/groups/")).json()
    assert [group["name"] for group in groups] == ["v0", "v1", "v2"]


async def test_a_registration_id_that_another_ven_has_is_refused_by_name(
    database: Database,
) -> None:
    async with api(database) as client:
        for name in ("a", "b"):
            await client.post("/api/vens/", json={"name": name, "registrationId": name})
        taken = await client.patch("/api/vens/a", json={"registrationId": "b"})
        moved = await client.patch("/api/vens/a", json={"registrationId": "c"})
        async with database.engine.begin() as connection:  # as versions before took it
            await connection.execute(
                update(VENS).where(VENS.c.id == "a").values(registration_id="c")
            )
        again = await client.post("/api/vens/", json={"name": "c", "registrationId": "c"})
    assert (taken.status_code, moved.status_code, again.status_code) == (409, 422, 409)
    assert "'b' is another VEN's" in taken.json()["detail"]
    assert "register 'c' as a VEN of its own" in moved.json()["detail"][0]["msg"]
    # A VEN of that name that sends telemetry is known all the same, and its batch is stored.
    async with database.engine.begin() as connection:
        await register_batch_vens(connection, {"c", "d"}, utc_now())
    found = {row.id: row.registration_id for row in await rows(database, VENS)}
    assert found == {"a": "c", "b": "b", "c": None, "d": "d"}
