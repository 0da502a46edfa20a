"""The agent's RPC as other agents and VOLTTRON Central use it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.platform.faces import checks
from tests.platform.site import ACTUATOR, DEVICE, DRIVER, VEN, VEN_ID, Site
from tests.support.answer_shape import answer_shape
from VenAgent.volttron_compat import CONFIG_STORE, format_timestamp, get_aware_utc_now

PARAMETERS = {
    "status": (),
    "get_panel": (),
    "send_event": ("shed_kw", "duration_sec", "event_id"),
    "restore": ("event_id",),
    "opt_out": ("reason", "duration_sec"),
    "opt_in": (),
}
"""Every call and the names of its arguments: others call us by them."""


def test_every_call_can_be_looked_up_and_says_what_it_does(site: Site) -> None:
    ours = {name for name in site.rpc(VEN, "inspect")["methods"] if "." not in name}
    assert ours == set(PARAMETERS)
    for method, names in PARAMETERS.items():
        told = site.rpc(VEN, f"{method}.inspect")
        assert tuple(told["params"]) == names
        assert len(told["doc"]) > 20, method


@pytest.mark.parametrize("by_name", [False, True], ids=["by position", "by name"])
def test_every_call_is_obeyed_and_its_answer_is_json(site: Site, by_name: bool) -> None:
    called = set()

    def call(method: str, *values: Any) -> Any:
        called.add(method)
        if by_name:
            answer = site.rpc(VEN, method, **dict(zip(PARAMETERS[method], values, strict=True)))
        else:
            answer = site.rpc(VEN, method, *values)
        json.dumps(answer, allow_nan=False)
        return answer

    event_id = site.event_id()
    assert call("send_event", 3.0, 60.0, event_id)["status"] == "accepted"
    assert call("status")["active_event"]["event_id"] == event_id
    assert call("get_panel")["active_event"]["event_id"] == event_id
    restored = call("restore", event_id)
    assert (restored["status"], restored["event_id"]) == ("success", event_id)
    opted_out = call("opt_out", "the oven is on", 600.0)
    assert opted_out["status"] == "opted_out"
    assert "the oven is on" in call("status")["opted_out"]
    assert call("send_event", 3.0, 60.0, site.event_id())["status"] == "opted_out"
    assert call("opt_in")["ok"] is True
    assert call("status")["opted_out"] is None
    assert called == set(PARAMETERS), "each call that there is"


def test_the_health_sentence_is_text_as_volttron_central_shows_it(site: Site) -> None:
    """Its tooltip has `context` as it is; Central asks for it at each look at the agents' list."""
    site.store(VEN, "config", "this: is not {json", kind="raw")
    said = site.wait_for_health("BAD", "must be a JSON object", "last good one stays in force")
    site.store(VEN, "config", site.config)
    for sentence in (said, site.wait_for_health("GOOD", "meter live")):
        assert sentence == " ".join(sentence.split()), "one line"
    told = site.rpc(VEN, "health.get_status")
    assert told.keys() == {"status", "context", "last_updated"}
    assert isinstance(told["context"], str)


@pytest.mark.parametrize("named", [False, True], ids=["without event_id", "with event_id"])
def test_a_call_that_comes_twice_at_once_is_one_event(site: Site, named: bool) -> None:
    fields = {"event_id": site.event_id()} if named else {}
    first, second = site.rpc_twice(VEN, "send_event", shed_kw=3.0, duration_sec=60.0, **fields)
    assert first["status"] == "accepted"
    assert second == first
    status = site.rpc(VEN, "status")
    assert status["active_event"]["event_id"] == first["event_id"]
    assert status["scheduled_events"] == []
    first, second = site.rpc_twice(VEN, "restore", event_id=first["event_id"])
    assert (first["status"], second) == ("success", first)
    acks = site.cloud.messages(f"ven/ack/{VEN_ID}")
    assert {ack["event_id"] for ack in acks if ack["status"] == "accepted"} == {first["event_id"]}


def test_driver_actuator_store_and_peers_answer_as_recorded(site: Site) -> None:
    """What the stand-ins of test_volttron_compat.py replay is what a real 10 answers."""
    recorded = checks.RECORDED["9 and 10"]
    now = get_aware_utc_now()
    slot = [DEVICE, format_timestamp(now), format_timestamp(now + timedelta(minutes=5))]
    reserved = site.rpc(ACTUATOR, "request_new_schedule", "", "t1", "HIGH", [slot])
    site.rpc(ACTUATOR, "request_cancel_schedule", "", "t1")
    event = site.cloud.command("event", event_id=site.event_id(), shed_kw=5.0, duration_sec=600)
    assert event["status"] == "accepted"
    conflict = site.rpc(ACTUATOR, "request_new_schedule", "", "t2", "LOW", [slot])
    ((owner, tasks),) = conflict["data"].items()
    assert owner == VEN
    conflict["data"] = {"other.agent": {"t1": next(iter(tasks.values()))}}
    assert site.cloud.command("restore")["status"] == "success"
    everything = site.rpc(DRIVER, "scrape_all", DEVICE)
    topic = f"{DEVICE}/ev1_limit"
    answers = {
        "reserved": reserved,
        "conflict": conflict,
        "cancel_unknown": site.rpc(ACTUATOR, "request_cancel_schedule", "", "nobody's"),
        "scrape_all": {name: everything[name] for name in recorded["scrape_all"]},
        "set_point": site.rpc(DRIVER, "set_point", DEVICE, "ev1_limit", 100),
        "set_point_by_topic": site.rpc(ACTUATOR, "set_point", "", topic, 100),
        "set_multiple_points": site.rpc(ACTUATOR, "set_multiple_points", "", [[topic, 100]]),
        "revert_point": site.rpc(ACTUATOR, "revert_point", "", topic),
    }
    assert answer_shape(answers) == answer_shape({name: recorded[name] for name in answers})
    entry = site.rpc(CONFIG_STORE, "get_config", DRIVER, f"devices/{DEVICE}", True)
    assert json.loads(entry).keys() == json.loads(recorded["get_config"]).keys()
    peers = site.volttron.dynamic_agent.vip.peerlist().get(timeout=20.0)
    assert set(recorded["peerlist"]) <= set(peers)
