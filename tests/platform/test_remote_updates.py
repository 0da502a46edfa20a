"""`set` and `setConfig` in a real platform: into the config store, in force, and answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.platform.site import CONFIG_STORE, VEN, Site, wait_for


def stored(site: Site) -> dict[str, Any]:
    return json.loads(site.rpc(CONFIG_STORE, "get_config", VEN, "config", True))


@pytest.mark.parametrize("op", ["set", "setConfig"])
def test_an_interval_is_written_to_the_store_and_in_force(site: Site, op: str) -> None:
    site.store(VEN, "config", site.config)
    before = stored(site)
    ack = site.cloud.command(op, report_interval_seconds="2", shadow_interval_sec=7)
    assert ack["status"] == "success", ack
    assert ack["data"] == {"applied": {"report_interval_sec": 2.0, "shadow_interval_sec": 7.0}}
    assert stored(site) == {**before, **ack["data"]["applied"]}
    shown = site.cloud.command("get", what="config")["data"]
    assert (shown["report_interval_sec"], shown["shadow_interval_sec"]) == (2.0, 7.0)


def test_it_works_when_the_store_holds_nothing_yet(site: Site) -> None:
    site.rpc(CONFIG_STORE, "delete_config", VEN, "config")
    ack = site.cloud.command("set", report_interval_sec=2)
    assert ack["status"] == "success", ack
    assert stored(site) == {**site.config, "report_interval_sec": 2.0}


def test_bad_values_are_rejected_and_change_nothing(site: Site) -> None:
    site.store(VEN, "config", site.config)
    before = stored(site)
    for fields, words in (
        ({"report_interval_sec": 0.01}, "report_interval_sec"),
        ({"report_interval_sec": 2, "shadow_interval_sec": 0}, "shadow_interval_sec"),
        ({"report_interval_sec": "often"}, "must be a number"),
        ({}, "nothing to set"),
    ):
        ack = site.cloud.command("set", **fields)
        assert (ack["status"], ack["ok"]) == ("rejected", False)
        assert words in ack["reason"]
    assert stored(site) == before
    refused = site.status()["refused"]
    assert refused["command.bad_field"] >= 3
    assert refused["command.nothing_to_set"] >= 1


def test_the_same_command_again_gets_the_same_answer_and_changes_nothing(site: Site) -> None:
    command = {"op": "set", "correlationId": "set-once", "report_interval_sec": 2}
    site.cloud.publish(command)
    first = site.cloud.ack(correlationId="set-once")
    site.cloud.command("set", report_interval_sec=3)
    site.cloud.publish(command)
    wait_for(lambda: len(site.cloud.acks(correlationId="set-once")) == 2, "the answer again")
    assert site.cloud.acks(correlationId="set-once")[1] == first
    assert stored(site)["report_interval_sec"] == 3.0
