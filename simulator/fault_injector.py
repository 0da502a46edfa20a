"""Switches faults on: each kind with its fields, as the control port and `--fault` take them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from simulator.control_request import ControlRequest, ControlRequestError
from simulator.device_faults import DeviceFaultFalseReading
from simulator.device_server import DeviceServer
from simulator.faulty_registers import FaultyRegisters
from simulator.gateway_limits import GatewayLimits
from simulator.moment import Moment
from simulator.panel_registers import PanelRegisters
from simulator.register_table import RegisterTable

_OF_A_WHOLE_DEVICE = ("lost", "slow", "away", "power_cycle")
_WRITABLE = (RegisterTable.COIL, RegisterTable.HOLDING)


class FaultInjector:
    """Sets one server's faults."""

    FIELDS: Mapping[str, tuple[str, ...]] = {
        "stuck_contactor": ("circuit",),
        "timeout": ("register", "address"),
        "write_timeout": ("register", "address"),
        "illegal": ("register", "address"),
        "illegal_read": ("register", "address"),
        "frozen_meter": (),
        "refuse": (),
        "reading": ("register", "address", "value", "words", "times"),
        "lost": ("every",),
        "slow": ("seconds",),
        "slow_readback": ("seconds",),
        "away": ("seconds",),
        "power_cycle": ("seconds",),
        "partial_limit": ("circuit", "share"),
        "unlimited_word": ("word",),
        "gateway": ("seconds", "connections", "extra"),
    }
    """Which fields each kind of fault takes."""

    def __init__(self, server: DeviceServer) -> None:
        self._server = server
        self._setters: dict[str, _Setter] = {
            "stuck_contactor": self._stuck_contactor,
            "timeout": self._timeout,
            "write_timeout": self._write_timeout,
            "illegal": self._illegal,
            "illegal_read": self._illegal_read,
            "frozen_meter": self._frozen_meter,
            "refuse": self._refuse,
            "reading": self._reading,
            "lost": self._lost,
            "slow": self._slow,
            "slow_readback": self._slow_readback,
            "away": self._away,
            "power_cycle": self._power_cycle,
            "partial_limit": self._partial_limit,
            "unlimited_word": self._unlimited_word,
            "gateway": self._gateway,
        }

    async def inject(self, request: ControlRequest, unit: int, moment: Moment) -> None:
        """Switch on what a request asks for; a bad one changes nothing."""
        kind = request.one_of("kind", tuple(self.FIELDS))
        request.refuse_others(("op", "unit", "kind", *self.FIELDS[kind]))
        is_first = unit == next(iter(self._server.devices))
        if self._server.one_controller and kind in _OF_A_WHOLE_DEVICE and not is_first:
            raise ControlRequestError(f"over BACnet all devices are {kind} as one: name no unit")
        self._setters[kind](request, unit, moment)
        if kind == "refuse":
            await self._server.close()
        elif kind == "gateway":
            await self._server.limit_gateway(_gateway_limits(request))

    def _device(self, unit: int) -> FaultyRegisters:
        return self._server.devices[unit]

    def panel(self, unit: int) -> PanelRegisters:
        """The device of a unit id, which must be a panel."""
        device = self._device(unit).device
        if not isinstance(device, PanelRegisters):
            raise ControlRequestError(f"unit {unit} is a {device.kind}: it has no circuits")
        return device

    # -- single registers

    def _timeout(self, request: ControlRequest, unit: int, moment: Moment) -> None:
        device = self._device(unit)
        device.faults.silent.add(request.spot(device.device, tuple(RegisterTable)))

    def _write_timeout(self, request: ControlRequest, unit: int, moment: Moment) -> None:
        device = self._device(unit)
        device.faults.silent_on_write.add(request.spot(device.device, _WRITABLE))

    def _illegal(self, request: ControlRequest, unit: int, moment: Moment) -> None:
        device = self._device(unit)
        device.faults.illegal.add(request.spot(device.device, _WRITABLE))

    def _illegal_read(self, request: ControlRequest, unit: int, moment: Moment) -> None:
        device = self._device(unit)
        spot = request.spot(device.device, tuple(RegisterTable))
        device.faults.illegal_on_read.add(spot)

    def _reading(self, request: ControlRequest, unit: int, moment: Moment) -> None:
        device = self._device(unit)
        table, address = request.spot(device.device, tuple(RegisterTable))
        words = request.words()
        if words is None:
            words = struct.unpack(">2H", struct.pack(">f", request.float_value()))
        elif "value" in request.fields:
            raise ControlRequestError('give "value" or "words", not both')
        times = None
        if request.fields.get("times") is not None:
            times = request.whole("times", 1, 1_000_000)
        device.faults.false_readings.append(DeviceFaultFalseReading(table, address, words, times))

    def _frozen_meter(self, request: ControlRequest, unit: int, moment: Moment) -> None:
        self._device(unit).freeze_meter(moment)

    # -- the whole device

    def _refuse(self, request: ControlRequest, unit: int, moment: Moment) -> None:
        for device in self._server.devices.values():
            device.faults.refused = True

    def _lost(self, request: ControlRequest, unit: int, moment: Moment) -> None:
        faults = self._device(unit).faults
        faults.lost_every = request.whole("every", 1, 1_000_000)
        faults.request_count = 0

    def _slow(self, request: ControlRequest, unit: int, moment: Moment) -> None:
        self._device(unit).faults.delay_sec = request.seconds()

    def _slow_readback(self, request: ControlRequest, unit: int, moment: Moment) -> None:
        self._device(unit).faults.readback_lag_sec = request.seconds()

    def _away(self, request: ControlRequest, unit: int, moment: Moment) -> None:
        self._device(unit).go_away(request.seconds(), moment)

    def _power_cycle(self, request: ControlRequest, unit: int, moment: Moment) -> None:
        self._device(unit).power_cycle(request.seconds(), moment)
        self._server.power_cycled(unit)

    def _gateway(self, request: ControlRequest, unit: int, moment: Moment) -> None:
        _gateway_limits(request)

    # -- circuits

    def _stuck_contactor(self, request: ControlRequest, unit: int, moment: Moment) -> None:
        self.panel(unit).panel.stuck_contactors.add(request.circuit())

    def _partial_limit(self, request: ControlRequest, unit: int, moment: Moment) -> None:
        panel, index = self.panel(unit).panel, request.circuit()
        share = request.number("share", 0.0, 1.0)
        panel.advance(moment)  # what was drawn until now is metered as it was
        panel.limit_shares[index] = share

    def _unlimited_word(self, request: ControlRequest, unit: int, moment: Moment) -> None:
        word = request.whole("word", 0, 0xFFFF)
        if word not in (0, 0xFFFF):
            raise ControlRequestError(f'"word" must be 0 or 65535, not {word}')
        self.panel(unit).set_unlimited_word(word)


def _gateway_limits(request: ControlRequest) -> GatewayLimits:
    extra = "close"
    if "extra" in request.fields:
        extra = request.one_of("extra", ("close", "refuse"))
    return GatewayLimits(
        busy_sec=request.number("seconds", 0.0, 60.0, default=0.045),
        connections=request.whole("connections", 1, 100, default=1),
        refuse=extra == "refuse",
    )


_Setter = Callable[[ControlRequest, int, Moment], None]
