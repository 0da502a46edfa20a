"""The building as the agent has it: what reads it, what writes to it, what protects it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent

from VenAgent.config import AgentConfig
from VenAgent.dr.panel import PanelReading
from VenAgent.site.actuator import Actuator
from VenAgent.site.device_requests import SIGN_OF_LIFE, DeviceRequests
from VenAgent.site.driver_entries import driver_entries
from VenAgent.site.failsafe import Failsafe
from VenAgent.site.meter import Meter
from VenAgent.volttron_compat import RPC_FAILURES, Unreachable, VolttronCompatCalls

READ_EVERY_SEC = 300.0
"""The devices are read by a request, beside the driver's publications."""
SIGN_WITHIN_SEC = 5.0


class Building:
    """The parts of this room wired together; they outlive a configuration."""

    def __init__(
        self, agent: Any, config: AgentConfig, on_reading: Callable[[PanelReading], None]
    ) -> None:
        self._calls = VolttronCompatCalls(agent)
        self._config = config
        self._reading = gevent.Greenlet()
        self._requests = DeviceRequests(self._calls, config)
        self.meter = Meter(agent.vip, self._requests, config, on_reading)
        self.actuator = Actuator(
            self._calls,
            self._requests,
            config,
            agent.core.identity,
            self.meter.written,
            self.meter.unit_of,
        )
        self.failsafe = Failsafe(self._requests, config.leases, config.driver_identity)

    def start(self) -> None:
        """Listen to the devices."""
        self.meter.start()
        gevent.spawn(self._read_driver_entries)
        self._reading = gevent.spawn(self._read_now_and_then)

    def reconfigure(self, config: AgentConfig) -> None:
        """A new configuration: other devices, and what is known of those that stay."""
        self._config = config
        self._requests.reconfigure(config)
        self.actuator.reconfigure(config)
        self.failsafe.reconfigure(config.leases, config.driver_identity)
        self.meter.reconfigure(config)
        gevent.spawn(self._read_driver_entries)

    def stop(self) -> None:
        self._reading.kill()
        self.meter.stop()

    def has_driver(self) -> bool:
        """Whether the driver runs, be it too busy to answer."""
        try:
            self._calls.call(self._config.driver_identity, SIGN_OF_LIFE).get(
                timeout=SIGN_WITHIN_SEC
            )
        except Unreachable:
            return False
        except RPC_FAILURES:
            return True
        return True

    def _read_driver_entries(self) -> None:
        """Which devices share a gateway, and what decides how a circuit goes back."""
        config = self._config
        entries = driver_entries(self._calls, config.driver_identity, config.devices())
        self.meter.know_drivers(entries)
        self.actuator.know_drivers({d: entry.driver_type for d, entry in entries.items()})
        self._requests.share_gateways(
            {d: entry.gateway for d, entry in entries.items() if entry.gateway is not None}
        )
        self.meter.read_now()
        self.meter.read_slots()

    def _read_now_and_then(self) -> None:
        """What each device needs for an answer is known before an event asks for it."""
        while True:
            gevent.sleep(READ_EVERY_SEC)
            self.meter.read_now()

    def device_answers(self) -> dict[str, dict[str, float | bool | None]]:
        """By device: how long its answers take, and how long they are waited for (s)."""
        return {device: self._requests.answers_of(device) for device in self._config.devices()}
