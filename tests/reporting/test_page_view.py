"""What the page shows of a Ven: its engine, its journal and its readings, told in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.contract.builders import parse
from tests.dr.builders import TOTAL_KW, VEN_ID, panel_of, switch
from tests.dr.house import House
from VenAgent.cloud.link_state import LinkPhase, LinkState
from VenAgent.cloud.outbox import OutboxBacklog
from VenAgent.contract.acks import AckStatus, build_ack, encode_ack
from VenAgent.contract.telemetry import TelemetryQuality
from VenAgent.dr.effects import SendAckEffect
from VenAgent.dr.event import Event
from VenAgent.reporting import page_view as web_view
from VenAgent.reporting import telemetry_builder as report
from VenAgent.reporting.active_alerts import ActiveAlerts
from VenAgent.reporting.event_view import (
    EVENT_CIRCUITS_LISTED,
    SCHEDULED_EVENTS_LISTED,
    event_view_for_answer,
    event_view_for_bus,
    event_view_for_page,
)
from VenAgent.reporting.page_view import EVENTS_AT_ONCE, READ_AGAIN_SEC, PageView
from VenAgent.reporting.site_status import SiteCloudStatus, SiteStatus
from VenAgent.storage.journal import Journal
from VenAgent.storage.power_history import PowerHistory

EXPIRES_TS = 1_770_000_000.0


class Viewed:
    """A house with its agent, and the page's view of it. `catch_up`: its journal, on a disk."""

    def __init__(self, journal: Journal, data: Path) -> None:
        self.house = House()
        self.journal = journal
        house = self.house
        points = SimpleNamespace(age_sec=lambda now: 1.26)
        reporter = SimpleNamespace(
            telemetry=lambda: report.build_telemetry(
                house.engine, house.read(), TelemetryQuality.GOOD, seq=0, now=house.now
            )
        )
        cloud = SiteCloudStatus(
            link=LinkState(LinkPhase.ONLINE, house.now),
            host="broker.example",
            port=8883,
            commands_dropped=2,
            commands_retained=1,
            certificate_expires_ts=EXPIRES_TS,
            backlog=OutboxBacklog(messages=3, used_mb=0.1, oldest_ts=None, thinned=0),
            refused={},
            shadow_rejected={},
            bus_bridge={},
        )
        health = {"health": "GOOD", "health_context": "all is well"}
        make: Any = partial(
            PageView,
            engine=house.engine,
            meter=SimpleNamespace(points=points, reading=lambda now: house.read()),
            reporter=reporter,
            alerts=ActiveAlerts(VEN_ID, lambda alert: None),
            journal=journal,
            door=SimpleNamespace(command=lambda fields: {"ok": True, **fields}),
            cloud=lambda: cloud,
            health=lambda: health,
            data=data,
            history=PowerHistory(data / "history.sqlite", house.now),
            clock=lambda: house.now,
        )
        self.site = SiteStatus(
            SimpleNamespace(ven_id=VEN_ID),  # type: ignore[arg-type]
            house.engine,
            reporter,  # type: ignore[arg-type]
            ActiveAlerts(VEN_ID, lambda alert: None),
            cloud=lambda: cloud,
            health=lambda: health,
            page_url=lambda: None,
            devices=dict,
        )
        self.view = make()
        self.again = make
        """The view of the agent that is started next."""
        house.wait(120.0)

    def catch_up(self) -> None:
        for text in self.house.journal.values():
            self.journal.write([json.loads(text)], [], self.house.now)
        self.view.forget_events()

    def status(self) -> dict[str, Any]:
        status = self.view.status()
        json.dumps(status, allow_nan=False)
        return dict(status)

    def circuits(self) -> dict[str, Any]:
        return {circuit["id"]: circuit for circuit in self.view.circuits()}


@pytest.fixture
def viewed(tmp_path: Path) -> Iterator[Viewed]:
    journal = Journal(tmp_path / "journal.sqlite")
    yield Viewed(journal, tmp_path)
    journal.close()


