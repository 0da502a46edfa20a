"""The building as the agent has it: what reads it, what writes to it, what protects it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import gevent
from gevent.event import Event as GreenEvent

from VenAgent.config import AgentConfig
from VenAgent.config.driver_entry import DriverEntry
from VenAgent.dr.panel import PanelReading
from VenAgent.site.actuator import Actuator
from VenAgent.site.device_requests import SIGN_OF_LIFE, DeviceRequests
from VenAgent.site.driver_entries import driver_entries
from VenAgent.site.failsafe import Failsafe
from VenAgent.site.meter import Meter
from VenAgent.site.polling_pace import PolledDevice, PollingPace, polling_paces_too_fast
from VenAgent.volttron_compat import RPC_FAILURES, Unreachable, VolttronCompatCalls

READ_EVERY_SEC = 300.0
"""The devices are read by a request, beside the driver's publications."""
READ_AGAIN_SEC = 2.5
"""Twice as long, and then further and further apart, until config store and devices have answered:
a driver that starts refuses all readings, though it publishes soon after."""
SIGN_WITHIN_SEC = 5.0
ENTRIES_WITHIN_SEC = 5.0
"""So long what is planned or written waits for the driver's entries after a start or an edit: they
decide whether a point is given back or written."""


class Building:
    """The parts of this room wired together; they outlive a configuration."""

    def __init__(
        self, agent: Any, config: AgentConfig, on_reading: Callable[[PanelReading], None]
    ) -> None:
        self._calls = VolttronCompatCalls(agent)
        self._config = config
        self._reading = gevent.Greenlet()
        self._entries: Mapping[str, DriverEntry] = {}
        """By device, as the driver's configuration was last read."""
        self._entries_read = GreenEvent()
        self._entries_until = 0.0
        """By the monotonic clock: till then they are waited for."""
        self._requests = DeviceRequests(self._calls, config, self._polled_too_fast)
        self.meter = Meter(agent.vip, self._requests, config, on_reading, self._await_entries)
        self.actuator = Actuator(
            self._calls,
            self._requests,
            config,
            agent.core.identity,
            self.meter.written,
            self.meter.unit_of,
            self.meter.is_commandable,
            self._await_entries,
        )
        self.failsafe = Failsafe(self._requests, config.leases, config.driver_identity)

    def start(self) -> None:
        """Listen to the devices."""
        self.meter.start()
        self._read_entries_anew()

    def reconfigure(self, config: AgentConfig) -> None:
        """A new configuration: other devices, and what is known of those that stay."""
        self._config = config
        self._requests.reconfigure(config)
        self.actuator.reconfigure(config)
        self.failsafe.reconfigure(config.leases, config.driver_identity)
        self.meter.reconfigure(config)
        self._reading.kill(block=False)
        self._read_entries_anew()

    def _read_entries_anew(self) -> None:
        if not self._entries.keys() >= {*self._config.devices()}:
            self._entries_read.clear()
            self._entries_until = time.monotonic() + ENTRIES_WITHIN_SEC
        self._reading = gevent.spawn(self._read_now_and_then)

    def _await_entries(self) -> None:
        """Only in a greenlet of its own: the config store, which has them, may itself wait for us
        to take a new configuration."""
        self._entries_read.wait(timeout=max(0.0, self._entries_until - time.monotonic()))

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

    def _read_driver_entries(self) -> bool:
        """Which devices share a gateway, what decides how a circuit goes back, and how long each
        device takes. Whether all of it was answered."""
        config = self._config
        entries, is_complete = driver_entries(
            self._calls, config.driver_identity, config.devices(), self._entries
        )
        self._entries = entries
        self.meter.know_drivers(entries)
        self.actuator.know_drivers({d: entry.driver_type for d, entry in entries.items()})
        self._requests.share_gateways(
            {d: entry.gateway for d, entry in entries.items() if entry.gateway is not None}
        )
        if is_complete:
            self._entries_read.set()
        all_read = self.meter.read_now()
        self.meter.read_slots()
        return is_complete and all_read

    def _read_now_and_then(self) -> None:
        """What each device needs for an answer is known before an event asks for it, and what was
        corrected in the driver's entries; what was not answered is asked for again sooner."""
        pause_sec = READ_AGAIN_SEC
        while True:
            is_complete = self._read_driver_entries()
            pause_sec = READ_AGAIN_SEC if is_complete else min(2.0 * pause_sec, READ_EVERY_SEC)
            gevent.sleep(READ_EVERY_SEC if is_complete else pause_sec)

    def polling_paces(self) -> list[PollingPace]:
        """Of the connections whose devices are polled faster than they answer."""
        now = time.time()
        return polling_paces_too_fast(
            PolledDevice(
                name=device,
                gateway=entry.gateway or device,
                interval_sec=entry.interval_sec,
                reading_sec=self._requests.last_reading_sec(device),
                fruitless_sec=self._requests.fruitless_sec(device),
                published_each_sec=self.meter.points.published_each_sec(device),
                silent_sec=self.meter.points.silent_sec(device, now),
            )
            for device, entry in self._entries.items()
            if entry.interval_sec
        )

    def _polled_too_fast(self) -> set[str]:
        return {device for pace in self.polling_paces() for device in pace.devices}

    def device_answers(self) -> dict[str, dict[str, Any]]:
        """By device: how long its answers take, how long they are waited for (s), and what to do
        about a pace at which it is polled too fast."""
        paces = {
            device: {"what": pace.what, "remedy": pace.remedy}
            for pace in self.polling_paces()
            for device in pace.devices
        }
        return {
            device: {**self._requests.answers_of(device), "polled_too_fast": paces.get(device)}
            for device in self._config.devices()
        }
