"""docs/local-page.md against what the API answers: every field is named there, and none besides."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.reporting.test_page_view import Viewed
from tests.web.caller import Caller
from VenAgent.dr.effects import SendAckEffect
from VenAgent.storage.journal import Journal
from VenAgent.web.prometheus_metrics import prometheus_metrics

PAGE = Path(__file__).parents[2] / "docs" / "local-page.md"
WORDS = {"good", "stale", "missing", "on", "off", "shed", "limited", "unread", "completed"}
WORDS |= {"limit", "load_up", "number", "of", "opt_out"}
"""Values that the document names beside the fields."""


def documented(call: str) -> set[str]:
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{call}"))
    names = re.findall(r"`([^`/]+)`", row.split("|")[2])
    return {name for each in names for name in re.findall(r"[a-zA-Z_]{2,}", each)}


def fields(value: Any) -> set[str]:
    """All names in it, but those of an event's summary, which is described with the acks."""
    if isinstance(value, Mapping):
        inner = (fields(part) for name, part in value.items() if name != "summary")
        return set(value).union(*inner)
    if isinstance(value, list):
        return set().union(*map(fields, value))
    return set()


@pytest.fixture
def viewed(tmp_path: Path) -> Iterator[Viewed]:
    """With an event over, one running and one to come."""
    journal = Journal(tmp_path / "journal.sqlite")
    viewed = Viewed(journal, tmp_path)
    viewed.house.send("event", shed_kw=4.5, duration_sec=60, event_id="over")
    viewed.house.wait(100.0)
    viewed.catch_up()
    viewed.view.remember(viewed.house.read())
    viewed.house.send("event", shed_kw=5.0, duration_sec=600, event_id="runs")
    viewed.house.wait(10.0)
    yield viewed
    journal.close()


def test_every_field_is_documented_and_nothing_else(viewed: Viewed) -> None:
    view = viewed.view
    event = fields(view.events(5))
    status = view.status()
    told = set(status) | set(status["cloud"]) | {"reason", "until_ts"}
    assert told == documented("GET /api/status") - WORDS
    assert fields(view.circuits()) | {"circuits"} == (
        documented("GET /api/circuits") - (WORDS - {"shed"})
    )
    assert event | {"events"} == documented("GET /api/events?limit=20") - WORDS
    assert fields(view.history()) == documented("GET /api/history")
    assert fields(view.alerts()) == documented("GET /api/alerts")
    viewed.journal.write([], [SendAckEffect(ack, is_reply=False) for ack in viewed.house.acks], 1.0)
    in_full = viewed.view.event_in_full("over")
    assert fields(in_full) - event == documented("GET /api/event?id") - WORDS - event - {"event"}
    for call, circuit_id in (("/api/event/power", None), ("/api/circuits/{id}/power", "heater1")):
        told = fields(viewed.view.minute_power(circuit_id, 0.0, 1))
        assert told | {"point_sec"} == documented(f"GET {call}?")
    told = fields(viewed.view.interval_power(0.0, 1))
    assert told | {"interval_sec"} == documented("GET /api/power?")
    session = Caller().get("/api/session").json()
    assert set(session) == documented("GET /api/session")


@pytest.mark.long
def test_the_tests_fake_site_answers_as_a_real_one(viewed: Viewed) -> None:
    page = Caller()
    page.site.live_an_hour()
    page.post("/api/events", {"shed_kw": 5.0})
    page.clock.now += 1.0
    page.site.step()
    assert set(page.site.status()) == set(viewed.view.status())
    assert set(page.site.status()["cloud"]) == set(viewed.view.status()["cloud"])
    assert set(page.site.circuits()[0]) == set(viewed.view.circuits()[0])
    real = set(viewed.view.events(5)[0])
    assert all(set(event) - {"state_ts", "target_kw"} == real for event in page.site.events(9))
    assert set(page.site.history()) == set(viewed.view.history())
    mine, real_one = page.site.event_in_full("evt-3"), viewed.view.event_in_full("over")
    assert mine is not None
    assert real_one is not None
    assert fields(mine) == fields(real_one) | fields(mine["acks"])
    assert set(page.site.interval_power(0.0, 1)) == set(viewed.view.interval_power(0.0, 1))
    for circuit_id in (None, "heater1"):
        mine = page.site.minute_power(circuit_id, 0.0, 1)
        assert set(mine) == set(viewed.view.minute_power(circuit_id, 0.0, 1))


@pytest.mark.long
def test_a_real_sites_metrics_are_what_prometheus_reads(viewed: Viewed) -> None:
    view = viewed.view
    text = prometheus_metrics(view.status(), view.circuits(), view.alerts()).decode()
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    assert all(family.documentation for family in families)
    assert {family.type for family in families} == {"gauge", "counter"}
    samples = [
        (s.name, tuple(sorted(s.labels.items()))) for family in families for s in family.samples
    ]
    assert len(set(samples)) == len(samples)
    by_name = {family.name: family.samples for family in families}
    status = view.status()
    assert by_name["venagent_power_kw"][0].value == status["power_kw"]
    assert by_name["venagent_target_kw"][0].value == status["target_kw"]
    assert by_name["venagent_event_measured_kw"][0].value == status["event"]["measured_kw"]
    assert len(by_name["venagent_circuit_power_kw"]) == len(view.circuits())
    shed = {s.labels["circuit"]: s.value for s in by_name["venagent_circuit_shed_kw"]}
    assert shed["heater1"] == pytest.approx(4.5)
    assert shed["fridge1"] == 0.0
