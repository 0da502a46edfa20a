"""OpenADR 2.0b against openleadr's own VTN: events, opts, reports, faults."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from backend.openadr import operator_side
from backend.openadr.openadr20b_ven import OpenAdr20bVen
from backend.openadr.vtn_link import LINKS
from backend.store.database import Database
from tests.backend.dispatching import Answering, add_vens, dispatching, eventually, rows
from tests.openadr.stage import (
    alerts,
    events,
    in_sec,
    open_events,
    openadr20b_service,
    openadr20b_stage,
    read_20b_message,
    reports,
    vtn_event,
)
from tests.openadr.test_openadr3_reports import add_telemetry
from tests.openadr.vtn20b import running_vtn20b
from tests.support.ports import free_port

pytestmark = pytest.mark.asyncio


async def test_an_event_is_commanded_opted_into_and_restored_when_cancelled(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0, "b": 6.0})
    wire = Answering(database)
    port = free_port()
    async with (
        running_vtn20b(port) as vtn,
        openadr20b_service(database, port) as service,
        dispatching(database, wire) as dispatcher,
    ):
        await service.turn()
        event_id = vtn.event([2])
        await service.turn()
        dispatcher.wake.ring()
        await eventually(lambda: len(wire.sent) == 2)
        assert {sent["venId"]: sent["shed_kw"] for sent in wire.sent} == {"a": 1.0, "b": 3.0}
        await service.turn()
        vtn.cancel(event_id)
        await service.turn()
        dispatcher.wake.ring()
        await eventually(lambda: wire.to("a", "restore") and wire.to("b", "restore"))
        await service.turn()
    assert vtn.opts[0] == (event_id, "optIn")
    assert vtn.registrations == 1
    assert len(wire.sent) == 4
    assert (await vtn_event(database, event_id)).status == "cancelled"


async def test_levels_load_control_and_load_dispatch_ask_for_power(database: Database) -> None:
    async with openadr20b_stage(database, {"a": 2.0, "b": 6.0}) as (vtn, service):
        await service.turn()
        vtn.event([1, 0, 3], start=in_sec(600), duration=timedelta(minutes=5))
        vtn.event(
            [0.75],
            start=in_sec(6000),
            signal_name="LOAD_CONTROL",
            signal_type="x-loadControlCapacity",
        )
        vtn.event([-5], start=in_sec(9000), signal_name="LOAD_DISPATCH", signal_type="delta")
        await service.turn()
    made = await events(database)
    assert [event.requested_reduction_kw for event in made] == [2.0, 9.0, 2.0, 5.0]
    assert made[1].start_time - made[0].start_time == timedelta(minutes=10)


async def test_what_cannot_be_done_is_opted_out_of_with_a_reason(database: Database) -> None:
    said: list[tuple[str, Any]] = []
    async with openadr20b_stage(database, {"a": 2.0}) as (vtn, service):
        await service.turn()
        assert service.ven is not None
        # openleadr's VTN has no EiOpt service: what is said to it is read from the wire.
        service.ven.add_hook("before_send_xml", lambda xml: said.append(read_20b_message(xml)))
        event_id = vtn.event([21], signal_name="CHARGE_STATE", signal_type="setpoint")
        await service.turn()
    assert vtn.opts == [(event_id, "optOut")]
    (opt,) = [payload for kind, payload in said if kind == "oadrCreateOpt"]
    assert opt["opt_type"] == "optOut"
    assert opt["opt_reason"] == "notParticipating"
    assert event_id in str(opt)
    assert await alerts(database) == {"openadr_payload_not_supported"}
    assert await events(database) == []


async def test_after_a_restart_the_event_that_runs_is_known(database: Database) -> None:
    await add_vens(database, {"a": 2.0})
    port = free_port()
    async with running_vtn20b(port) as vtn:
        for number in range(2):
            async with openadr20b_service(database, port) as service:
                await service.turn()
                if number == 0:
                    event_id = vtn.event([3], duration=timedelta(hours=2))
                    await service.turn()
        assert [opt for opt in vtn.opts if opt == (event_id, "optIn")]
        assert vtn.registrations == 2
    assert len(await events(database)) == 1
    (link,) = await rows(database, LINKS)
    assert link.ven_id == "ven-1"


async def test_a_vtn_that_is_away_ends_nothing_and_is_asked_again(database: Database) -> None:
    await add_vens(database, {"a": 2.0})
    port = free_port()
    async with openadr20b_service(database, port, OPENADR_POLL_SEC="0.1") as service:
        async with running_vtn20b(port) as vtn:
            await service.turn()
            event_id = vtn.event([3])
            await service.turn()
            known = vtn.server.events["ven-1"]
        for _ in range(3):
            assert 0 < await service.turn() <= 15
        (link,) = await rows(database, LINKS)
        assert link.problem
        assert link.failures == 3
        assert len(await open_events(database)) == 1
        async with running_vtn20b(port) as vtn:
            vtn.server.events["ven-1"] = known
            await service.turn()
            await service.turn()
            # It may have forgotten us, and the reports that it wanted.
            assert vtn.registrations == 1
            assert len(vtn.offered) == 2
        (link,) = await rows(database, LINKS)
        assert (link.problem, link.failures) == (None, 0)
        assert "oadrPoll" in link.last_problem
    (event,) = await open_events(database)
    assert event_id in event.id


async def test_an_event_that_the_vtn_leaves_out_is_cancelled_by_that(database: Database) -> None:
    """Conformance rules: "implied cancel". A list that came by a poll is not enough for it."""
    async with openadr20b_stage(database, {"a": 2.0}) as (vtn, service):
        await service.turn()
        first = vtn.event([3])
        await service.turn()
        second = vtn.event([2], start=in_sec(7200))
        known = vtn.server.events["ven-1"]
        vtn.server.events["ven-1"] = [e for e in known if e.event_descriptor.event_id == second]
        await service.turn()
        (left,) = await open_events(database)
        assert second in left.id
        assert (await vtn_event(database, first)).status == "cancelled"


def refused_polls(ven: OpenAdr20bVen) -> list[int]:
    """Codes with which the VTN answers the next polls, the last one first."""
    answer, codes = ven.poll, []

    async def poll() -> Any:
        if not codes:
            return await answer()
        ven._refusal = codes.pop(), "Not Registered/Authorized"
        return "oadrResponse", {}

    ven.poll = poll
    return codes


async def test_a_turn_that_the_vtn_refuses_is_tried_again_without_a_new_registration(
    database: Database,
) -> None:
    """Only one that goes on to refuse may mean that it does not know us."""
    async with openadr20b_stage(database, {"a": 2.0}) as (vtn, service):
        await service.turn()
        assert service.ven is not None
        codes = refused_polls(service.ven)
        for _ in range(2):
            codes += [454, 500]
            for _ in range(4):
                await service.turn()
        assert vtn.registrations == 1
        codes += [459, 459, 459]
        for _ in range(5):
            await service.turn()
        assert vtn.registrations == 2
        event_id = vtn.event([3])
        await service.turn()
    assert (event_id, "optIn") in vtn.opts


async def test_a_vtn_that_does_not_know_us_any_more_is_registered_at_again(
    database: Database,
) -> None:
    async with openadr20b_stage(database, {"a": 2.0}) as (vtn, service):
        await service.turn()
        assert service.ven is not None
        codes = refused_polls(service.ven)
        for number, code in ((1, 463), (2, 452)):
            codes.append(code)
            await service.turn()
            (link,) = await rows(database, LINKS)
            assert "Not Registered" in link.problem
            await service.turn()
            assert vtn.registrations == 1 + number
        event_id = vtn.event([3])
        await service.turn()
        await service.turn()
    assert (event_id, "optIn") in vtn.opts


async def test_a_vtn_that_ends_our_registration_is_registered_at_again_and_polled_on(
    database: Database,
) -> None:
    async with openadr20b_stage(database, {"a": 2.0}) as (vtn, service):
        await service.turn()
        assert service.ven is not None
        await service.ven.on_cancel_party_registration(
            {"request_id": "r1", "registration_id": "registration-1", "ven_id": "ven-1"}
        )
        for _ in range(3):
            await service.turn()
        assert vtn.registrations == 2
        event_id = vtn.event([3])
        await service.turn()
    assert (event_id, "optIn") in vtn.opts


async def test_reports_wait_in_the_database_for_a_vtn_that_is_away_and_through_a_restart(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0})
    port = free_port()
    await add_telemetry(database, "a", in_sec(-5), [4.5] * 4000, every_sec=0.05)
    async with openadr20b_service(database, port, OPENADR_POLL_SEC="0.1") as service:
        async with running_vtn20b(port):
            await service.turn()
        await service.turn()

        async def kept() -> bool:
            await service.turn()
            return len(await reports(database)) >= 2

        await eventually(kept)
    waiting = {row.document["request_id"] for row in await reports(database)}
    said: list[tuple[str, Any]] = []
    async with running_vtn20b(port), openadr20b_service(database, port) as service:
        ven = await service._registered()
        ven.add_hook("before_send_xml", lambda xml: said.append(read_20b_message(xml)))
        before = in_sec(0)

        async def sent() -> bool:
            await service.turn()
            return not [row for row in await reports(database) if row.created_at < before]

        await eventually(sent)
    sent_reports = [r for kind, m in said if kind == "oadrUpdateReport" for r in m["reports"]]
    assert waiting <= {report["report_request_id"] for report in sent_reports}


async def test_an_event_that_cannot_be_stored_is_not_answered_and_asked_for_again(
    database: Database,
) -> None:
    async with openadr20b_stage(database, {"a": 2.0}) as (vtn, service):
        await service.turn()
        assert service.ven is not None
        good = service.ven._take

        async def fails(_raw: Any) -> str:
            raise OSError("the disk is gone")

        service.ven._take = fails
        event_id = vtn.event([3])
        await service.turn()
        assert vtn.opts == []
        service.ven._take = good
        await service.turn()
        assert vtn.opts == [(event_id, "optIn")]
    assert len(await events(database)) == 1


async def test_usage_and_status_that_the_vtn_asks_for_are_what_the_store_has(
    database: Database,
) -> None:
    async with openadr20b_stage(database, {"a": 2.0}) as (vtn, service):
        await add_telemetry(database, "a", in_sec(-5), [4.5] * 4000, every_sec=0.05)
        await service.turn()
        assert vtn.offered == ["a RealPower kW", "a Status NoneNone"]

        async def arrived() -> bool:
            await service.turn()
            await asyncio.sleep(0.1)
            return bool(vtn.measured and vtn.states)

        await eventually(arrived)
    resource, _at, value = vtn.measured[0]
    assert (resource, value) == ("a", 4.5)
    assert vtn.states[0] == ("a", 1.0)


async def test_an_event_that_an_operator_ends_is_opted_out_of_and_an_older_one_is_ignored(
    database: Database,
) -> None:
    said: list[tuple[str, Any]] = []
    async with openadr20b_stage(database, {"a": 2.0}) as (vtn, service):
        await service.turn()
        assert service.ven is not None
        service.ven.add_hook("before_send_xml", lambda xml: said.append(read_20b_message(xml)))
        event_id = vtn.event([3])
        await service.turn()
        (event,) = await events(database)
        async with database.engine.begin() as connection:
            await operator_side.cancel_operator_event(connection, event.id, "stopped")
        await service.turn()
        await service.turn()
        opts = [payload for kind, payload in said if kind == "oadrCreateOpt"]
        assert [opt["opt_reason"] for opt in opts] == ["overrideStatus"]
        vtn.server.events["ven-1"][0].event_descriptor.modification_number = 4
        vtn.server.events_updated["ven-1"] = True
        await service.turn()
        vtn.server.events["ven-1"][0].event_descriptor.modification_number = 2
        vtn.server.events_updated["ven-1"] = True
        await service.turn()
    assert (await vtn_event(database, event_id)).stamp == "4"
    assert await open_events(database) == []
