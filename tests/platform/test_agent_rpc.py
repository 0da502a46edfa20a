"""The agent's RPC as other agents and VOLTTRON Central use it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.platform.site import VEN, VEN_ID, Site

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
    def call(method: str, *values: Any) -> Any:
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
