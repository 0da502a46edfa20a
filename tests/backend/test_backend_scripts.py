"""The operators' scripts against the operator's side as it runs, with VENs that shed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from ops.host.condition import wait_for_condition
from tests.browser.operators_side import ROOT, OperatorsSide, operators_side


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorsSide]:
    with operators_side(tmp_path_factory.mktemp("side"), vens=3) as side:
        network = f"{side.url}/api/stats/network"
        assert wait_for_condition(lambda: httpx.get(network).json().get("onlineVens") == 3, 60)
        yield side


def script(side: OperatorsSide, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, f"scripts/{name}.py", *arguments],
        cwd=ROOT,
        env={**side.variables, "COLUMNS": "200", "VENAGENT_HOME": str(side.folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_whole_flow_passes_and_is_summed_up(side: OperatorsSide) -> None:
    flow = script(
        side,
        "test_e2e_event_flow",
        *("--backend-url", side.url, "--ven-id", "demo-00001", "--reduction-kw", "2"),
        *("--duration-minutes", "5", "--start-in", "1"),
    )
    assert flow.returncode == 0, flow.stdout + flow.stderr
    assert "PASSED: all 9 steps" in flow.stdout
    assert "VEN acknowledges" in flow.stdout


def test_a_flow_that_fails_says_where(side: OperatorsSide) -> None:
    flow = script(
        side,
        "test_e2e_event_flow",
        *("--backend-url", side.url, "--ven-id", "silent", "--timeout", "1"),
    )
    assert flow.returncode == 1
    assert "FAILED: telemetry arrives" in flow.stdout


def test_a_ven_is_registered_and_monitored(side: OperatorsSide) -> None:
    where = ("--backend-url", side.url, "--ven-id", "demo-00002")
    made = script(side, "register_ven", *where, "--name", "Two", "--lat", "1", "--lon", "2")
    assert made.returncode == 0, made.stderr
    assert "registered demo-00002 (Two), online" in made.stdout
    again = script(side, "register_ven", *where, "--status", "online")
    assert "registered demo-00002 (Two), online" in again.stdout, again.stderr
    seen = script(side, "monitor_ven", *where, "--count", "2", "--interval", "0.2", "--json")
    assert seen.returncode == 0, seen.stderr
    decoder = json.JSONDecoder()
    first, _ = decoder.raw_decode(seen.stdout)
    assert first["name"] == "Two"
    assert first["location"] == {"lat": 1.0, "lon": 2.0}


def test_a_backend_that_is_not_there_is_named(side: OperatorsSide) -> None:
    answer = script(side, "register_ven", "--backend-url", "http://127.0.0.1:9", "--ven-id", "x")
    assert answer.returncode == 1
    assert "cannot reach the backend" in answer.stderr


def test_telemetry_on_the_broker_is_checked(side: OperatorsSide) -> None:
    port = side.variables["MQTT_PORT"]
    heard = script(
        side,
        "test_mqtt_telemetry",
        *("--ven-id", "demo-00000", "--port", port, "--count", "2", "--timeout", "60"),
    )
    assert heard.returncode == 0, heard.stdout + heard.stderr
    assert "2 telemetries, all as the contract says" in heard.stdout
    silent = script(
        side,
        "test_mqtt_telemetry",
        *("--ven-id", "nobody", "--port", port, "--count", "1", "--timeout", "1"),
    )
    assert silent.returncode == 1
    assert "only 0 of 1" in silent.stderr
