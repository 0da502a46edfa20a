"""A whole site whose way to the broker fails, and whose agent is killed meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from tests.platform.site import VEN, VEN_ID, Site, wait_for
from tests.support.tcp_proxy import TcpProxy

MONITOR_SEC = 8.0
"""The platform's monitor starts a killed agent at its next look, but a second time after minutes
only."""


@pytest.fixture
def proxy(site: Site) -> Iterator[TcpProxy]:
    """Between this site's agent and the broker, while the test runs."""
    proxy = TcpProxy(site.config["broker"]["port"])
    broker = {**site.config["broker"], "port": proxy.port}
    site.store(VEN, "config", {**site.config, "broker": broker})
    wait_for(lambda: site.status()["link"]["state"] == "online" and proxy.connections, "online")
    yield proxy
    proxy.heal()
    wait_for(lambda: site.status()["link"]["state"] == "online", "online again", 90.0)
    site.store(VEN, "config", site.config)
    wait_for(lambda: proxy.connections == 0, "the way around the proxy", 120.0)
    proxy.close()


@pytest.fixture
def link_on_bus(site: Site) -> Iterator[list[dict[str, Any]]]:
    heard: list[dict[str, Any]] = []

    def hear(_peer: str, _sender: str, _bus: str, _topic: str, _headers: Any, message: Any) -> None:
        heard.append(message)

    pubsub = site.volttron.dynamic_agent.vip.pubsub
    pubsub.subscribe("pubsub", f"ven/{VEN_ID}/link", hear).get(timeout=60)
    yield heard
    pubsub.unsubscribe("pubsub", f"ven/{VEN_ID}/link", hear).get(timeout=60)


def kill_and_start(site: Site) -> None:
    site.kill(VEN)
    deadline = time.monotonic() + MONITOR_SEC
    while site.pid(VEN) is None:
        if time.monotonic() > deadline:
            site.start(VEN)
            return
        gevent.sleep(0.2)


def test_an_outage_is_told_to_bus_and_health_and_over_it_no_telemetry_is_lost_though_we_are_killed(
    site: Site, proxy: TcpProxy, link_on_bus: list[dict[str, Any]]
) -> None:
    first = site.cloud.telemetry(lambda message: True)["seq"]
    proxy.refusing = True
    proxy.cut()

    def told() -> dict[str, Any] | None:  # that it came online before may be told late
        outages = (body for body in link_on_bus if body["state"] in ("offline", "refused"))
        return next(outages, None)

    assert wait_for(told, "the bus is told")["why"]
    site.wait_for_health("BAD", "MQTT: ", " since ")
    wait_for(lambda: site.status()["outbox_depth"] >= 6, "telemetry waits")
    kill_and_start(site)
    site.wait_for_health("BAD", "MQTT: ", timeout_sec=60.0)
    before = site.status()
    assert before["outbox_oldest_ts"] < time.time() - 3.0
    assert before["outbox_thinned"] == 0
    last = site.rpc(VEN, "status")["outbox_depth"]
    assert last >= 6
    proxy.heal()
    wait_for(lambda: site.status()["link"]["state"] == "online", "online again", 90.0)
    wait_for(lambda: link_on_bus[-1]["state"] == "online", "the bus is told")
    newest = site.cloud.telemetry(lambda message: True)["seq"]
    wait_for(lambda: site.status()["outbox_depth"] <= 4, "the backlog is sent")

    def whole() -> bool:
        seqs = {message["seq"] for message in site.cloud.messages("volttron/metering")}
        return seqs >= set(range(first, newest + 1))

    wait_for(whole, f"every telemetry from {first} to {newest}")
    site.wait_for_health("GOOD", timeout_sec=60.0)
