"""The device shadow of a real site, with a service that behaves as AWS documents it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.platform.site import VEN_ID, Site, wait_for
from tests.support.shadow_service import ShadowService


@pytest.fixture
def service(site: Site) -> Iterator[ShadowService]:
    service = ShadowService(site.config["broker"]["port"]).start()
    yield service
    service.stop()


def reports(service: ShadowService) -> dict:
    return wait_for(lambda: service.reported(VEN_ID), "the site reports its shadow")


def wait_until_nothing_is_desired(service: ShadowService) -> None:
    wait_for(lambda: not service.desired(VEN_ID), "the desired state is cleared")


def test_the_site_reports_itself_and_takes_its_interval_from_the_shadow(
    site: Site, service: ShadowService
) -> None:
    reported = reports(service)
    assert reported["report_interval_sec"] == 1.0
    assert {c["id"]: c["enabled"] for c in reported["circuits"]}["heater1"] is True
    service.desire(VEN_ID, {"report_interval_sec": 2})
    wait_for(
        lambda: service.reported(VEN_ID)["report_interval_sec"] == 2.0, "the interval is reported"
    )
    wait_until_nothing_is_desired(service)
    assert site.rpc("ven.agent", "status")["shadow_rejected"].keys() <= {"409"}
    assert site.cloud.command("get", what="config")["data"]["report_interval_sec"] == 2.0


def enabled(service: ShadowService) -> dict[str, bool | None]:
    return {c["id"]: c.get("enabled") for c in service.reported(VEN_ID).get("circuits", [])}


def test_desired_circuits_are_switched_at_the_panel_reported_and_cleared(
    site: Site, service: ShadowService
) -> None:
    reports(service)
    wish = [{"id": "heater1", "enabled": False}, {"id": "dryer1", "enabled": False}]
    service.desire(VEN_ID, {"circuits": wish})
    wait_for(lambda: site.open_contactors() == {"heater1", "dryer1"}, "the coils are open")
    wait_for(lambda: enabled(service)["heater1"] is False, "it is reported")
    wait_until_nothing_is_desired(service)
    wait_for(lambda: len(site.cloud.acks(op="setLoad", status="success")) >= 2, "both are acked")
    acks = site.cloud.acks(op="setLoad", status="success")
    assert {ack["data"]["loadId"] for ack in acks} == {"heater1", "dryer1"}
    assert {ack["correlationId"].split("-")[0] for ack in acks} == {"shadow"}
    assert len(acks) == 2, "each was switched once, however often the delta came"
    service.desire(
        VEN_ID, {"loads": [{"id": name, "enabled": True} for name in ("heater1", "dryer1")]}
    )
    wait_for(lambda: not site.open_contactors(), "the coils are closed again")
    wait_for(lambda: enabled(service)["heater1"] is True, "it is reported")
    wait_until_nothing_is_desired(service)


def test_a_critical_circuit_is_not_switched_off_by_the_shadow(
    site: Site, service: ShadowService
) -> None:
    reports(service)
    critical = [c["id"] for c in service.reported(VEN_ID)["circuits"] if c["critical"]]
    service.desire(VEN_ID, {"circuits": [{"id": name, "enabled": False} for name in critical]})
    refused = wait_for(lambda: service.reported(VEN_ID).get("refused"), "the refusals")
    assert {entry["item"] for entry in refused} == {f"circuits.{name}" for name in critical}
    assert all("critical" in entry["reason"] for entry in refused)
    wait_until_nothing_is_desired(service)
    assert site.open_contactors() == set()


def test_a_circuit_that_an_event_holds_is_switched_by_the_shadow_and_the_event_ends_well(
    site: Site, service: ShadowService
) -> None:
    reports(service)
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=5.0, duration_sec=60)
    assert ack["status"] == "accepted", ack
    assert site.open_contactors() == {"heater1"}
    service.desire(VEN_ID, {"circuits": [{"id": "heater1", "enabled": True}]})
    wait_for(lambda: "heater1" not in site.open_contactors(), "the person's word counts")
    wait_until_nothing_is_desired(service)
    assert site.cloud.command("restore", event_id=event_id)["status"] == "success"
    site.wait_until_normal()


def test_a_wish_that_cannot_be_fulfilled_is_reported_with_its_reason_and_cleared(
    site: Site, service: ShadowService
) -> None:
    reports(service)
    wish = [{"id": "nowhere", "enabled": False}]
    service.desire(VEN_ID, {"circuits": wish, "report_interval_sec": 0.001, "power_kw": 1})
    refused = wait_for(lambda: service.reported(VEN_ID).get("refused"), "the refusals")
    wait_until_nothing_is_desired(service)
    reasons = {entry["item"]: entry["reason"] for entry in refused}
    assert set(reasons) == {"circuits.nowhere", "report_interval_sec", "power_kw"}
    assert "report_interval_sec" in reasons["report_interval_sec"]
    assert site.open_contactors() == set()


def test_what_was_desired_while_the_agent_was_away_is_done_when_it_is_back(
    site: Site, service: ShadowService
) -> None:
    reports(service)
    site.stop("ven.agent")
    service.desire(VEN_ID, {"report_interval_sec": 3})
    site.start("ven.agent")
    wait_for(
        lambda: service.reported(VEN_ID)["report_interval_sec"] == 3.0, "the interval is reported"
    )
    wait_until_nothing_is_desired(service)