def test_without_an_event_it_shows_power_connection_and_no_target(viewed: Viewed) -> None:
    status = viewed.status()
    assert status["power_kw"] == pytest.approx(TOTAL_KW)
    assert status["baseline_kw"] == pytest.approx(TOTAL_KW)
    assert (status["target_kw"], status["event"], status["shed_kw"]) == (None, None, 0.0)
    assert status["meter_age_sec"] == 1.3
    assert status["cloud"]["certificate_expiry_ts"] == EXPIRES_TS
    assert (status["cloud"]["outbox_depth"], status["cloud"]["commands_dropped"]) == (3, 2)
    assert status["opted_out"] is None
    circuits = viewed.circuits()
    assert circuits["heater1"]["reason"] == "ready to be shed"
    assert circuits["fridge1"]["reason"] == "critical: never shed"
    assert (circuits["fridge1"]["switchable"], circuits["heater1"]["switchable"]) == (False, True)


def test_a_circuit_that_was_not_read_is_not_said_to_be_ready(viewed: Viewed) -> None:
    viewed.house.meter_works = False
    reasons = {name: circuit["reason"] for name, circuit in viewed.circuits().items()}
    assert "ready to be shed" not in reasons.values()
    assert reasons["heater1"] == "not read: it cannot be shed"


def test_an_event_shows_its_target_what_it_shed_and_why_others_were_spared(viewed: Viewed) -> None:
    viewed.house.send("event", shed_kw=5.0, duration_sec=600, event_id="e1")
    viewed.house.wait(10.0)
    status, circuits = viewed.status(), viewed.circuits()
    event = status["event"]
    assert (event["event_id"], event["state"], event["requested_kw"]) == ("e1", "active", 5.0)
    assert event["predicted_kw"] == pytest.approx(5.0, rel=0.05)
    assert event["measured_kw"] == pytest.approx(5.0, rel=0.05)
    assert status["target_kw"] == pytest.approx(TOTAL_KW - 5.0)
    assert status["shed_kw"] == pytest.approx(5.0, rel=0.05)
    heater = circuits["heater1"]
    assert (heater["state"], heater["enabled"]) == ("shed", False)
    assert heater["shed"] == {"original_kw": 4.5, "final_kw": 0.0, "shed_kw": 4.5}
    assert heater["reason"] == "switched off, 4.5 kW less: priority 5"
    assert circuits["ev1"]["state"] == "limited"
    assert circuits["ev1"]["reason"].startswith("limited to 6.")
    assert circuits["dryer1"]["reason"] == "not needed: would be 3.0 kW too much"
    assert circuits["lights1"]["reason"] == "not needed"  # it could be lowered a little
    assert viewed.view.events(5)[0]["event_id"] == "e1"


def test_a_circuit_that_failed_says_so(viewed: Viewed) -> None:
    viewed.house.broken.add("heater1")
    viewed.house.send("event", shed_kw=4.5, duration_sec=600, event_id="e1")
    circuits = viewed.circuits()
    assert circuits["heater1"]["state"] == "on"
    assert circuits["heater1"]["reason"]
    assert circuits["heater1"]["reason"] != "not needed"


def test_events_that_are_over_come_from_the_journal_newest_first(viewed: Viewed) -> None:
    for number in range(3):
        viewed.house.send("event", shed_kw=4.5, duration_sec=60, event_id=f"e{number}")
        viewed.house.wait(100.0)
    viewed.catch_up()
    events = viewed.view.events(2)
    assert [event["event_id"] for event in events] == ["e2", "e1"]
    assert events[0]["state"] == "completed"
    assert events[0]["summary"]["achieved_shed_kw"] == pytest.approx(4.5, rel=0.05)
    assert events[0]["circuits"] == ["heater1"]
    assert len(viewed.view.events(100)) == 3


