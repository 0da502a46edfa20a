"""What VTNs of OpenADR 3 answer though the standard has it otherwise: reports of users of several
VTNs and clients, and what else of the kind was thought of. Nothing of it ends what runs, keeps
other events from being done, or stops the process."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest

from backend.openadr.reconciler import EVENTS
from backend.store.database import Database
from tests.backend.conftest import postgresql_server, postgresql_url
from tests.backend.dispatching import add_vens, eventually, rows
from tests.openadr import vtn3
from tests.openadr.stage import events, hurry, in_sec, open_events, service_for, vtn_event
from tests.openadr.test_openadr3_faults import problem
from tests.openadr.vtn3 import Fault

__all__ = ["postgresql_server", "postgresql_url"]
pytestmark = pytest.mark.asyncio

HTML = "<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>"
WRONG: dict[str, Any] = {
    "an HTML page with 200": Fault(200, HTML, {"Content-Type": "text/html"}),
    "an HTML page of a gateway": Fault(502, HTML, {"Content-Type": "text/html"}),
    "a redirect to another host": Fault(301, "", {"Location": "https://elsewhere.example/events"}),
    "a redirect to a login page": Fault(302, HTML, {"Location": "/login"}),
    "a redirect without an address": Fault(307),
    "nothing with 200": Fault(200, ""),
    "204": Fault(204),
    "an answer without its end": Fault(200, "[" * 1000, drip_sec=0.1),
    "an answer that is cut off": Fault(200, '[{"id": "e1",', {"Content-Length": "500"}),
    "not what it is compressed with": Fault(200, "[]", {"Content-Encoding": "gzip"}),
    "nested too deep": Fault(200, "[" * 100_000),
    "a number with 5000 digits": Fault(200, f"[{'9' * 5000}]"),
    "text that is not UTF-8": Fault(200, '["\udce4"]'.encode("utf-8", "surrogateescape").hex()),
    "null": Fault(200, "null"),
    "an object": Fault(200, '{"events": []}'),
    "408": Fault(408),
    "a teapot": Fault(418, '{"title": ["not a text"]}'),
    "a problem that is a list": Fault(500, "[]"),
}


async def test_no_answer_ends_what_runs_or_stops_the_process(database: Database) -> None:
    await add_vens(database, {"a": 2.0})
    with vtn3.running() as vtn:
        vtn.event("e1", kws=[-1.0])
        async with service_for(database, vtn.url, OPENADR_ANSWER_SEC="0.3") as service:
            await service.turn()
            for name, fault in WRONG.items():
                vtn.faults = [fault]
                hurry(service)
                assert await service.turn() > 0, name
                assert await problem(database), name
                assert len(await open_events(database)) == 1, name

                async def is_well() -> bool:  # a good answer may be late too
                    hurry(service)
                    await service.turn()
                    return await problem(database) is None

                await eventually(is_well)
    assert len(await events(database)) == 1


async def test_a_redirect_is_not_followed_with_the_token_but_told(database: Database) -> None:
    with vtn3.running() as vtn:
        async with service_for(database, vtn.url) as service:
            vtn.faults = [WRONG["a redirect to another host"]]
            await service.turn()
    said = str(await problem(database))
    assert "https://elsewhere.example/events" in said
    assert "OPENADR_VTN_URL" in said


async def test_a_vtn_that_wants_to_be_left_alone_is(database: Database) -> None:
    await add_vens(database, {"a": 2.0})
    later = datetime.now(timezone.utc) + timedelta(seconds=600)
    with vtn3.running() as vtn:
        async with service_for(database, vtn.url, OPENADR_POLL_SEC="0.1") as service:
            await service.turn()
            for said in (format_datetime(later, usegmt=True), "500"):
                hurry(service)
                vtn.faults = [Fault(429, "", {"Retry-After": said})]
                left_sec = 500 if said == "500" else later.timestamp() - time.time()
                before = time.monotonic()
                await service.turn()
                least, most = before + left_sec - 2, time.monotonic() + left_sec
                assert least <= service._quiet_until <= most
                asked = len(vtn.requests)
                assert 0 < await service.turn() <= 15.0  # the lease is kept meanwhile
                assert len(vtn.requests) == asked
            for nonsense in ("soon", "-5", "", "999999999999999999999"):
                hurry(service)
                vtn.faults = [Fault(503, "", {"Retry-After": nonsense})]
                await service.turn()
                assert service._quiet_until - time.monotonic() <= 3_600


async def test_a_token_is_fetched_anew_before_it_ends_and_in_mid_session(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0})
    with vtn3.running() as vtn:
        async with service_for(database, vtn.url) as service:
            await service.turn()
            assert vtn.tokens_given == 1
            await service.turn()
            assert vtn.tokens_given == 1
            service.vtn.connection._renew_at = time.monotonic()  # as when most of its hour is over
            await service.turn()
            assert vtn.tokens_given == 2
            vtn.event("e1", kws=[-1.0])
            vtn.expire_tokens()  # in mid-session, between two requests
            await service.turn()
            assert vtn.tokens_given == 3
            assert await problem(database) is None
        for lasts_sec in (None, 0, -1):
            vtn.token_lasts_sec = lasts_sec
            async with service_for(database, vtn.url) as service:
                await service.turn()
                assert await problem(database) is None
    assert len(await events(database)) == 1


async def test_a_vtn_with_small_pages_is_read_to_the_end(database: Database) -> None:
    await add_vens(database, {"a": 2.0})
    with vtn3.running() as vtn:
        vtn.most_a_page = 7
        for number in range(33):
            vtn.event(f"e{number}", start=in_sec(3600 + 60 * number), duration="PT1M", kws=[-1.0])
        async with service_for(database, vtn.url) as service:
            for _ in range(2):
                await service.turn()
                assert len(await open_events(database)) == 33


async def test_an_event_of_a_new_programme_is_seen_at_once_and_of_one_that_is_gone_ends(
    database: Database,
) -> None:
    await add_vens(database, {"a": 2.0})
    with vtn3.running() as vtn:
        async with service_for(database, vtn.url) as service:
            vtn.event("e1", kws=[-1.0])
            await service.turn()
            vtn.add("programs", {"programName": "more"}, object_id="p2")
            vtn.event("e2", kws=[-1.0], programID="p2")
            vtn.event("lost", kws=[-1.0], programID="nowhere")
            await service.turn()
            assert len(await open_events(database)) == 2
            before = len(vtn.requests)
            await service.turn()
            assert ("GET", "/programs") not in vtn.requests[
                before:
            ]  # not for the lost one each time
            del vtn.objects["programs"]["p2"]
            service._programs_until = 0.0
            await service.turn()
    assert (await vtn_event(database, "e2")).status == "cancelled"
    (left,) = await open_events(database)
    assert "e1" in left.id


def odd_events() -> dict[str, dict[str, Any]]:
    """By what is odd about them. A good one comes after each."""
    start = in_sec(600).isoformat()
    body = vtn3.event_body(start=start, kws=[-1.0])
    one = body["intervals"][0]

    def period(**more: Any) -> dict[str, Any]:
        return {**body, "intervalPeriod": {"start": start, "duration": "PT1H", **more}}

    def power(value: Any, **more: Any) -> dict[str, Any]:
        payloads = [{"type": "DISPATCH_SETPOINT_RELATIVE", "values": [value]}]
        return {**body, "intervals": [{**one, "payloads": payloads}], **more}

    return {
        "unknown fields": {**body, "x-new": {"a": [1]}, "objectType": "SOMETHING"},
        "no intervals": {**body, "intervals": []},
        "intervals null": {**body, "intervals": None},
        "an interval without a period": {**body, "intervalPeriod": None},
        "a period without start": {**body, "intervalPeriod": {"duration": "PT1H"}},
        "P0D": period(duration="P0D"),
        "PT0S": period(duration="PT0S"),
        "a negative duration": period(duration="-PT1H"),
        "a year with 400 digits": period(duration=f"P{'9' * 400}Y"),
        "seconds with 400 digits": period(duration=f"PT{'9' * 400}S"),
        "the year 9999": period(start="9999-12-31T23:59:59Z"),
        "beyond the calendar": period(start="9999-12-31T23:59:59-12:00"),
        "before the calendar": period(start="0002-01-01T00:00:00+14:00"),
        "a start that is a number": period(start=1_900_000_000),
        "summer time": period(start="2027-03-28T03:00:00+02:00"),
        "a negative random start": period(randomizeStart="-PT5M"),
        "a random start for ever": period(randomizeStart="P9999Y"),
        "repeated each second for ever": {**period(duration="PT1S"), "duration": "P9999Y"},
        "a power with 400 digits": power(-(10**400)),
        "infinite power": power(float("-inf")),
        "power as text": power("-5"),
        "power of a list": power([-5]),
        "more power than there is": power(-1e12),
        "less than a watt": power(-1e-9),
        "a priority with 30 digits": power(-1, priority=10**30),
        "a negative priority": power(-1, priority=-1),
        "two of one priority": power(-1, priority=0),
        "three of one priority": power(-1, priority=0),
        "half a character in its name": power(-1, eventName="\ud83d"),
        "NUL in its name": power(-1, eventName="a\0b"),
        "a name with 100,000 letters": power(-1, eventName="x" * 100_000),
        "unicode everywhere": power(-1, eventName="Sturm 🌪", targets=["Größe", "\u202e"]),
        "NUL in a target": power(-1, targets=["a\0"]),
        "a target that is a number": power(-1, targets=[7, None, {"type": "GROUP"}]),
        "targets as text": power(-1, targets="a"),
        "units that are a list": power(-1, payloadDescriptors=[{"units": ["KW"]}]),
        "a descriptor that is null": power(-1, payloadDescriptors=[None], reportDescriptors=[None]),
        "reports without end": power(
            -1, reportDescriptors=[{"payloadType": "USAGE", "repeat": 10**30, "frequency": 10**30}]
        ),
        "a report of NUL": power(
            -1, reportDescriptors=[{"payloadType": "x-\0", "units": "\ud83d"}]
        ),
        "3,000 intervals": {
            **body,
            "intervalPeriod": {"start": start, "duration": "PT1M"},
            "intervals": [{**one, "id": number} for number in range(3_000)],
        },
        "deeply nested": power(-1, more=json.loads("[" * 500 + "]" * 500)),
    }


IDS: list[Any] = [
    *("", None, 7, 7.5, True, [], {}, ["e"], "e\0", "\ud83d", "e" * 129, "e" * 10_000),
    *("ü", "../../e", "e e", "e/1?x=1#y", "'; DROP TABLE events; --", "e" * 128),
]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_no_event_keeps_another_from_being_done(
    kind: str, request: pytest.FixtureRequest
) -> None:
    fixture = "database_url" if kind == "sqlite" else "postgresql_url"
    database = Database(request.getfixturevalue(fixture))
    try:
        await add_vens(database, {"a": 2.0})
        listed: list[Any] = []
        for number, body in enumerate(odd_events().values()):
            good = {**vtn3.event_body(start=in_sec(900), kws=[-1.0]), "id": f"good-{number}"}
            listed += [{**body, "id": f"odd-{number}"}, good]
        listed += [{**vtn3.event_body(kws=[-1.0]), "id": odd} for odd in IDS]
        listed += [None, [], 7, "event", {**vtn3.event_body(), "id": "e", "programID": None}]
        with vtn3.running() as vtn:
            async with service_for(database, vtn.url) as service:
                await service.turn()
                for _ in range(2):
                    vtn.faults = [listed]
                    await service.turn()
                    assert await problem(database) is None
        made = {event.id.rsplit("-", 2)[0] for event in await events(database)}
        missing = [n for n in range(len(odd_events())) if f"openadr-good-{n}" not in made]
        names = list(odd_events())
        assert [names[n] for n in missing] == []
        assert await rows_without_nul(database)
    finally:
        await database.close()


async def rows_without_nul(database: Database) -> bool:
    return all("\0" not in str(row) for row in await rows(database, EVENTS))
