"""Readings of the panel: the driver's publications as they come, and a read at once by RPC."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import gevent

from VenAgent.config import AgentConfig
from VenAgent.config.driver_entry import DriverEntry
from VenAgent.dr.panel import PanelReading
from VenAgent.site.device_requests import (
    ABSENT,
    DeviceRequestFailure,
    DeviceRequests,
    request_by_device,
)
from VenAgent.site.point_readings import PointReadings
from VenAgent.site.priority_arrays import PriorityArrays
from VenAgent.volttron_compat import (
    RPC_FAILURES,
    volttron_compat_device_points,
    volttron_compat_failure_text,
)

_log = logging.getLogger(__name__)

SUBSCRIBE_SEC = 5.0


class Meter:
    """The panel's devices at the platform driver. `on_reading` gets each new reading."""

    def __init__(
        self,
        vip: Any,
        requests: DeviceRequests,
        config: AgentConfig,
        on_reading: Callable[[PanelReading], None],
        await_drivers: Callable[[], None] = lambda: None,
    ) -> None:
        """`await_drivers`: waits a little for `know_drivers`, after a start."""
        self._await_drivers = await_drivers
        self._vip = vip
        self._requests = requests
        self._config = config
        self._on_reading = on_reading
        self._drivers: Mapping[str, DriverEntry] = {}
        """By device; empty until the driver's configuration has been read."""
        self._arrays = PriorityArrays(requests, config, self.unit_of)
        self.points = PointReadings(config)
        self._failures: dict[str, DeviceRequestFailure] = {}
        """Why the last request of each device failed, of those whose last one did."""
        self.failure: str | None = None
        """Why the last read by RPC did not work; None when it did."""
        self.failed_alone = False
        """It was answered that the last read failed: the next one may succeed."""

    def start(self) -> None:
        """Subscribe to the devices' publications: `/all` on 9 and 10, `/multi` on 11.

        Raises nothing that the bus can cause: without them the meter is stale, and says so.
        """
        for device in self._config.devices():
            try:
                # by prefix, so this is the device's own topics and not its neighbour's
                self._vip.pubsub.subscribe(
                    peer="pubsub", prefix=f"devices/{device}/", callback=self._published
                ).get(timeout=SUBSCRIBE_SEC)
            except RPC_FAILURES as failure:
                _log.error(
                    "could not subscribe to %s: %s", device, volttron_compat_failure_text(failure)
                )

    def stop(self) -> None:
        for device in self._config.devices():
            try:
                self._vip.pubsub.unsubscribe(
                    peer="pubsub", prefix=f"devices/{device}/", callback=self._published
                ).get(timeout=SUBSCRIBE_SEC)
            except RPC_FAILURES as failure:
                _log.warning(
                    "could not unsubscribe %s: %s", device, volttron_compat_failure_text(failure)
                )

    def reconfigure(self, config: AgentConfig) -> None:
        """A new configuration: other devices, and the old readings of those that stay."""
        self.stop()
        before, self._config, self.points = self.points, config, PointReadings(config)
        self._arrays = PriorityArrays(self._requests, config, self.unit_of)
        self.points.adopt(before)
        self.know_drivers(self._drivers)
        self.start()

    def know_drivers(self, drivers: Mapping[str, DriverEntry]) -> None:
        """What drives each device: it decides how a circuit goes back, and when a point is old."""
        self._drivers = drivers
        self._arrays.know_drivers(drivers)
        self.points.expect_intervals(
            {d: entry.interval_sec for d, entry in drivers.items() if entry.interval_sec}
        )
        self.points.give_back_by_driver({d: entry.driver_type for d, entry in drivers.items()})
        self._know_previous()

    def reading(self, now: float) -> PanelReading:
        return self.points.reading(now)

    def fresh_reading(self, devices: Iterable[str] | None = None) -> PanelReading:
        """The panel as it is now, read from the devices; all but who has been silent for long if
        none are named.

        The values of a device that does not answer are null (`failure` says why), never old ones.
        Nor does a publication take part that comes meanwhile: its time is that of the end of the
        driver's scrape, and a slow one may have read the points before they were last written.
        """
        if devices is None:
            asleep = self._asleep()
            devices = [device for device in self._config.devices() if device not in asleep]
        return self._reading_of(devices)

    def plan_reading(self) -> PanelReading:
        """The panel as a plan may take it: a slow device, or one whose answer got lost, as it was
        last published, if that is fresh and was read after our last write to it. Who has been
        silent for long and is not the panel's meter is not waited for: an inverter sleeps."""
        self._await_drivers()
        slots = gevent.spawn(self._arrays.read_slots)
        slow = {d for d in self._config.devices() if self._requests.is_slow(d) and self._serves(d)}
        left = slow | self._asleep()
        asked = [device for device in self._config.devices() if device not in left]
        reading = self._reading_of(asked, published=slow, else_published=True)
        held = slots.get()
        previous, switches = self._know_previous()
        circuits = {
            circuit_id: replace(
                circuit,
                slot=held.get(circuit_id),
                relinquish=circuit.relinquish and circuit_id not in previous,
                relinquish_switch=circuit.relinquish_switch and circuit_id not in switches,
            )
            for circuit_id, circuit in reading.circuits.items()
        }
        return replace(reading, circuits=circuits)

    def read_slots(self) -> None:
        """Which outputs can be given back to whoever had them is known before a command asks."""
        self._arrays.read_slots()
        self._know_previous()

    def _know_previous(self) -> tuple[Container[str], Container[str]]:
        """The circuits that no driver can give back: they get what they held before. Where a mode
        says whether a command rules, that is what gives it back. The same is known of their
        contactors."""
        previous, switches = set(), set()
        for circuit in self._config.circuits:
            device = self._config.control_device_of(circuit)
            entry = self._drivers.get(device)
            without = set() if entry is None else {f"{device}/{e}" for e in entry.without_default}
            control = f"{device}/{circuit.control_point}"
            switch = f"{device}/{circuit.switch_point}"
            if control in self._arrays.uncommandable:
                previous.add(circuit.id)
            if control in without and circuit.mode_point is None:
                previous.add(circuit.id)
            if switch in self._arrays.uncommandable | without:
                switches.add(circuit.id)
        self.points.keep_previous(frozenset(previous), frozenset(switches))
        return previous, switches

    def _reading_of(
        self,
        devices: Iterable[str],
        published: Iterable[str] = (),
        *,
        else_published: bool = False,
    ) -> PanelReading:
        self._await_drivers()
        asked_ts = time.time()
        devices = list(devices)
        answers, failures = self._read(devices, asked_ts, self._requests.together_sec(devices))
        own = self.points.blank()
        for device, values in answers.items():
            own.update(device, values, asked_ts)
        instead = [
            device
            for device, failure in failures.items()
            if else_published and failure.kind != ABSENT and self._serves(device)
        ]
        for device in (*published, *instead):
            own.adopt(self.points, device)
        now = time.time()
        for device in answers if else_published else ():  # it may have lacked some points
            own.fill_from(self.points, device, now, self._requests.slowest_sec(device))
        return own.reading(now, None if else_published else now - asked_ts)

    def _asleep(self) -> set[str]:
        others = {*self.points.stale(time.time())} - self.points.devices_of_total
        return {device for device in others if self._requests.is_failing(device)}

    def _serves(self, device: str) -> bool:
        """Whether what was last published of a device is as good as read now."""
        began_before_sec = self._requests.slowest_sec(device)
        return self.points.is_published_since_write(device, time.time(), began_before_sec)

    def read_now(self) -> bool:
        """Read all devices at once, in parallel; whether all answered."""
        _, failures = self._read(self._config.devices(), time.time())
        return not failures

    def _read(
        self, devices: Iterable[str], asked_ts: float, within_sec: float | None = None
    ) -> tuple[dict[str, Mapping[str, Any]], dict[str, DeviceRequestFailure]]:
        """What the devices answer, and why the others did not, by device."""
        answers: dict[str, Mapping[str, Any]] = {}
        failures: dict[str, DeviceRequestFailure] = {}

        def late(device: str) -> Mapping[str, Any] | DeviceRequestFailure:
            return DeviceRequestFailure(f"no answer within {within_sec:g} s", is_silence=True)

        for device, answer in request_by_device(devices, self._scrape, within_sec, late).items():
            if isinstance(answer, DeviceRequestFailure):
                failures[device] = answer
            else:
                answers[device] = answer
        for device, values in answers.items():
            self.points.update(device, values, asked_ts, now=time.time(), complete=True)
        known = {d: why for d, why in self._failures.items() if d in self._config.devices()}
        self._failures = {d: why for d, why in known.items() if d not in answers} | failures
        self.failure = "; ".join(f"{d}: {why}" for d, why in self._failures.items()) or None
        self.failed_alone = bool(failures) and all(why.may_be_alone for why in failures.values())
        if answers:
            self._on_reading(self.points.reading(time.time()))
        return answers, failures

    def _scrape(self, device: str) -> Mapping[str, Any] | DeviceRequestFailure:
        """All points of a device, or why not."""
        driver = self._config.driver_identity
        try:
            answer = self._requests.ask(device, driver, "scrape_all", device)
        except DeviceRequestFailure as failure:
            return failure
        return volttron_compat_device_points(device, answer) or DeviceRequestFailure(
            f"{driver} answered {answer!r}"
        )

    def written(self, values: Mapping[str, float | bool | None], ts: float) -> None:
        """These points (`device/point`) were written: what was read of them before is no more."""
        self.points.written(values, ts)

    def unit_of(self, topic: str) -> float | None:
        """What one unit of the register at `device/point` is; None if that is not known yet."""
        return self.points.unit_of(topic)

    def is_commandable(self, topic: str) -> bool:
        """Whether the BACnet priority array of `device/point` was read."""
        return self._arrays.is_commandable(topic)

    def _published(
        self,
        peer: str,
        sender: str,
        bus: str,
        topic: str,
        headers: Mapping[str, Any],
        message: Any,
    ) -> None:
        """A publication of the driver: `[values, metadata]`."""
        device, _, kind = topic.removeprefix("devices/").rpartition("/")
        if kind not in ("all", "multi"):
            return
        values = message[0] if isinstance(message, list) and message else message
        if not isinstance(values, Mapping):
            _log.warning("%s from %s is not a set of points; ignored", topic, sender)
            return
        now = time.time()
        self.points.update(device, values, _timestamp(headers, now), now, published=True)
        self._on_reading(self.points.reading(now))


def _timestamp(headers: Mapping[str, Any], now: float) -> float:
    """When the driver read the device (epoch s); now, if it does not say or says the future."""
    text = headers.get("TimeStamp") or headers.get("Date")
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return now
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return min(moment.timestamp(), now)
