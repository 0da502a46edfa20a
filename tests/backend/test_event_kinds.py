"""Limits, load-ups, intervals, tests and dry runs on the operator's side: REST to the wire.

Whatever is sent must be a command that the reader of a VEN takes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from backend.config.dispatch_settings import DispatchSettings
from backend.dispatch.new_event import (
    UNTIL_FURTHER_NOTICE,
    NewEvent,
    NewEventInvalid,
    checked_new_event,
)
from backend.dispatch.new_event import create_new_event as make_event
from backend.dispatch.shed_allocation import ShedAllocationDraw, allocate_shed_under_limit
from backend.store.database import Database
from backend.store.tables import EVENTS, PARTICIPANTS
from backend.store.utc_time import utc_now
from VenAgent.contract.command_limits import CommandLimits
from VenAgent.contract.command_reader import read_command
from VenAgent.contract.commands import CommandFeature
from VenAgent.contract.op import Op

from .api_client import add_house, api
from .dispatching import (
    Wire,
    acknowledge,
    add_event,
    add_vens,
    dispatching,
    eventually,
    participants,
    quick,
    rows,
    set_online,
    set_state,
)

asynchronous = pytest.mark.asyncio
SITE = CommandLimits(max_shed_kw=1_000.0, supported=frozenset(CommandFeature))
SHORT_SITE = replace(SITE, max_duration_sec=600.0)
MINUTES = timedelta(minutes=1)


def of_sites(wire: Wire) -> dict[str, dict[str, Any]]:
    """What each site was told to begin, as its reader takes it."""
    for sent in wire.sent:
        read_command(json.dumps(sent), ven_id=sent["venId"], limits=SITE, now=utc_now().timestamp())
    return {sent["venId"]: sent for sent in wire.sent if sent["op"] != "restore"}


@asynchronous
async def test_a_limit_is_divided_by_what_the_sites_draw(database: Database) -> None:
    await add_vens(database, {"big": 2.0, "small": 2.0})
    await add_vens(database, {"away": 2.0}, status="offline")
    await set_state(database, "big", used_power_kw=30.0)
    await set_state(database, "small", used_power_kw=10.0)
    wire = Wire()
    body = {"kind": "limit", "importKw": 20, "durationSec": 600, "windowSec": 60, "id": "l1"}
    async with api(database, wire) as client:
        made = await client.post("/api/events/", json=body)
        assert made.status_code == 201, made.text
        await eventually(lambda: len(wire.sent) == 2)
        shown = (await client.get("/api/events/l1")).json()
        await client.post("/api/events/l1/stop")
        await eventually(lambda: len(wire.sent) == 4)
    told = of_sites(wire)
    assert {ven_id: sent["import_kw"] for ven_id, sent in told.items()} == {"big": 15, "small": 5}
    assert {sent["op"] for sent in told.values()} == {"limit"}
    assert told["big"]["window_sec"] == 60
    assert "shed_kw" not in told["big"]
    assert (shown["kind"], shown["importKw"], shown["requestedReductionKw"]) == ("limit", 20, 0)
    assert {ven["venId"]: ven["assignedLimitKw"] for ven in shown["vens"]} == {
        "big": 15,
        "small": 5,
    }
    assert [sent["op"] for sent in wire.to("big", "restore")] == ["restore"]


@asynchronous
async def test_a_limit_of_each_site_holds_until_it_is_stopped_and_newcomers_get_it(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0})
    await add_vens(database, {"late": 2.0}, status="offline")
    wire = Wire()
    async with api(database, wire, dispatch=quick(follow_interval_sec=0.2)) as client:
        body = {"kind": "limit", "importKw": 4.2, "limitPerSite": True, "id": "l1"}
        made = (await client.post("/api/events/", json=body)).json()
        await eventually(lambda: wire.to("a", "limit"))
        await set_online(database, "late")
        await set_state(database, "late")
        await eventually(lambda: wire.to("late", "limit"))
    told = of_sites(wire)
    assert {sent["import_kw"] for sent in told.values()} == {4.2}
    assert not {"end_ts", "duration_sec"} & set(told["a"])  # until further notice
    assert made["openEnded"] is True
    assert await participants(database, "l1") == {"a": "commanded", "late": "commanded"}


@asynchronous
async def test_a_site_under_a_limit_can_shed_as_well(database: Database) -> None:
    await add_vens(database, {"a": 4.0})
    wire = Wire()
    async with api(database, wire) as client:
        limit = {"kind": "limit", "importKw": 8}
        sent = await client.post("/api/vens/a/send-event", json={**limit, "eventId": "limit"})
        assert sent.json()["payload"]["import_kw"] == 8
        shed = await client.post("/api/vens/a/send-event", json={"shedKw": 2, "eventId": "shed"})
        assert shed.status_code == 200
        again = await client.post("/api/vens/a/send-event", json={**limit, "eventId": "tighter"})
        busy = await client.post("/api/vens/a/send-event", json={"shedKw": 1})
    assert again.status_code == 200
    assert busy.status_code == 409
    of_sites(wire)


@asynchronous
async def test_intervals_are_scaled_to_each_share(database: Database) -> None:
    await add_vens(database, {"a": 2.0, "b": 6.0})
    wire = Wire()
    levels = [{"durationSec": 300, "shedKw": 2}, {"durationSec": 300, "shedKw": 4}]
    async with api(database, wire) as client:
        made = await client.post("/api/events/", json={"intervals": levels, "id": "e1"})
        assert made.json()["requestedReductionKw"] == 4
        await eventually(lambda: len(wire.sent) == 2)
    told = of_sites(wire)
    assert told["b"]["shed_kw"] == 3
    assert told["b"]["intervals"] == [
        {"duration_sec": 300, "shed_kw": 1.5},
        {"duration_sec": 300, "shed_kw": 3.0},
    ]
    assert told["b"]["end_ts"] - told["b"]["start_ts"] == 600
    assert made.json()["intervals"][1]["shedKw"] == 4


@asynchronous
async def test_intervals_are_balanced_by_what_the_present_one_asks(database: Database) -> None:
    await add_vens(database, {"weak": 4.0, "strong": 8.0, "full": 4.0})
    await add_vens(database, {"late": 1.0}, status="offline")
    wire = Wire()
    settings = quick(follow_interval_sec=0.2, settle_sec=1.0, most_modifications=1)
    levels = [{"durationSec": 300, "shedKw": 4}, {"durationSec": 300, "shedKw": 8}]
    async with api(database, wire, dispatch=settings) as client:
        await client.post("/api/events/", json={"intervals": levels, "id": "e1"})
        await eventually(lambda: len(wire.sent) == 3)
        await acknowledge(database, wire.sent)
        # Half of the highest is asked now: 1, 2 and 1 kW, of which one VEN brings nothing.
        for ven_id, shed_kw, more_kw in (("strong", 2, 2.5), ("full", 1, 0), ("weak", 0, 0)):
            state = {"shed_power_kw": shed_kw, "shed_available_kw": more_kw, "event_id": "e1"}
            await set_state(database, ven_id, **state)
        await eventually(lambda: len(wire.to("strong")) == 2)
        first, second = wire.to("strong")
        await set_online(database, "late")
        await set_state(database, "strong", shed_power_kw=2.0, shed_available_kw=2.5)
        await eventually(lambda: wire.to("late"))
    of_sites(wire)
    assert [level["shed_kw"] for level in first["intervals"]] == [2.0, 4.0]
    # What is short now is asked of it; at the highest no more than it can shed.
    assert [level["shed_kw"] for level in second["intervals"]] == [2.25, 4.5]
    assert (second["modification"], second["end_ts"]) == (1, first["end_ts"])
    assert wire.to("late")[0]["intervals"][1]["shed_kw"] == 1.0
    assert [len(wire.to(ven_id)) for ven_id in ("weak", "full")] == [1, 1]


@asynchronous
async def test_a_load_up_asks_for_what_sites_were_seen_to_draw(database: Database) -> None:
    await add_vens(database, {"a": 0.0, "full": 5.0})
    await set_state(database, "a", used_power_kw=4.0, highest_power_kw=9.0)
    await set_state(database, "full", used_power_kw=9.0, highest_power_kw=9.0)
    wire = Wire()
    async with api(database, wire) as client:
        body = {"kind": "loadUp", "raiseKw": 3, "durationSec": 600, "id": "up"}
        await client.post("/api/events/", json=body)
        await eventually(lambda: wire.sent)
        shown = (await client.get("/api/events/up")).json()
    told = of_sites(wire)
    assert {ven_id: sent["raise_kw"] for ven_id, sent in told.items()} == {"a": 3}
    assert told["a"]["op"] == "loadUp"
    assert shown["requestedReductionKw"] == -3
    assert shown["vens"][0]["assignedShedKw"] == -3


@asynchronous
async def test_what_a_site_that_refuses_a_load_up_was_to_draw_is_asked_of_others(
    database: Database,
) -> None:
    await add_vens(database, {"a": 0.0, "b": 0.0})
    for ven_id in ("a", "b"):
        await set_state(database, ven_id, used_power_kw=4.0, highest_power_kw=6.0)
    wire = Wire()
    settings = quick(follow_interval_sec=0.2, settle_sec=1.0)
    async with dispatching(database, wire, settings) as dispatcher:
        await add_event(database, -4.0, kind="loadUp", dispatcher=dispatcher)
        await eventually(lambda: len(wire.sent) == 2)
        # By telemetry they draw what they drew; those that agreed keep their share all the same.
        await add_vens(database, {"c": 0.0, "d": 0.0})
        await set_state(database, "c", used_power_kw=1.0, highest_power_kw=8.0)
        await set_state(database, "d", used_power_kw=8.0, highest_power_kw=8.0)
        await acknowledge(database, wire.to("a", "loadUp"))
        await acknowledge(database, wire.to("b", "loadUp"), "opted_out")
        await eventually(lambda: wire.to("c", "loadUp"))
        await followed_again(database, settings)
    assert [len(wire.to(ven_id, "loadUp")) for ven_id in "abcd"] == [1, 1, 1, 0]
    assert wire.to("c", "loadUp")[0]["raise_kw"] == 2.0


async def followed_again(database: Database, settings: DispatchSettings) -> None:
    (event,) = await rows(database, EVENTS)
    later = event.claimed_until + timedelta(seconds=settings.follow_interval_sec)

    async def is_later() -> bool:
        (now,) = await rows(database, EVENTS)
        return bool(now.claimed_until > later)

    await eventually(is_later)


@asynchronous
async def test_a_test_and_a_dry_run_say_so_and_a_dry_run_takes_nobody_away(
    database: Database,
) -> None:
    await add_vens(database, {"a": 4.0})
    wire = Wire()
    async with api(database, wire) as client:
        body = {"requestedReductionKw": 2, "durationSec": 600, "dryRun": True, "id": "dry"}
        await client.post("/api/events/", json=body)
        await eventually(lambda: wire.sent)
        await acknowledge(database, wire.sent)
        for seconds in (600, 3600):
            drawn = {"randomizeStartSec": seconds, "id": f"drawn{seconds}"}
            answer = await client.post("/api/events/", json={**body, **drawn})
            assert answer.status_code == 422
            assert "shorter than the event" in answer.text
        real = {"shedKw": 2, "test": True, "randomizeStartSec": 60, "eventId": "real"}
        assert (await client.post("/api/vens/a/send-event", json=real)).status_code == 200
        listed = (await client.get("/api/events/")).json()
    of_sites(wire)
    dry, test = wire.to("a")
    assert (dry["dry_run"], "test" in dry) == (True, False)
    assert (test["test"], test["randomize_start_sec"]) == (True, 60)
    assert {event["id"]: (event["test"], event["dryRun"]) for event in listed} == {
        "dry": (False, True),
        "real": (True, False),
    }


@asynchronous
async def test_a_duration_of_0_holds_until_it_is_stopped_and_a_day_at_most(
    database: Database,
) -> None:
    """The sites are told no end, for each has a longest of its own; the backend's is 24 hours."""
    await add_vens(database, dict.fromkeys(("a", "b", "d"), 4.0))
    await add_house(database)
    wire = Wire()
    shed = {"id": "e1", "requestedReductionKw": 2, "durationSec": 0, "venIds": ["a"]}
    async with api(database, wire) as client:
        made = await client.post("/api/events/", json=shed)
        assert made.status_code == 201, made.text
        answers = [
            await client.post("/api/vens/b/send-event", json={"shedKw": 1, "durationSec": "PT0S"}),
            await client.post(
                "/api/vens/house/loads/heater1/commands/shed",
                json={"amountKw": 1, "durationSec": 0},
            ),
            await client.post(
                "/api/vens/d/send-event", json={"kind": "loadUp", "raiseKw": 1, "durationSec": 0}
            ),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 200], answers
        await eventually(lambda: len(wire.sent) == 4)
        told = of_sites(wire)
        shown = (await client.get("/api/events/e1")).json()
        assert (await client.post("/api/events/e1/stop")).status_code == 200
        await eventually(lambda: wire.to("a", "restore"))
        limit = {"kind": "limit", "importKw": 9, "durationSec": 0, "eventId": "until-notice"}
        assert (await client.post("/api/vens/a/send-event", json=limit)).status_code == 200
        unended = (await client.get("/api/events/until-notice")).json()
    assert {ven_id: sent["op"] for ven_id, sent in told.items()} == {
        "a": "event",
        "b": "event",
        "house": "shedLoad",
        "d": "loadUp",
    }
    for sent in told.values():
        assert sent["duration_sec"] == 0
        assert "end_ts" not in sent
        read_command(
            json.dumps(sent), ven_id=sent["venId"], limits=SHORT_SITE, now=sent["issued_ts"]
        )
    assert shown["openEnded"] is True
    lasts = datetime.fromisoformat(shown["endTime"]) - datetime.fromisoformat(shown["startTime"])
    assert lasts == timedelta(hours=24)
    assert unended["endTime"].startswith("2199")
    assert not {"end_ts", "duration_sec"} & set(wire.to("a", "limit")[0])