def test_many_events_are_made_ready_a_few_at_a_time(
    viewed: Viewed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the agent's hub nothing else is done meanwhile, an event that begins included."""
    made = 0
    by_pause = [0]

    def counted(event: Event) -> dict[str, Any]:
        nonlocal made
        made += 1
        return event_view_for_page(event)

    monkeypatch.setattr(web_view, "event_view_for_page", counted)
    viewed.house.send("event", shed_kw=4.5, duration_sec=60, event_id="e1")
    viewed.house.wait(100.0)
    record = json.loads(viewed.house.journal["e1"])
    records = [{**record, "event_id": f"e{number}"} for number in range(300)]
    viewed.journal.write(records, [], viewed.house.now)
    viewed.view = viewed.again(pause=lambda: by_pause.append(made))
    assert len(viewed.view.events(300)) == made == 300
    holds = [after - before for before, after in pairwise([*by_pause, made])]
    assert max(holds) <= EVENTS_AT_ONCE


def test_what_begins_between_two_looks_does_not_disturb_the_list(viewed: Viewed) -> None:
    viewed.house.send("event", shed_kw=4.5, duration_sec=60, event_id="e0")
    viewed.house.wait(100.0)
    record = json.loads(viewed.house.journal["e0"])
    names = [f"e{number}" for number in range(50)]
    viewed.journal.write([{**record, "event_id": name} for name in names], [], viewed.house.now)

    def meanwhile() -> None:
        viewed.journal.write([{**record, "event_id": "later"}], [], viewed.house.now)

    viewed.view = viewed.again(pause=meanwhile)
    assert sorted(event["event_id"] for event in viewed.view.events(50)) == sorted(names)


def test_the_journal_is_read_again_after_a_change_or_a_while(viewed: Viewed) -> None:
    assert viewed.view.events(5) == []
    viewed.house.send("event", shed_kw=4.5, duration_sec=60, event_id="e1")
    viewed.house.wait(100.0)
    record = json.loads(viewed.house.journal["e1"])
    viewed.journal.write([record], [], viewed.house.now)
    viewed.house.now += READ_AGAIN_SEC + 1.0
    assert len(viewed.view.events(5)) == 1


def test_a_record_that_cannot_be_read_is_left_out(viewed: Viewed) -> None:
    bad = {"event_id": "bad", "state": "completed", "what": 1}
    viewed.journal.write([bad], [], viewed.house.now)
    assert viewed.view.events(5) == []


def test_an_event_that_never_began_has_no_summary(viewed: Viewed) -> None:
    start_ts = viewed.house.now + 600.0
    viewed.house.send("event", shed_kw=3.0, duration_sec=60, event_id="later", start_ts=start_ts)
    assert [event["event_id"] for event in viewed.status()["scheduled"]] == ["later"]
    viewed.house.send("cancel", event_id="later")
    viewed.catch_up()
    (event,) = viewed.view.events(5)
    assert (event["state"], event["summary"], event["predicted_kw"]) == ("cancelled", None, None)


def test_of_as_many_events_as_may_wait_the_next_are_listed_and_all_counted(viewed: Viewed) -> None:
    house, most = viewed.house, viewed.house.policy.max_scheduled
    name = "an-event-of-the-utility-with-quite-a-long-name-" * 5
    house.send("event", shed_kw=3.0, duration_sec=600, event_id="runs")
    for number in reversed(range(most)):
        start_ts = house.now + 3_600.0 * (1 + number)
        house.send("event", shed_kw=3.0, start_ts=start_ts, event_id=f"{name}{number}")
    named = [f"{name}{number}" for number in range(SCHEDULED_EVENTS_LISTED)]
    page, site = viewed.status(), viewed.site.get("status")
    for listed, count in (
        (page["scheduled"], page["scheduled_count"]),
        (site["scheduled_events"], site["scheduled_count"]),
    ):
        assert [event["event_id"] for event in listed] == named
        assert count == most
    ack = build_ack(
        op="get", status=AckStatus.SUCCESS, ven_id=VEN_ID, ts=1.0, correlation_id="g", data=site
    )
    assert json.loads(encode_ack(ack))["ok"] is True  # it fits into a message
    assert (site["active_event"]["event_id"], site["active_event"]["circuits_omitted"]) == (
        "runs",
        0,
    )


def test_of_a_large_panel_an_answer_lists_the_circuits_that_fit_and_counts_the_rest() -> None:
    names = [f"floor {number}" for number in range(150)]
    house = House(panel_of(*map(switch, names)), dict.fromkeys(names, 0.2))
    house.send("event", shed_kw=25.0, duration_sec=600, event_id="large")
    event = house.engine.running
    assert event is not None
    view = event_view_for_answer(event)
    assert len(view["circuits"]) == EVENT_CIRCUITS_LISTED
    assert view["circuits_omitted"] == len(event.circuits) - EVENT_CIRCUITS_LISTED > 0
    assert len(event_view_for_bus(event)["circuits"]) == len(event.circuits)


def test_what_is_put_back_while_the_agent_stops_is_no_event(viewed: Viewed) -> None:
    house = viewed.house
    house.send("limit", import_kw=12.0, event_id="grid", correlationId="g")
    house.wait(120.0)
    house.do(house.engine.stop(house.now))
    house.wait(30.0)
    viewed.catch_up()
    assert any("/stopped-" in event_id for event_id in house.journal)
    assert not [e for e in viewed.view.events(50) if "/stopped-" in e["event_id"]]


def test_the_record_says_why_an_event_ended_and_who_ended_it(viewed: Viewed) -> None:
    house = viewed.house
    house.send("event", shed_kw=3.0, duration_sec=600, event_id="ended")
    house.wait(30.0)
    house.send("restore", event_id="ended")
    house.wait(60.0)
    house.send("event", shed_kw=3.0, duration_sec=600, event_id="left")
    house.wait(30.0)
    house.do(house.engine.opt_out("guests in the house", None, house.now))
    house.wait(60.0)
    house.send("event", shed_kw=3.0, duration_sec=3_600, event_id="refused")
    refused_ts = house.now
    dry = house.send("event", shed_kw=3.0, duration_sec=60, event_id="dry", dry_run=True)[-1]
    assert dry["reason"] == "opted out at the site: guests in the house"
    house.do(house.engine.opt_in(house.now))
    house.send("event", shed_kw=3.0, duration_sec=60, event_id="whole")
    house.wait(120.0)
    house.broken.update(circuit.id for circuit in house.panel.circuits)
    house.send("event", shed_kw=3.0, duration_sec=60, event_id="failed")
    house.wait(60.0)
    viewed.catch_up()
    events = {event["event_id"]: event for event in viewed.view.events(9)}
    assert events["ended"]["reason"] == "ended by command"
    assert (events["ended"]["reason_code"], events["ended"]["ended_by"]) == (
        "ended_by_command",
        "restore",
    )
    assert events["left"]["reason"] == "opted out at the site: guests in the house"
    assert (events["left"]["ended_by"], events["left"]["ended_from"]) == ("opt_out", "site")
    assert (events["left"]["reason_code"], events["left"]["opted_out"]) == ("opted_out", True)
    assert events["refused"]["state"] == "rejected"
    assert events["refused"]["ended_ts"] == refused_ts == events["refused"]["end_ts"] - 3_600
    assert events["refused"]["reason"] == "opted out at the site: guests in the house"
    assert (events["whole"]["reason"], events["whole"]["reason_code"]) == (None, None)
    assert events["failed"]["state"] == "failed"
    assert events["failed"]["reason"]
    assert events["ended"]["circuits"]  # kept when it ends early


def test_an_event_of_the_site_is_none_of_the_clouds(viewed: Viewed) -> None:
    house = viewed.house
    command = parse({"op": "limit", "import_kw": 20.0, "event_id": "asked here"})
    house.do(house.engine.command(command, house.now, from_sender=False))
    assert viewed.status()["event"]["origin"] == "site"
    house.send("restore", event_id="asked here", correlationId="c1")
    house.wait(60.0)
    house.send("limit", import_kw=20.0, event_id="theirs", correlationId="c2")
    assert viewed.status()["event"]["origin"] == "cloud"
    house.send("restore", event_id="theirs", correlationId="c3")
    house.wait(60.0)
    house.send("limit", import_kw=20.0, event_id="page-of-theirs", correlationId="page-c4")
    assert viewed.status()["event"]["origin"] == "cloud"
    house.send("restore", event_id="page-of-theirs", correlationId="c5")
    house.wait(60.0)
    command = parse({"op": "limit", "import_kw": 20.0, "event_id": "page-1"})
    house.do(house.engine.command(command, house.now, from_sender=False))
    assert viewed.status()["event"]["origin"] == "page"


def test_an_event_in_full_has_its_circuits_and_acks(viewed: Viewed) -> None:
    house = viewed.house
    house.send("event", shed_kw=5.0, duration_sec=60, event_id="e1")
    assert viewed.view.event_in_full("e1") is not None  # while it runs
    house.wait(120.0)
    viewed.catch_up()
    acks = [SendAckEffect(ack, is_reply=False) for ack in house.acks]
    viewed.journal.write([], acks, house.now)
    event = viewed.view.event_in_full("e1")
    assert event is not None
    json.dumps(event, allow_nan=False)
    assert {circuit["id"] for circuit in event["circuits"]} == {"heater1", "ev1"}
    assert event["circuits"][0]["restored"] is True
    assert [ack["status"] for ack in event["acks"]][:2] == ["accepted", "measured"]
    assert viewed.view.event_in_full("no such") is None


def test_readings_make_the_curves_of_site_and_circuits(viewed: Viewed) -> None:
    began = viewed.house.now
    for _ in range(14):
        viewed.view.remember(viewed.house.read())
        viewed.house.wait(10.0)
    site = viewed.view.minute_power(None, began - 120.0, 60)
    assert site["power_kw"][0] == pytest.approx(TOTAL_KW)
    assert site["baseline_kw"][0] == pytest.approx(TOTAL_KW)
    assert viewed.view.minute_power("ev1", began - 120.0, 60)["power_kw"][0] == 7.2
    assert viewed.view.interval_power(began, 96) == {
        "ts": [],
        "power_kw": [],
        "covered_sec": [],
        "in_event": [],
    }


def test_a_person_who_opted_out_reads_their_own_words(viewed: Viewed) -> None:
    viewed.house.do(viewed.house.engine.opt_out("guests", None, viewed.house.now))
    assert viewed.status()["opted_out"] == {"reason": "guests", "until_ts": None}
    assert {c["reason"] for c in viewed.view.circuits()} >= {"not shed: the site has opted out"}
    viewed.house.do(
        viewed.house.engine.opt_out("a day", viewed.house.now + 86_400.0, viewed.house.now)
    )
    assert viewed.status()["opted_out"]["until_ts"] == viewed.house.now + 86_400.0


def test_readings_make_the_curve_with_the_target_while_it_sheds(viewed: Viewed) -> None:
    view, house = viewed.view, viewed.house
    view.remember(house.read())
    house.send("event", shed_kw=5.0, duration_sec=600, event_id="e1")
    house.wait(10.0)
    view.remember(house.read())
    history = view.history()
    assert history["power_kw"][0] == pytest.approx(TOTAL_KW)
    assert history["target_kw"][0] is None
    assert history["target_kw"][-1] == pytest.approx(TOTAL_KW - 5.0)


def test_the_curve_is_there_again_after_a_restart(viewed: Viewed) -> None:
    viewed.view.remember(viewed.house.read())
    viewed.house.wait(30.0)
    viewed.view.remember(viewed.house.read())
    before = viewed.view.history()
    assert len(before["ts"]) == 2
    assert viewed.again().history()["ts"] == before["ts"][:1]  # killed: the minute was not over
    viewed.view.close()
    assert viewed.again().history() == before


def test_who_ended_an_event_is_told_by_what_they_sent(viewed: Viewed) -> None:
    house = viewed.house
    senders = {
        "restore-0a1b2c3d4e5f": "operator",
        "cancel-0a1b2c3d4e5f": "operator",
        "evt-e1-token": "operator",
        "rpc-1": "site",
        "somebodys-own": "cloud",
    }
    for correlation_id, sender in senders.items():
        event_id = f"ended-{sender}-{correlation_id[:4]}"
        house.send("event", shed_kw=3.0, duration_sec=600, event_id=event_id)
        house.wait(30.0)
        house.send("restore", event_id=event_id, correlationId=correlation_id)
        house.wait(60.0)
        viewed.catch_up()
        (event,) = (each for each in viewed.view.events(9) if each["event_id"] == event_id)
        assert event["ended_from"] == sender
