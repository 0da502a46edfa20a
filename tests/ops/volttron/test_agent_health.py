"""`start` waits for the agents' health: longer where the machine is slow."""

from __future__ import annotations

from typing import Any

import pytest

from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings
from ops.volttron import agent_health
from ops.volttron.vctl import VctlAgentStatus


class Clock:
    """Time that passes when something is waited for."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Site:
    """Agents that are well from a moment on, asked with a vctl that takes so long."""

    def __init__(self, clock: Clock, vctl_sec: float, well_after_sec: float) -> None:
        self.clock, self.vctl_sec, self.well_ts = clock, vctl_sec, clock.now + well_after_sec
        self.restarted = 0

    def status(self, paths: Paths) -> dict[str, VctlAgentStatus]:
        self.clock.sleep(self.vctl_sec)
        health = "GOOD" if self.clock.now >= self.well_ts else "BAD"
        return {
            identity: VctlAgentStatus(identity, "", "running [1]", health, "")
            for identity in agent_health.NEEDED
        }

    def said(self, paths: Paths, identity: str) -> tuple[str, str]:
        return "BAD", "platform.driver is not there"

    def restart(self, paths: Paths, identity: str) -> None:
        self.restarted += 1


def waits(
    monkeypatch: pytest.MonkeyPatch, paths: Paths, settings: SiteSettings, **of_site: float
) -> tuple[Site, float]:
    clock = Clock()
    site = Site(clock, **of_site)
    monkeypatch.setattr(agent_health, "time", clock)
    monkeypatch.setattr(agent_health.vctl, "vctl_status", site.status)
    monkeypatch.setattr(agent_health, "agent_health", site.said)
    monkeypatch.setattr(agent_health, "restart_installed_agent", site.restart)
    answer: dict[str, Any] = {"data": {"health": "GOOD"}}
    monkeypatch.setattr(agent_health, "send_command_to_own_ven", lambda *_: answer)
    try:
        agent_health.wait_for_agent_health(paths, settings)
    except OpsError:
        return site, float("inf")
    return site, clock.now - 1000.0


def test_a_machine_that_needs_four_minutes_gets_them(
    paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, took_sec = waits(monkeypatch, paths, settings, vctl_sec=11.0, well_after_sec=230.0)
    assert 230.0 <= took_sec < 260.0


def test_on_a_usual_machine_a_fault_is_told_after_little_more_than_a_minute(
    paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, took_sec = waits(monkeypatch, paths, settings, vctl_sec=0.7, well_after_sec=100.0)
    assert took_sec == float("inf")


def test_the_actuator_is_not_restarted_again_and_again(
    paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, _ = waits(monkeypatch, paths, settings, vctl_sec=0.7, well_after_sec=59.0)
    assert site.restarted == 2