@asynchronous
async def test_what_lasts_until_it_is_stopped_ends_after_a_day_and_its_changes_move_no_end(
    database: Database,
) -> None:
    await add_vens(database, {"a": 4.0, "b": 4.0})
    wire = Wire()
    body = {"id": "e1", "requestedReductionKw": 4, "durationSec": 0}
    # Changed once: a second change may take the place of the first before that is published.
    settings = quick(follow_interval_sec=0.2, most_modifications=1)
    async with api(database, wire, dispatch=settings) as client:
        assert (await client.post("/api/events/", json=body)).status_code == 201
        await eventually(lambda: len(wire.sent) == 2)
        await acknowledge(database, wire.to("b", "event"), "rejected")
        await acknowledge(database, wire.to("a", "event"))
        await set_state(database, "a", shed_power_kw=2.0, shed_available_kw=2.5, event_id="e1")
        await eventually(lambda: len(wire.to("a", "event")) > 1)
        first, changed = wire.to("a", "event")[:2]
        assert changed["start_ts"] == first["start_ts"]  # where a site's own longest counts from
        assert (changed["duration_sec"], changed["modification"]) == (0, 1)
        async with database.engine.begin() as connection:
            await connection.execute(EVENTS.update().values(end_time=utc_now()))
        await eventually(lambda: wire.to("a", "restore"))
        shown = (await client.get("/api/events/e1")).json()
    assert (shown["status"], shown["endReason"]) == ("completed", "end")


