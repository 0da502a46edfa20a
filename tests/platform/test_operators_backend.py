"""The operator's backend with one real site among simulated ones: a programme is settled as the
site says, and a limit holds by the backend's heartbeats and falls to its failsafe without."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import gevent
import pytest

from tests.platform.site import ROOT, VEN, VEN_ID, Site, process, wait_for
from tests.support.ports import free_port

SIMULATED_SITES = 200
EVENT_SEC = 12
SLACK_LIMIT_KW, FAILSAFE_KW = 40.0, 8.0
"""The site draws less than the one, so that the event is not disturbed, and more than the other."""
HEARTBEAT_SEC = 10.0


class OperatorsBackend:
    """API with dispatch, and ingest, on the site's broker; a database of its own."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.limit_id, self.shed_id = site.event_id(), site.event_id()
        self.url = f"http://127.0.0.1:{free_port()}"
        self._folder = folder
        self._variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE", ""),
            "DATABASE_URL": f"sqlite:///{folder / 'backend.sqlite'}",
            "MQTT_PORT": str(site.config["broker"]["port"]),
            "API_PORT": self.url.rpartition(":")[2],
            "INGEST_HEALTH_PORT": "0",
            "MEASURE_AFTER_SEC": "1",
            "API_REQUESTS_PER_SEC": "1000",
        }

    @contextmanager
    def running(self, *modules: str) -> Iterator[None]:
        """`python -m` these, ended afterwards."""
        with ExitStack() as stack, (self._folder / "output.log").open("ab") as log:
            for module in modules:
                command = [os.environ["VENAGENT_TOOLS_PYTHON"], "-m", *module.split()]
                options = {"cwd": ROOT, "env": self._variables, "stdout": log, "stderr": log}
                stack.enter_context(process(command, **options))
            yield

    @contextmanager
    def serving(self) -> Iterator[None]:
        with self.running("backend serve"):
            wait_for(lambda: self.answer("/health/db-check"), "the API answers")
            yield

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """GET, or POST of `body`."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def answer(self, path: str) -> Any:
        """What a path answers; None while it does not, or not well."""
        gevent.sleep(0.1)
        try:
            return self.ask(path)
        except OSError:
            return None

    def wait_for(self, path: str, found: Callable[[Any], Any], what: str) -> Any:
        """What is `found` in the answer of a path, once it is there."""

        def look() -> Any:
            answer = self.answer(path)
            return None if answer is None else found(answer)

        return wait_for(look, what)


@pytest.fixture
def backend(site: Site, tmp_path: Path) -> OperatorsBackend:
    return OperatorsBackend(site, tmp_path)


def longest_pause_sec(messages: list[dict[str, Any]]) -> float:
    moments = sorted(message["ts_ms"] for message in messages)
    return max(later - one for one, later in pairwise(moments)) / 1e3


def test_a_programme_is_settled_as_the_site_says_and_a_limit_holds_by_heartbeats_alone(
    site: Site, backend: OperatorsBackend
) -> None:
    # What the tests before drew is in the last minutes of this site; this method does not ask.
    event = {**site.config["event"], "baseline_method": "meter_before"}
    site.store(VEN, "config", {**site.config, "event": event})
    normal_kw = site.panel.state()["total_kw"]
    assert FAILSAFE_KW < normal_kw < SLACK_LIMIT_KW
    limited, port = backend.limit_id, site.config["broker"]["port"]
    fleet = f"benchmarks.shedding_vens --port {port} --vens {SIMULATED_SITES} --interval 2"
    try:
        with backend.running("backend ingest"):
            with backend.serving(), backend.running(fleet):
                _limit_the_site(site, backend)
                _settle_a_programme(site, backend, normal_kw)
                _heartbeats_came_in_time(site, limited)
                heard_ms = 1e3 * time.time()  # a backend that ends may need a while for it
            fallen = _falls_to_the_failsafe(site, limited, heard_ms)
            with backend.serving():
                _leaves_the_failsafe(site, limited, fallen["ts_ms"])
                backend.ask(f"/api/events/{limited}/stop", {})
                site.cloud.ack(120.0, event_id=limited, status="completed")
    finally:
        for event_id in (backend.shed_id, limited):
            site.cloud.command("cancel", event_id=event_id)
    site.wait_until_normal()


def _limit_the_site(site: Site, backend: OperatorsBackend) -> None:
    seen = f"/api/vens/{VEN_ID}"  # simulated ones may be known before it
    backend.wait_for(seen, lambda ven: ven["status"] == "online", "the site is seen")
    terms = {
        "id": backend.limit_id,
        "kind": "limit",
        "venIds": [VEN_ID],
        "importKw": SLACK_LIMIT_KW,
        "limitPerSite": True,
        "windowSec": 5,
        "failsafeKw": FAILSAFE_KW,
        "heartbeatSec": HEARTBEAT_SEC,
        "failsafeMinSec": HEARTBEAT_SEC,
    }
    backend.ask("/api/events/", terms)
    site.cloud.telemetry(lambda message: message.get("importLimitKw") == SLACK_LIMIT_KW)


def _settle_a_programme(site: Site, backend: OperatorsBackend, normal_kw: float) -> None:
    backend.wait_for(
        "/api/stats/network", lambda n: n["onlineVens"] > SIMULATED_SITES, "all are online"
    )
    asked = {"requestedReductionKw": 1e6, "durationSec": EVENT_SEC}
    programme = {
        "id": "evening",
        "name": "Evenings",
        "powerKw": round(backend.ask("/api/events/preview", asked)["availableKw"] * 0.4, 1),
        "durationSec": EVENT_SEC,
        "baselineMethod": "meter_before",
    }
    backend.ask("/api/programmes/", programme)
    backend.ask("/api/events/", {"programmeId": "evening", "id": backend.shed_id})
    wait_for(lambda: site.panel.state()["total_kw"] < normal_kw - 0.5, "the real site sheds")
    summary = site.cloud.ack(120.0, event_id=backend.shed_id, status="completed")["summary"]
    sites = backend.wait_for(
        f"/api/settlement?programme_id=evening&event_id={backend.shed_id}",
        lambda answer: {one["venId"]: one for one in answer["sites"]},
        "the event is settled",
    )
    assert len(sites) > SIMULATED_SITES / 2
    real = sites[VEN_ID]
    assert real["baselineMethod"] == summary["baseline_method"] == "meter_before"
    assert real["baselineKw"] == pytest.approx(summary["baseline_kw"], abs=0.01)
    assert summary["delivered_kwh"] > 0.0
    # One rule for both; the site counts its meter's readings, the backend the telemetry made of
    # them, so that at either end of the event they may be a telemetry and a reading apart.
    apart_sec = 4 * longest_pause_sec(_telemetry(site)) + real["unseenSec"] + summary["unseen_sec"]
    apart_kwh = apart_sec * summary["achieved_shed_kw"] / 3_600.0
    assert real["deliveredKwh"] == pytest.approx(summary["delivered_kwh"], abs=apart_kwh)


def _telemetry(site: Site) -> list[dict[str, Any]]:
    return [one for one in site.cloud.messages("volttron/metering") if one["venId"] == VEN_ID]


def _heartbeats_came_in_time(site: Site, limited: str) -> None:
    """For longer than the site would wait for one; where the machine stood still for so long that
    none came in time, the failsafe was right."""
    since_ms = site.cloud.ack(event_id=limited, status="accepted")["ts_ms"]
    late_ms = since_ms + 1.2e3 * HEARTBEAT_SEC
    wait_for(lambda: [a for a in site.cloud.acks(op="ping") if a["ts_ms"] > late_ms], "heartbeats")
    if longest_pause_sec(site.cloud.acks(op="ping")) < HEARTBEAT_SEC:
        assert site.cloud.acks(event_id=limited, reason_code="failsafe") == []
    site.cloud.telemetry(lambda message: message.get("importLimitKw") == SLACK_LIMIT_KW)


def _falls_to_the_failsafe(site: Site, limited: str, heard_ms: float) -> dict[str, Any]:
    """With the backend gone, which was there at `heard_ms`; the ack that told it."""

    def fallen() -> list[dict[str, Any]]:
        acks = site.cloud.acks(event_id=limited, reason_code="failsafe")
        return [ack for ack in acks if ack["ts_ms"] > heard_ms]

    found = wait_for(fallen, "the failsafe, with the backend gone")[0]
    assert (found["import_kw"], found["limit_state"]) == (FAILSAFE_KW, "failsafe")
    wait_for(lambda: site.panel.state()["total_kw"] <= FAILSAFE_KW, "under the failsafe")
    return found


def _leaves_the_failsafe(site: Site, limited: str, fallen_ms: float) -> None:
    """With heartbeats again and the limit told anew; where that comes when the failsafe has ruled
    for long enough, the new limit's own ack says so."""

    def limits() -> list[dict[str, Any]]:
        acks = site.cloud.acks(event_id=limited, limit_state="limited")
        return [ack for ack in acks if ack["ts_ms"] > fallen_ms]

    left = wait_for(limits, "the limit rules again")[0]
    assert left["import_kw"] == SLACK_LIMIT_KW
    assert left["ts_ms"] >= fallen_ms + 1e3 * HEARTBEAT_SEC
