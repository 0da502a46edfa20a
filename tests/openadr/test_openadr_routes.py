"""What console and API tell of VTNs."""

from __future__ import annotations

import pytest

from backend.store.database import Database
from tests.backend.api_client import api
from tests.backend.dispatching import add_vens
from tests.openadr import vtn3
from tests.openadr.stage import hurry, service_for

pytestmark = pytest.mark.asyncio


async def test_the_api_tells_how_a_vtn_fares_and_what_became_of_its_events(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0})
    async with api(database) as client:
        empty = (await client.get("/api/openadr/")).json()
        assert empty == {"links": [], "events": [], "reportsWaiting": 0, "reportsGivenUp": 0}
        with vtn3.running() as vtn:
            asked = [{"payloadType": "USAGE"}]
            vtn.event("e1", kws=[-1.0], eventName="Tuesday", reportDescriptors=asked)
            cannot = vtn3.event_body()
            cannot["intervals"][0]["payloads"] = [{"type": "CURVE", "values": [7]}]
            vtn.add("events", cannot, object_id="e2")
            async with service_for(database, vtn.url) as service:
                await service.turn()
                well = (await client.get("/api/openadr/")).json()
                vtn.faults = [503]
                hurry(service)
                await service.turn()
                failing = (await client.get("/api/openadr/")).json()["links"][0]
                hurry(service)
                await service.turn()
                again = (await client.get("/api/openadr/")).json()["links"][0]
            stopped = (await client.get("/api/openadr/")).json()["links"][0]
    (link,) = well["links"]
    assert (link["state"], link["problem"], link["version"]) == ("ok", None, "3.1")
    assert link["lastContactAt"]
    assert link["tokenExpiresAt"] > link["lastContactAt"]
    assert link["programs"] == [{"id": "p1", "name": "shed"}]
    assert (link["notifications"], link["venId"]) == ("polling", "ven-4")
    events = {event["id"]: event for event in well["events"]}
    assert (events["e1"]["name"], events["e1"]["opt"], events["e1"]["status"]) == (
        *("Tuesday", "in", "open"),
    )
    (ours,) = events["e1"]["eventIds"]
    assert ours.startswith("openadr-e1-")
    assert events["e2"]["opt"] == "out"
    assert events["e2"]["problems"][0]["code"] == "payload_not_supported"
    assert (failing["state"], failing["failures"]) == ("failing", 1)
    assert "503" in failing["problem"]
    assert (again["state"], again["problem"], again["failures"]) == ("ok", None, 0)
    assert "503" in again["lastProblem"]
    assert stopped["state"] == "stopped"