@asynchronous
async def test_what_contradicts_a_duration_of_0_is_refused(database: Database) -> None:
    await add_vens(database, {"a": 4.0})
    shed = {"requestedReductionKw": 2, "durationSec": 0}
    levels = [{"durationSec": 60, "shedKw": 2}]
    end = (utc_now() + 10 * MINUTES).isoformat()
    async with api(database) as client:
        for bad, word in (
            ({**shed, "endTime": end}, "one of them"),
            ({"intervals": levels, "durationSec": 0}, "the intervals say"),
            ({**shed, "durationSec": 0.5}, "until it is stopped"),
            ({**shed, "durationSec": -1}, "greater than or equal to 0"),
        ):
            answer = await client.post("/api/events/", json=bad)
            assert answer.status_code == 422, (bad, answer.text)
            assert word in answer.text
        sent = {"intervals": levels, "durationSec": 0}
        assert (await client.post("/api/vens/a/send-event", json=sent)).status_code == 422


@asynchronous
async def test_rest_refuses_by_name_what_a_kind_has_no_use_for(database: Database) -> None:
    refused = {
        "importKw": {"requestedReductionKw": 2, "importKw": 4, "durationSec": 60},
        "requestedReductionKw": {"kind": "limit", "requestedReductionKw": 2, "importKw": 4},
        "raiseKw": {"kind": "loadUp", "durationSec": 60},
        "intervals": {
            "kind": "limit",
            "intervals": [{"durationSec": 60, "shedKw": 2}],
        },
    }
    async with api(database) as client:
        for field, body in refused.items():
            answer = await client.post("/api/events/", json=body)
            assert answer.status_code == 422, (field, answer.text)
            assert answer.json()["detail"][0]["loc"][-1] == field
        unended = await client.post("/api/events/", json={"kind": "loadUp", "raiseKw": 2})
        sent = await client.post("/api/vens/house/send-event", json={"kind": "shed"})
    assert unended.status_code == sent.status_code == 422


