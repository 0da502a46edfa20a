"""The doctor: what it says of clock, backend, devices, agents, and of nothing."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.cli import ven_control as cli
from ops.doctor import examination as doctor
from ops.doctor import volttron_checks as doctor_volttron
from ops.doctor.doctor_check import DoctorCheck
from ops.host import processes
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings
from ops.volttron import agent_health as health
from ops.volttron import config_store, vctl
from ops.volttron import volttron_platform as platform
from ops.volttron import volttron_rpc as rpc
from tests.support.ports import free_port

# --- clock and backend -------------------------------------------------------------------------


@pytest.fixture
def backend() -> Iterator[tuple[str, dict[str, Any]]]:
    """An HTTP server whose clock and status the test sets."""
    said: dict[str, Any] = {"ahead_sec": 0.0, "status": 200}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(said["status"])
            self.send_header("Date", formatdate(time.time() + said["ahead_sec"], usegmt=True))
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", said
    server.shutdown()
    thread.join()
    server.server_close()


def patient(paths: Paths, settings: SiteSettings, **variables: str) -> doctor.DoctorCheckSubject:
    changed = replace(settings, variables={**settings.variables, **variables})
    return doctor.DoctorCheckSubject(paths, changed)


@pytest.mark.parametrize(("ahead_sec", "good"), [(0.0, True), (-60.0, False), (60.0, False)])
def test_a_clock_that_is_wrong_is_told_by_the_backends(
    paths: Paths,
    settings: SiteSettings,
    backend: tuple[str, dict[str, Any]],
    ahead_sec: float,
    good: bool,
) -> None:
    url, said = backend
    said["ahead_sec"] = ahead_sec
    (check,) = doctor._clock(patient(paths, settings, BACKEND_URL=url))
    assert check.ok is good
    assert bool(check.remedy) is not good


def test_a_backend_that_is_ill_or_away_is_told(
    paths: Paths, settings: SiteSettings, backend: tuple[str, dict[str, Any]]
) -> None:
    url, said = backend
    assert [c.ok for c in doctor._backend(patient(paths, settings, BACKEND_URL=url))] == [True]
    said["status"] = 503
    (check,) = doctor._backend(patient(paths, settings, BACKEND_URL=url))
    assert (check.ok, "503" in check.text) == (False, True)
    away = f"http://127.0.0.1:{free_port()}"
    (check,) = doctor._backend(patient(paths, settings, BACKEND_URL=away))
    assert check.ok is False
    assert "cannot be reached" in check.text
    assert [c.ok for c in doctor._backend(patient(paths, settings))] == [None]


# --- devices -----------------------------------------------------------------------------------


DEVICE = "site/building/panel"
MODBUS = {"driver_type": "modbus", "driver_config": {"device_address": "10.0.0.7", "port": 502}}
BACNET = {"driver_type": "bacnet", "driver_config": {"device_address": "10.0.0.8"}}


def answering(
    monkeypatch: pytest.MonkeyPatch,
    answers: dict[str, Any],
    stored: dict[str, Any] = MODBUS,
    answered: dict[str, Any] | None = None,
) -> None:
    """What VOLTTRON answers, by method; `stored` is the driver's entry for our device, `answered`
    how long the device takes, as VenAgent has seen it."""

    def call(paths: Paths, peer: str, method: str, *arguments: Any, timeout_sec: float = 10) -> Any:
        answer = store[method] if method in store else answers[method]
        if isinstance(answer, OpsError):
            raise answer
        return answer

    store = {
        "list_configs": [f"devices/{DEVICE}"] if stored else [],
        "get_config": json.dumps(stored),
        "status": {"devices": {DEVICE: answered}},
    }
    monkeypatch.setattr(rpc, "call_volttron_rpc", call)


def test_a_device_that_does_not_answer_or_lacks_a_point_is_told(
    paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = patient(paths, settings)
    values: dict[str, Any] = dict.fromkeys(
        doctor_volttron._used_points(settings.agent())[DEVICE], 1.0
    )
    answering(monkeypatch, {"scrape_all": values})
    assert [check.ok for check in doctor_volttron.volttron_device_checks(one)] == [True]
    values["ev1_kw"] = None
    (check,) = doctor_volttron.volttron_device_checks(one)
    assert check.text == "gives no value for ev1_kw"
    del values["ev1_kw"]
    (check,) = doctor_volttron.volttron_device_checks(one)
    assert check.text == "publishes no ev1_kw"
    assert "check-config" in check.remedy
    answering(monkeypatch, {"scrape_all": OpsError("platform.driver scrape_all: timed out")})
    (check,) = doctor_volttron.volttron_device_checks(one)
    assert check.ok is False
    assert "10.0.0.7:502" in check.remedy
    assert f"devices/{DEVICE}" in check.remedy


def test_a_slow_device_is_named_with_its_figures_and_not_taken_for_dead(
    paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {"answer_sec": 8.1, "slowest_answer_sec": 8.4, "waited_for_sec": 16.8}
    timed_out = OpsError("platform.driver scrape_all: no answer within 10 s")
    answering(monkeypatch, {"scrape_all": timed_out}, {**MODBUS, "interval": 60}, seen)
    (check,) = doctor_volttron.volttron_device_checks(patient(paths, settings))
    assert check.ok is True
    assert "8.4 s" in check.text
    answering(monkeypatch, {"scrape_all": timed_out}, {**MODBUS, "interval": 5}, seen)
    (check,) = doctor_volttron.volttron_device_checks(patient(paths, settings))
    assert check.ok is False
    assert '"interval" of 17 s' in check.remedy


def test_what_shares_a_gateway_is_looked_at_together(
    paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    relays = "site/building/relays"
    settings.agent_config["circuits"][1]["control_device"] = relays
    names = ["config", f"devices/{DEVICE}", f"devices/{relays}"]
    stored: dict[str, Any] = {"max_open_sockets": None}

    def call(paths: Paths, peer: str, method: str, *arguments: Any, timeout_sec: float = 10) -> Any:
        if method == "list_configs":
            return names
        return json.dumps(stored if arguments[-1] == "config" else MODBUS)

    monkeypatch.setattr(rpc, "call_volttron_rpc", call)
    (check,) = doctor_volttron._gateways(patient(paths, settings))
    assert (check.name, check.ok) == ("gateway 10.0.0.7:502", False)
    assert "max_open_sockets" in check.remedy
    eleven = patient(replace(paths, generation=11), settings)
    (check,) = doctor_volttron._gateways(eleven)
    assert check.ok is True, "driver 2 keeps one connection to each host and port"
    stored["max_open_sockets"] = 1
    (check,) = doctor_volttron._gateways(patient(paths, settings))
    assert check.ok is True


def test_an_entry_that_makes_driver_2_refuse_other_agents_single_points_is_named(
    paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries: dict[str, dict[str, Any]] = {f"devices/{DEVICE}": dict(MODBUS), "devices/site": {}}

    def call(paths: Paths, peer: str, method: str, *arguments: Any, timeout_sec: float = 10) -> Any:
        return list(entries) if method == "list_configs" else json.dumps(entries[arguments[-1]])

    monkeypatch.setattr(rpc, "call_volttron_rpc", call)
    eleven = patient(replace(paths, generation=11), settings)
    assert list(doctor_volttron._write_reservations(eleven)) == []
    for name in entries:  # of the device, or of a topic above it
        entries[name]["reservation_required_for_write"] = True
        (check,) = doctor_volttron._write_reservations(eleven)
        assert check.ok is True  # this agent writes under its reservation
        assert name in check.name
        del entries[name]["reservation_required_for_write"]


def test_a_device_that_the_driver_does_not_know_is_told(
    paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, {}, stored={})
    (check,) = doctor_volttron.volttron_device_checks(patient(paths, settings))
    assert (check.ok, check.text) == (False, "platform.driver has no configuration for it")
    assert f"load-config MODEL --device {DEVICE}" in check.remedy


def test_what_needs_an_agent_that_does_not_run_is_not_looked_at(
    paths: Paths, settings: SiteSettings
) -> None:
    one = patient(paths, settings)
    one.absent = {"platform.driver", "ven.agent"}
    checks = [
        *doctor_volttron.volttron_device_checks(one),
        *doctor_volttron.volttron_actuator_checks(one),
        *doctor._answers(one),
        *doctor._shadow(one),
    ]
    assert [(check.name, check.ok) for check in checks] == [
        ("devices", None),
        ("actuator", None),
        ("VenAgent", None),
        ("shadow", None),
    ]


# --- agents ------------------------------------------------------------------------------------


def well(identity: str) -> vctl.VctlAgentStatus:
    return vctl.VctlAgentStatus(identity, "", "running [1]", "GOOD", "")


def looked_at_agents(one: doctor.DoctorCheckSubject) -> dict[str, DoctorCheck]:
    return {check.name: check for check in doctor_volttron.volttron_agent_checks(one)}


def test_a_bacnet_device_needs_its_proxy(
    paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = {name: well(name) for name in health.NEEDED}
    monkeypatch.setattr(vctl, "vctl_status", lambda paths: installed)
    answering(monkeypatch, {})
    assert set(looked_at_agents(patient(paths, settings))) == set(health.NEEDED)
    answering(monkeypatch, {}, stored=BACNET)
    check = looked_at_agents(patient(paths, settings))["platform.bacnet_proxy"]
    assert check.text == f"is not installed and {DEVICE} is a BACnet device"
    assert "VEN_BACNET_ADDRESS=" in check.remedy
    stopped = vctl.VctlAgentStatus("platform.bacnet_proxy", "", "0", "", "")
    installed[stopped.identity] = stopped
    check = looked_at_agents(patient(paths, settings))["platform.bacnet_proxy"]
    assert (check.ok, "it was stopped" in check.text) == (False, True)
    installed[stopped.identity] = well(stopped.identity)
    assert all(check.ok for check in looked_at_agents(patient(paths, settings)).values())


def test_a_bacnet_device_that_names_another_proxy_needs_that_one(
    paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vctl, "vctl_status", lambda paths: {n: well(n) for n in health.NEEDED})
    other = {**BACNET, "driver_config": {"proxy_address": "floor2.bacnet_proxy"}}
    driver_2 = {"remote_config": {"driver_type": "bacnet", "proxy_address": "floor2.bacnet_proxy"}}
    for entry in (other, driver_2):
        answering(monkeypatch, {}, stored=entry)
        assert "identity floor2.bacnet_proxy" in (
            looked_at_agents(patient(paths, settings))["floor2.bacnet_proxy"].remedy
        )


def test_an_agent_that_ended_says_how(
    paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = {name: well(name) for name in health.NEEDED}
    installed["platform.driver"] = vctl.VctlAgentStatus("platform.driver", "", "-9", "", "")
    del installed["platform.actuator"]
    monkeypatch.setattr(vctl, "vctl_status", lambda paths: installed)
    answering(monkeypatch, {})
    one = patient(paths, settings)
    checks = looked_at_agents(one)
    assert "ended with -9" in checks["platform.driver"].text
    assert checks["platform.actuator"].text == "is not installed"
    assert one.absent == {"platform.driver", "platform.actuator"}


def test_a_point_that_the_actuator_cannot_reach_is_told(
    paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = patient(paths, settings)
    topics = [circuit.point for circuit in settings.agent().build_panel().circuits]
    results: dict[str, Any] = dict.fromkeys(topics, 1)
    answering(monkeypatch, {"get_multiple_points": [results, {}]})
    assert [check.ok for check in doctor_volttron.volttron_actuator_checks(one)] == [True]
    gone = topics[1]
    del results[gone]
    answering(monkeypatch, {"get_multiple_points": [results, {gone: "DriverError"}]})
    (check,) = doctor_volttron.volttron_actuator_checks(one)
    assert check.ok is False
    assert f"1 of 8 points cannot be reached: {gone}: DriverError" in check.text
    answering(monkeypatch, {"get_multiple_points": [dict.fromkeys(topics), {}]})
    (check,) = doctor_volttron.volttron_actuator_checks(one)
    assert "8 of 8 points cannot be reached" in check.text


def test_a_peer_without_an_answer_still_has_a_remedy(
    paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, {"get_multiple_points": OpsError("platform.actuator gave no answer")})
    one = patient(paths, settings)
    (check,) = doctor._safely("actuator", doctor_volttron.volttron_actuator_checks, one)
    assert (check.name, check.ok, check.text) == (
        "actuator",
        False,
        "platform.actuator gave no answer",
    )
    assert "logs" in check.remedy


# --- all of it ---------------------------------------------------------------------------------


def test_where_nothing_runs_each_missing_part_has_a_remedy(
    paths: Paths, settings: SiteSettings
) -> None:
    nowhere = {"VEN_BROKER_PORT": str(free_port())}
    checks = list(doctor.examination_of_site(paths, replace(settings, variables=nowhere)))
    wrong = {check.name for check in checks if check.ok is False}
    assert {"platform", "broker", "VenAgent"} <= wrong
    assert all(check.remedy for check in checks if check.ok is False)
    assert {check.name: check.ok for check in checks}["disk"] is True


def test_a_configuration_that_cannot_be_used_ends_the_look(
    paths: Paths, settings: SiteSettings
) -> None:
    broken = replace(settings, agent_config={"ven_id": "x"})
    checks = list(doctor.examination_of_site(paths, broken))
    assert [check.name for check in checks if check.ok is False] == ["platform", "configuration"]
    assert "panel" in next(check.text for check in checks if check.name == "configuration")


def test_the_configuration_looked_at_is_the_stores(
    paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edited since `start`; one that VenAgent refuses leaves the last good one to the others."""
    one = patient(paths, settings)
    one.platform_is_up = True
    stored = {**settings.agent_config, "ven_id": "edited"}
    monkeypatch.setattr(config_store, "config_store_agent_config", lambda paths: stored)
    (check,) = doctor._safely("configuration", doctor._configuration, one)
    assert (check.ok, "edited, 8 circuits, from config store" in check.text) == (True, True)
    stored = {**stored, "report_interval_sec": -1}
    (check,) = doctor._safely("configuration", doctor._configuration, one)
    assert (check.ok, "report_interval_sec" in check.text) == (False, True)
    assert "vctl config edit ven.agent config" in check.remedy
    assert one.agent.ven_id == "edited"


def test_the_command_exits_with_1_and_prints_json(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Paths, "from_environment", lambda: paths)
    monkeypatch.setenv("VEN_BROKER_PORT", str(free_port()))
    result = CliRunner().invoke(cli.app, ["doctor", "--json"])
    assert result.exit_code == 1
    said = json.loads(result.output)
    assert said["ok"] is False
    assert {"name", "ok", "text", "remedy"} == set(said["checks"][0])


def test_a_platform_that_is_up_is_told_from_one_that_is_not(
    paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = processes.ProcessRecord("platform", os.getpid(), 0, processes._boot_id())
    monkeypatch.setattr(processes, "running_process", lambda paths, name: record)
    monkeypatch.setattr(platform, "running_process", lambda paths, name: record)
    monkeypatch.setattr(platform, "volttron_platform_is_up", lambda paths, record: False)
    (check,) = doctor_volttron.volttron_platform_checks(patient(paths, settings))
    assert check.ok is False
    assert "services are not up" in check.text
