"""A choice of sites that came out empty is nobody's; what is no number or no time is none at any
field, query or path of the API.

The models and the API's own document are walked, so that a field that comes later is tried too.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from backend.api import request_bodies
from backend.api.request_bodies import NewEventBody, RequestBody
from backend.dispatch.new_event import NewEvent, NewEventInvalid, checked_new_event
from backend.store.database import Database
from backend.store.programme_tables import ProgrammeRow, VenGroupRow
from backend.store.tables import EVENTS
from backend.store.utc_time import utc_now

from .api_client import add_house, api
from .dispatching import Wire, rows

NO_NUMBERS = (True, "1_0", "٣", "\uff13", "0x5", "NaN", "", " ")
KW = {"requestedReductionKw": 1, "durationSec": 60}
NOBODY: tuple[dict[str, Any], ...] = (
    *({"selection": nobody} for nobody in (None, {}, {"tags": []}, {"tags": None})),
    *({"selection": {name: []}} for name in ("feeders", "zones", "groups")),
    {"selection": {"tags": ["here"], "groups": None}},
)


def _bodies() -> list[type[BaseModel]]:
    found = [each for each in vars(request_bodies).values() if isinstance(each, type)]
    return [each for each in found if issubclass(each, RequestBody) and each is not RequestBody]


def _number_kinds(schema: dict[str, Any]) -> set[str]:
    """What of numbers a field may hold: by itself, or each in a list."""
    kinds = {"plain" for each in (schema, *schema.get("anyOf", ())) if _is_number(each)}
    listed = (each.get("items", {}) for each in (schema, *schema.get("anyOf", ())))
    return kinds | {"list" for each in listed if _is_number(each)}


def _is_number(schema: dict[str, Any]) -> bool:
    return schema.get("type") in ("integer", "number")


def test_what_is_no_number_is_refused_in_each_field_of_each_body() -> None:
    tried = 0
    for body in _bodies():
        for name, schema in body.model_json_schema()["properties"].items():
            for kind in _number_kinds(schema):
                for bad in NO_NUMBERS:
                    value = bad if kind == "plain" else [bad]
                    with pytest.raises(ValidationError) as refused:
                        body.model_validate({name: value})
                    places = {str(error["loc"][0]) for error in refused.value.errors()}
                    assert name in places, (body.__name__, name, bad)
                    tried += 1
    assert tried > 150


def test_a_power_below_a_watt_is_refused_in_each_field_of_each_body() -> None:
    tried = 0
    for body in _bodies():
        for name in body.model_json_schema()["properties"]:
            if name.endswith("Kw"):
                for bad in (1e-320, 0.0001, "0.0009"):
                    with pytest.raises(ValidationError) as refused:
                        body.model_validate({name: bad})
                    told = {str(e["loc"][0]): str(e["msg"]) for e in refused.value.errors()}
                    assert "less than one watt" in told[name], (body.__name__, name, bad)
                    tried += 1
    assert tried > 30


def test_an_event_whose_selection_names_nobody_is_none() -> None:
    now = utc_now()
    new = NewEvent(start=now, end=now + timedelta(hours=1), requested_reduction_kw=1.0)
    for nobody in ({}, {"tags": []}, {"groups": {}}):
        with pytest.raises(NewEventInvalid, match="names nobody"):
            checked_new_event(NewEvent(**{**vars(new), "selection": nobody}))


@pytest.mark.parametrize(
    "text", ["1796060447", "1.8e9", 1_960_000_000, True, "٢٠٢٧-01-01T00:00:00Z"]
)
def test_a_number_is_no_time(text: Any) -> None:
    with pytest.raises(ValidationError, match="ISO 8601"):
        NewEventBody.model_validate({**KW, "startTime": text})


@pytest.mark.asyncio
async def test_a_choice_that_came_out_empty_is_never_the_fleet(database: Database) -> None:
    await add_house(database)
    programme = {"name": "p", "powerKw": 1}
    group = {"name": "g", "tags": ["here"]}
    doors: list[tuple[str, dict[str, Any]]] = []
    for nobody in (*NOBODY, {"venIds": None}, {"venIds": []}, {"programmeId": None}):
        doors += [("/api/events/", {**KW, **nobody}), ("/api/events/preview", {**KW, **nobody})]
    doors += [("/api/programmes/", {**programme, **nobody}) for nobody in NOBODY]
    for name in ("tags", "feeders", "zones", "venIds"):
        doors += [("/api/groups/", {**group, name: nobody}) for nobody in (None, [])]
    async with api(database, Wire()) as client:
        for path, body in doors:
            answer = await client.post(path, json=body)
            assert answer.status_code == 422, (path, body, answer.text)
            assert "names nobody" in answer.text, (path, body)
        made = await client.post("/api/programmes/", json={**programme, "id": "p"})
        assert made.status_code == 201, made.text
        put = await client.put("/api/programmes/p", json={**programme, "selection": {"tags": []}})
        assert put.status_code == 422, put.text
    assert not await rows(database, EVENTS)
    assert not await rows(database, VenGroupRow.__table__)
    (stored,) = await rows(database, ProgrammeRow.__table__)
    assert stored.selection is None


@pytest.mark.asyncio
async def test_what_is_no_number_is_refused_in_each_query_and_path(database: Database) -> None:
    await add_house(database)
    tried = set()
    async with api(database, Wire()) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        for path, calls in paths.items():
            for parameter in calls.get("get", {}).get("parameters", ()):
                if not _number_kinds(parameter["schema"]):
                    continue
                place, name = parameter["in"], parameter["name"]
                for bad in ("1_0", "٣", "true"):
                    url = path.replace("{ven_id}", "house")
                    if place == "path":
                        url = url.replace(f"{{{name}}}", bad)
                    query = {name: bad} if place == "query" else {}
                    answer = await client.get(url, params=query)
                    assert answer.status_code == 422, (url, query, answer.text)
                    assert answer.json()["detail"][0]["loc"] == [place, name], (url, query)
                    tried.add((path, name))
    assert {("/api/vens/", "limit"), ("/api/alerts/{alert_id}", "alert_id")} < tried


@pytest.mark.asyncio
async def test_a_start_that_is_too_far_ahead_is_refused(database: Database) -> None:
    """As the agents do (`event.max_ahead_sec`): a slip in the year is not kept for years."""
    await add_house(database)
    now = utc_now()
    async with api(database, Wire()) as client:
        for path in ("/api/events/", "/api/events/preview"):
            far = {**KW, "startTime": (now + timedelta(days=30, minutes=5)).isoformat()}
            answer = await client.post(path, json=far)
            assert answer.status_code == 422, answer.text
            assert answer.json()["detail"][0]["loc"] == ["body", "startTime"]
            assert "30 days" in answer.text
        near = {**KW, "startTime": (now + timedelta(days=29, hours=23)).isoformat()}
        assert (await client.post("/api/events/", json=near)).status_code == 201


@pytest.mark.asyncio
async def test_a_vens_thing_name_is_its_own_and_a_change_changes_something(
    database: Database,
) -> None:
    await add_house(database)
    await add_house(database, "house2")
    async with api(database, Wire()) as client:

        async def status_of(body: dict[str, Any], ven_id: str = "house") -> int:
            return (await client.patch(f"/api/vens/{ven_id}", json=body)).status_code

        assert await status_of({"registrationId": "house2"}) == 409
        # Commands go to the id, and telemetry under another name would be another VEN's.
        assert await status_of({"registrationId": "thing-1"}) == 422
        assert await status_of({"registrationId": "house"}) == 200
        for nothing in ({}, {"trusted": None}, {"registrationId": None}, {"name": None}):
            assert await status_of(nothing) == 422, nothing
        assert await status_of({"feeder": None}) == 200  # takes it back
