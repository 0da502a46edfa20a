"""The doctor: what it says of a broker, its TLS, certificates, clock, devices, and of nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ops import cli, doctor, doctor_tls, platform, processes, rpc
from ops.checks import Check
from ops.errors import OpsError
from ops.paths import Paths
from ops.ports import is_listening, wait_for
from ops.settings import Settings
from tests.ops.certificates import Authority
from tests.ops.conftest import free_port
from VenAgent.config.cloud import BrokerConfig, TlsConfig


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls_port(tmp_path: Path, authority: Authority) -> Iterator[int]:
    """A mosquitto that demands client certificates."""
    program = os.environ.get("MOSQUITTO") or shutil.which(
        "mosquitto", path=os.environ["PATH"] + ":/usr/sbin"
    )
    assert program
    port = free_port()
    certificate, key = authority.issue("broker")
    key.chmod(0o644)  # mosquitto drops to a user of its own
    tmp_path.chmod(0o755)
    config = tmp_path / "mosquitto-tls.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\ncafile {authority.file}\n"
        f"certfile {certificate}\nkeyfile {key}\nrequire_certificate true\n"
    )
    with subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL) as broker:
        try:
            assert wait_for(lambda: is_listening("127.0.0.1", port), 10)
            yield port
        finally:
            broker.terminate()


def tls(authority: Authority, days: float = 365, ca: Path | None = None) -> TlsConfig:
    certificate, key = authority.issue("thing", days)
    return TlsConfig(
        ca_cert=str(ca or authority.file), client_cert=str(certificate), private_key=str(key)
    )


def looked_at(port: int, files: TlsConfig | None) -> dict[str, Check]:
    where = BrokerConfig(host="127.0.0.1", port=port, tls=files)
    return {check.name: check for check in doctor_tls.broker(where)}


def test_a_tls_broker_with_good_certificates_has_nothing_wrong(
    authority: Authority, tls_port: int
) -> None:
    checks = looked_at(tls_port, tls(authority))
    assert {name: check.ok for name, check in checks.items()} == {
        "certificate": True,
        "private key": True,
        "broker": True,
    }
    assert "TLSv1." in checks["broker"].text
    assert not any(check.remedy for check in checks.values())


def test_a_broker_of_another_authority_is_not_trusted(
    authority: Authority, tls_port: int, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other CA")
    check = looked_at(tls_port, tls(authority, ca=other.file))["broker"]
    assert check.ok is False
    assert "not trusted" in check.text
    assert "CA_CERT" in check.remedy


@pytest.mark.parametrize(
    ("days", "words"), [(-1, "expired on"), (10, "(9 days)"), (10.5, "(10 days)")]
)
def test_a_certificate_that_ends_is_told_before_it_does(
    authority: Authority, days: float, words: str
) -> None:
    check = looked_at(free_port(), tls(authority, days))["certificate"]
    assert check.ok is False
    assert words in check.text
    assert "new certificate" in check.remedy


def test_a_key_of_another_certificate_or_open_to_all_is_told(authority: Authority) -> None:
    files = tls(authority)
    _, other_key = authority.issue("other")
    mixed = files.model_copy(update={"private_key": str(other_key)})
    assert "not the key of the certificate" in looked_at(free_port(), mixed)["private key"].text
    assert files.private_key
    Path(files.private_key).chmod(0o644)
    check = looked_at(free_port(), files)["private key"]
    assert check.ok is False
    assert "mode 644" in check.text
    assert "chmod 600" in check.remedy


def test_files_that_are_missing_or_no_pem_are_told_without_their_contents(
    authority: Authority, tmp_path: Path
) -> None:
    files = tls(authority)
    gone = files.model_copy(update={"client_cert": "/nowhere/cert.pem"})
    assert "No such file" in looked_at(free_port(), gone)["certificate"].text
    junk = tmp_path / "junk.key"
    junk.write_text("my secret words")
    bad = files.model_copy(update={"private_key": str(junk)})
    check = looked_at(free_port(), bad)["private key"]
    assert check.ok is False
    assert "secret" not in check.text


def test_a_port_where_nobody_listens_is_told(broker_port: int) -> None:
    assert looked_at(broker_port, None)["broker"].ok is True
    check = looked_at(free_port(), None)["broker"]
    assert check.ok is False
    assert "Connection refused" in check.text


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
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", said
    server.shutdown()
    thread.join()
    server.server_close()


def patient(paths: Paths, settings: Settings, **variables: str) -> doctor.Patient:
    changed = settings.model_copy(update={"variables": {**settings.variables, **variables}})
    return doctor.Patient(paths, changed)


@pytest.mark.parametrize(("ahead_sec", "good"), [(0.0, True), (-60.0, False), (60.0, False)])
def test_a_clock_that_is_wrong_is_told_by_the_backends(
    paths: Paths,
    settings: Settings,
    backend: tuple[str, dict[str, Any]],
    ahead_sec: float,
    good: bool,
) -> None:
    url, said = backend
    said["ahead_sec"] = ahead_sec
    (check,) = doctor.clock(patient(paths, settings, BACKEND_URL=url))
    assert check.ok is good
    assert bool(check.remedy) is not good


def test_a_backend_that_is_ill_or_away_is_told(
    paths: Paths, settings: Settings, backend: tuple[str, dict[str, Any]]
) -> None:
    url, said = backend
    assert [c.ok for c in doctor.backend(patient(paths, settings, BACKEND_URL=url))] == [True]
    said["status"] = 503
    (check,) = doctor.backend(patient(paths, settings, BACKEND_URL=url))
    assert (check.ok, "503" in check.text) == (False, True)
    away = f"http://127.0.0.1:{free_port()}"
    (check,) = doctor.backend(patient(paths, settings, BACKEND_URL=away))
    assert check.ok is False
    assert "cannot be reached" in check.text
    assert [c.ok for c in doctor.backend(patient(paths, settings))] == [None]


# --- devices -----------------------------------------------------------------------------------


def answering(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any]) -> None:
    def call(paths: Paths, peer: str, method: str, *arguments: Any, timeout_sec: float = 10) -> Any:
        answer = answers[method]
        if isinstance(answer, OpsError):
            raise answer
        return answer

    monkeypatch.setattr(rpc, "call", call)


def test_a_device_that_does_not_answer_or_lacks_a_point_is_told(
    paths: Paths, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = patient(paths, settings)
    values: dict[str, Any] = dict.fromkeys(
        doctor.used_points(settings.agent())["site/building/panel"], 1.0
    )
    answering(monkeypatch, {"scrape_all": values})
    assert [check.ok for check in doctor.driver_points(one)] == [True]
    values["ev1_kw"] = None
    (check,) = doctor.driver_points(one)
    assert check.text == "gives no value for ev1_kw"
    del values["ev1_kw"]
    (check,) = doctor.driver_points(one)
    assert check.text == "publishes no ev1_kw"
    assert "check-config" in check.remedy
    answering(monkeypatch, {"scrape_all": OpsError("platform.driver scrape_all: timed out")})
    (check,) = doctor.driver_points(one)
    assert check.ok is False
    assert "devices/site/building/panel" in check.remedy


def test_a_point_that_the_actuator_cannot_reach_is_told(
    paths: Paths, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = patient(paths, settings)
    topics = [circuit.point for circuit in settings.agent().build_panel().circuits]
    results: dict[str, Any] = dict.fromkeys(topics, 1)
    answering(monkeypatch, {"get_multiple_points": [results, {}]})
    assert [check.ok for check in doctor.actuator_points(one)] == [True]
    gone = topics[1]
    del results[gone]
    answering(monkeypatch, {"get_multiple_points": [results, {gone: "DriverError"}]})
    (check,) = doctor.actuator_points(one)
    assert check.ok is False
    assert f"1 of 8 points cannot be reached: {gone}: DriverError" in check.text
    answering(monkeypatch, {"get_multiple_points": [dict.fromkeys(topics), {}]})
    (check,) = doctor.actuator_points(one)
    assert "8 of 8 points cannot be reached" in check.text


def test_a_peer_without_an_answer_still_has_a_remedy(
    paths: Paths, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, {"get_multiple_points": OpsError("platform.actuator gave no answer")})
    one = patient(paths, settings)
    (check,) = doctor._safely("actuator", doctor.actuator_points, one)
    assert (check.name, check.ok, check.text) == (
        "actuator",
        False,
        "platform.actuator gave no answer",
    )
    assert "logs" in check.remedy


# --- all of it ---------------------------------------------------------------------------------


def test_where_nothing_runs_each_missing_part_has_a_remedy(
    paths: Paths, settings: Settings
) -> None:
    nowhere = {"VEN_BROKER_PORT": str(free_port())}
    checks = list(doctor.examine(paths, settings.model_copy(update={"variables": nowhere})))
    wrong = {check.name for check in checks if check.ok is False}
    assert {"platform", "broker", "VenAgent", "shadow"} <= wrong
    assert all(check.remedy for check in checks if check.ok is False)
    assert {check.name: check.ok for check in checks}["disk"] is True


def test_a_configuration_that_cannot_be_used_ends_the_look(
    paths: Paths, settings: Settings
) -> None:
    broken = settings.model_copy(update={"agent_config": {"ven_id": "x"}})
    checks = list(doctor.examine(paths, broken))
    assert [check.name for check in checks if check.ok is False] == ["configuration"]
    assert "panel" in next(check.text for check in checks if check.ok is False)


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
    paths: Paths, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = processes.Record("platform", os.getpid(), 0, processes.boot_id())
    monkeypatch.setattr(processes, "running", lambda paths, name: record)
    monkeypatch.setattr(platform, "is_up", lambda paths, record: False)
    (check,) = doctor.volttron(patient(paths, settings))
    assert check.ok is False
    assert "services are not up" in check.text
