"""OpenADR 2.0b against openleadr's own VTN: what a VTN may send beside a single plain event."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from backend.openadr.openadr20b_event_reader import read_openadr20b_event
from backend.openadr.schedule import schedule_vens
from backend.store.database import Database
from tests.backend.dispatching import eventually
from tests.openadr.stage import (
    alerts,
    events,
    in_sec,
    open_events,
    openadr20b_stage,
    read_20b_message,
    vtn_event,
)
from tests.openadr.vtn20b import Vtn20b

pytestmark = pytest.mark.asyncio


def answer_next_poll(vtn: Vtn20b, kind: str, **payload: Any) -> None:
    """The VTN answers the next oadrPoll with this, and then as before."""
    poll = vtn.server.services["poll_service"]

    def answer(ven_id: str) -> tuple[str, dict[str, Any]]:
        poll.polling_method = "internal"
        return kind, {"ven_id": ven_id, "request_id": "request-1", **payload}

    poll.on_poll, poll.polling_method = answer, "external"


async def _acknowledged(_payload: Any) -> tuple[str, dict[str, Any]]:
    return "oadrResponse", {}


async def test_several_events_of_one_message_are_each_done_or_refused_for_itself(
    database: Database,
) -> None:
    said: list[tuple[str, Any]] = []
    async with openadr20b_stage(database, {"a": 2.0, "b": 6.0}) as (vtn, service):
        await service.turn()
        assert service.ven is not None
        service.ven.add_hook("before_send_xml", lambda xml: said.append(read_20b_message(xml)))
        hour = timedelta(hours=1)
        one = vtn.event([3], start=in_sec(600), market_context="https://one.example")
        test = vtn.event([3], start=in_sec(9_000))
        vtn.server.events["ven-1"][-1].event_descriptor.test_event = True
        vtn.server.events["ven-1"][-1].event_descriptor.priority = 1
        own = vtn.event(
            [3],
            start=in_sec(20_000),
            market_context="https://two.example",
            targets=[{"resource_id": "b"}],
        )
        other = vtn.event([3], start=in_sec(30_000), targets=[{"ven_id": "ven-9"}])
        both = vtn.event(
            [3], start=in_sec(40_000), targets=[{"ven_id": "ven-9"}, {"ven_id": "ven-1"}]
        )
        bad = vtn.event([9], start=in_sec(50_000), duration=hour)
        await service.turn()
    answers = [payload for kind, payload in said if kind == "oadrCreatedEvent"]
    opts = {each["event_id"]: each["opt_type"] for a in answers for each in a["event_responses"]}
    assert opts == {
        one: "optIn",
        test: "optIn",
        own: "optIn",
        other: "optOut",
        both: "optIn",
        bad: "optOut",
    }
    made = await events(database)
    assert [event.test for event in made] == [False, True, False, False]
    assert [event.ven_ids for event in made] == [None, None, ["b"], None]
    assert (await vtn_event(database, one)).program_id == "https://one.example"
    assert await alerts(database) == {"openadr_level_not_understood"}


async def test_an_event_cancelled_under_the_same_modification_number_ends(
    database: Database,
) -> None:
    async with openadr20b_stage(database, {"a": 2.0}) as (vtn, service):
        await service.turn()
        event_id = vtn.event([3])
        await service.turn()
        assert len(await open_events(database)) == 1
        descriptor = vtn.server.events["ven-1"][0].event_descriptor
        descriptor.event_status = "cancelled"
        vtn.server.events_updated["ven-1"] = True
        await service.turn()
        assert descriptor.modification_number == 0
    assert await open_events(database) == []
    assert (await vtn_event(database, event_id)).status == "cancelled"


async def test_a_vtn_that_wants_a_new_registration_gets_it_and_is_polled_on(
    database: Database,
) -> None:
    said: list[tuple[str, Any]] = []
    async with openadr20b_stage(database, {"a": 2.0}) as (vtn, service):
        await service.turn()
        event_id = vtn.event([3])
        await service.turn()
        assert service.ven is not None
        service.ven.add_hook("before_send_xml", lambda xml: said.append(read_20b_message(xml)))
        answer_next_poll(vtn, "oadrRequestReregistration")
        for _ in range(3):
            await service.turn()
        assert vtn.registrations == 2
        assert len(await open_events(database)) == 1
        vtn.cancel(event_id)
        await service.turn()
    asked = [payload for kind, payload in said if kind == "oadrCreatePartyRegistration"]
    assert [each.get("registration_id") for each in asked] == ["registration-1"]
    assert await open_events(database) == []


async def test_a_report_that_the_vtn_cancels_is_sent_no_more(database: Database) -> None:
    said: list[tuple[str, Any]] = []
    async with openadr20b_stage(database, {"a": 2.0}) as (vtn, service):
        await service.turn()
        ven = service.ven
        assert ven is not None
        ven.add_hook("before_send_xml", lambda xml: said.append(read_20b_message(xml)))

        async def reports() -> bool:
            await service.turn()
            return len(vtn.states) > 0

        # openleadr's VTN has no answer to what it did not ask for by itself.
        handlers = vtn.server.services["report_service"].handlers
        handlers["oadrCanceledReport"] = _acknowledged
        await eventually(reports)
        for request in list(ven.report_requests):
            answer_next_poll(
                vtn,
                "oadrCancelReport",
                report_request_id=request["report_request_id"],
                report_to_follow=False,
            )
            await service.turn()
            ids = [each["report_request_id"] for each in ven.report_requests]
            assert request["report_request_id"] not in ids
        sent = len(vtn.states)
        for _ in range(3):
            await service.turn()
        assert len(vtn.states) == sent
    assert [kind for kind, _ in said].count("oadrCanceledReport") == 2


async def test_a_target_that_names_another_ven_beside_ours_leaves_it_ours() -> None:
    def chosen(*targets: dict[str, str]) -> Any:
        raw = {
            "event_descriptor": {"event_id": "e1", "modification_number": 0},
            "active_period": {"dtstart": in_sec(0)},
            "targets": targets,
        }
        found = read_openadr20b_event(raw, "ven-1").targets
        return schedule_vens(found, ven_name="us", resources=None, known_vens=["a", "b"])

    assert chosen() is None
    assert chosen({"ven_id": "ven-1"}) is None
    assert chosen({"ven_id": "ven-9"}, {"ven_id": "ven-1"}) is None
    assert chosen({"ven_id": "ven-9"}).code == "not_for_this_ven"
    assert chosen({"resource_id": "elsewhere"}).code == "not_for_this_ven"
    assert chosen({"resource_id": "b"}, {"ven_id": "ven-1"}) == ["b"]
    assert chosen({"group_id": "some"}) is None
    assert chosen({"party_id": "ven-9"}).code == "not_for_this_ven"
    assert chosen({"party_id": "ven-1"}) is None


async def test_what_a_signal_says_of_units_and_an_event_of_its_end_is_obeyed() -> None:
    def read_signal(measurement: Any, **descriptor: Any) -> Any:
        interval = {"dtstart": in_sec(0), "duration": timedelta(hours=1), "signal_payload": -2000}
        signal = {
            "signal_name": "LOAD_DISPATCH",
            "signal_type": "delta",
            "measurement": measurement,
            "intervals": [interval],
        }
        known = {"event_id": "e1", "modification_number": 0, **descriptor}
        raw = {
            "event_descriptor": known,
            "active_period": {"dtstart": in_sec(0)},
            "event_signals": [signal],
        }
        return read_openadr20b_event(raw, "ven-1")

    def kws(measurement: Any) -> Any:
        event = read_signal(measurement)
        codes = [problem.code for problem in event.problems]
        return codes or [ask.value for interval in event.intervals for ask in interval.asks]

    assert kws(None) == [2000.0]
    assert kws({"unit": "W", "scale": "none"}) == kws({"unit": "W"}) == [2.0]
    assert kws({"unit": "W", "scale": "k"}) == [2000.0]
    for measurement in ({"unit": "VA"}, {"unit": "Wh"}, {"unit": "W", "scale": "m"}, {}, "W"):
        assert kws(measurement) == ["units_not_understood"]
    states = ("none", "far", "near", "active", "completed", "cancelled")
    ended = [read_signal(None, event_status=status).cancelled for status in states]
    assert ended == [False, False, False, False, True, True]
    nothing = {"event_descriptor": {"event_id": "e1", "modification_number": 0}}
    for signals in (None, [], [{"signal_name": "SIMPLE", "intervals": []}]):
        raw = {**nothing, "active_period": {"dtstart": in_sec(0)}, "event_signals": signals}
        (problem,) = read_openadr20b_event(raw, "ven-1").problems
        assert problem.code == "nothing_asked"


async def test_durations_that_contradict_are_told_and_the_shorter_is_done() -> None:
    hour = timedelta(hours=1)

    def read_period(period: timedelta, *signals: list[timedelta]) -> Any:
        start = in_sec(0)
        raw = {
            "event_descriptor": {"event_id": "e1", "modification_number": 0},
            "active_period": {"dtstart": start, "duration": period},
            "event_signals": [
                {
                    "signal_name": "LOAD_DISPATCH",
                    "signal_type": "delta",
                    "intervals": [
                        {"duration": each, "signal_payload": -1 - number}
                        for number, each in enumerate(durations)
                    ],
                }
                for durations in signals
            ],
        }
        event = read_openadr20b_event(raw, "ven-1")
        lasts = [interval.duration for interval in event.intervals if interval.asks]
        return [problem.code for problem in event.problems], lasts

    assert read_period(2 * hour, [hour, hour]) == ([], [hour, hour])
    assert read_period(timedelta(0), [hour]) == ([], [hour])
    assert read_period(hour, [timedelta(0)]) == ([], [hour])
    assert read_period(hour / 6, [hour]) == (["duration_contradicts"], [hour / 6])
    assert read_period(hour * 1.5, [hour, hour]) == (["duration_contradicts"], [hour, hour / 2])
    assert read_period(3 * hour, [hour, hour]) == (["duration_contradicts"], [hour, hour])
    assert read_period(hour, [hour], [hour]) == (["signals_contradict"], [hour])
    below = read_period(timedelta(0), [hour, -hour, hour])
    assert below == (["duration_not_understood"], [hour])