def test_an_event_is_checked_before_it_is_made() -> None:
    now = utc_now()
    shed = NewEvent(start=now, end=now + 10 * MINUTES, requested_reduction_kw=5.0)
    levels = ({"duration_sec": 300.0, "shed_kw": 5.0}, {"duration_sec": 300.0, "shed_kw": 1.0})
    assert checked_new_event(
        replace(shed, requested_reduction_kw=None, intervals=levels)
    ) == replace(shed, intervals=levels)
    limit = NewEvent(kind=Op.LIMIT, start=now, end=UNTIL_FURTHER_NOTICE, export_kw=0.0)
    assert checked_new_event(limit).requested_reduction_kw == 0.0
    for bad, field in (
        (replace(shed, requested_reduction_kw=0.0), "requested_reduction_kw"),
        (replace(shed, requested_reduction_kw=4.0, intervals=levels), "requested_reduction_kw"),
        (replace(shed, end=now + 11 * MINUTES, intervals=levels), "intervals"),
        (replace(shed, end=UNTIL_FURTHER_NOTICE), "end"),
        (replace(shed, end=now + timedelta(hours=25), until_stopped=True), "end"),
        (replace(shed, intervals=levels, until_stopped=True), "until_stopped"),
        (replace(limit, until_stopped=True), "until_stopped"),
        (replace(shed, kind=Op.PING), "kind"),
        (replace(limit, import_kw=-1.0), "import_kw"),
        (replace(limit, export_kw=None), "import_kw"),
    ):
        with pytest.raises(NewEventInvalid) as refused:
            checked_new_event(bad)
        assert refused.value.field == field


