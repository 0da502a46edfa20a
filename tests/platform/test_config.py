"""The configuration is edited in the config store while the agent runs."""

from __future__ import annotations

import copy

from tests.platform.site import VEN, Site, wait_for


def test_a_changed_interval_takes_effect_without_a_restart(site: Site) -> None:
    pid = site.pid(VEN)
    config = copy.deepcopy(site.config)
    config["report_interval_sec"] = 3600.0  # no telemetry comes in time for this test any more
    site.store(VEN, "config", config)
    wait_for(
        lambda: site.rpc(VEN, "get_panel")["report_interval_sec"] == 3600.0, "the long interval"
    )
    config["report_interval_sec"] = 0.5
    site.store(VEN, "config", config)
    first = site.cloud.telemetry(lambda message: True)
    site.cloud.telemetry(lambda message: message["seq"] >= first["seq"] + 4)
    assert site.rpc(VEN, "get_panel")["report_interval_sec"] == 0.5
    assert site.pid(VEN) == pid


def test_a_bad_configuration_leaves_the_last_good_one_running_over_a_kill_and_says_why(
    site: Site,
) -> None:
    config = copy.deepcopy(site.config)
    config["circuits"][2]["breaker_amps"] = -5
    site.store(VEN, "config", config)
    site.wait_for_health("BAD", "circuits[2].breaker_amps", "last good one stays in force")
    ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=5, duration_sec=600)
    assert ack["status"] == "accepted"
    assert site.open_contactors()
    site.wait_for_successor(VEN, site.kill(VEN))
    site.wait_for_health("BAD", "circuits[2].breaker_amps", "last good one stays in force")
    assert site.cloud.command("restore")["status"] == "success"
    assert site.open_contactors() == set()
    site.store(VEN, "config", site.config)
    site.wait_for_health("GOOD")


def test_an_event_goes_on_over_a_change_and_is_restored_as_it_began(site: Site) -> None:
    event_id = site.event_id()
    site.cloud.command("event", event_id=event_id, shed_kw=3, duration_sec=600)
    config = copy.deepcopy(site.config)
    config["circuits"] = [c for c in config["circuits"] if c["id"] != "dryer1"]
    site.store(VEN, "config", config)
    telemetry = site.cloud.telemetry(lambda message: len(message["circuits"]) == 7)
    assert telemetry["eventId"] == event_id
    assert site.open_contactors() == {"dryer1"}
    assert site.cloud.command("restore")["status"] == "success"
    assert site.open_contactors() == set()


def test_a_point_the_driver_does_not_have_is_named_in_health(site: Site) -> None:
    config = copy.deepcopy(site.config)
    config["circuits"][1]["power_point"] = "heater1_watts"
    site.store(VEN, "config", config)
    site.wait_for_health("BAD", "site/building/panel/heater1_watts")