def test_a_limit_is_divided_to_the_watt() -> None:
    draws = [
        ShedAllocationDraw("idle", 0.0, 10.0),  # counts as 1 kW
        ShedAllocationDraw("feeds-in", -5.0, 20.0),  # as 2 kW
        ShedAllocationDraw("draws", 3.0, 10.0),
        ShedAllocationDraw("unknown", None),  # as the mean of these
    ]
    assert allocate_shed_under_limit(8.0, draws) == {
        "idle": 1,
        "feeds-in": 2,
        "draws": 3,
        "unknown": 2,
    }
    parts = allocate_shed_under_limit(10.0, [ShedAllocationDraw(name, 1.0) for name in "abc"])
    assert sum(parts.values()) == pytest.approx(10.0, abs=1e-9)
    assert allocate_shed_under_limit(5.0, []) == {}


@asynchronous
async def test_another_program_makes_a_limit_by_the_same_function(database: Database) -> None:
    """As backend.openadr does for IMPORT_CAPACITY_LIMIT."""
    await add_vens(database, {"a": 2.0})
    wire, now = Wire(), utc_now()
    async with dispatching(database, wire) as dispatcher:
        async with database.engine.begin() as connection:
            await make_event(
                connection,
                NewEvent(
                    kind=Op.LIMIT,
                    import_kw=7.0,
                    start=now,
                    end=now + MINUTES,
                    ven_ids=["a"],
                    event_id="capacity",
                ),
            )
        dispatcher.wake.ring()
        await eventually(lambda: wire.to("a", "limit"))
    assert of_sites(wire)["a"]["import_kw"] == 7.0
    (event,) = await rows(database, EVENTS)
    assert (event.kind, event.open_ended) == ("limit", False)
    (part,) = await rows(database, PARTICIPANTS)
    assert (part.assigned_limit_kw, part.assigned_shed_kw) == (7.0, 0.0)
