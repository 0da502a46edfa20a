"""The control port: faults and state for tests. Newline-delimited JSON over TCP, loopback only.

    {"op": "state"}
    {"op": "fault", "kind": "stuck_contactor", "circuit": "heater1"}
    {"op": "fault", "kind": "timeout", "register": "coil", "address": 1}
    {"op": "clear"}
    {"op": "draw", "circuit": "ev1", "kw": 3.3}        null instead of a number: its own draw again
    {"op": "hand", "circuit": "ev1", "closed": false}  a person at the site moves the contactor
    {"op": "set", "unit": 2, "name": "outdoor_c", "value": 38}  the weather, the car; see README.md
    {"op": "bms", "object": "heater1_contactor", "value": 0}    the building's own command, BACnet

Each line is answered with one line, `{"ok": true, ...}` or `{"ok": false, "error": "..."}`.
`"unit": 2` in a request means the device with that unit id; without it, the first. All kinds of
faults stand in README.md. `clear` takes away faults of all units; overridden draws stay until
they are taken back.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from simulator.control_request import ControlRequest, ControlRequestError
from simulator.device_server import DeviceServer
from simulator.equipment_registers import EquipmentRegisters
from simulator.fault_injector import FaultInjector
from simulator.moment import Moment
from simulator.simulated_circuit import CIRCUITS
from simulator.simulated_panel import SimulatedPanel

LOOPBACK = "127.0.0.1"
_OPS = ("state", "fault", "clear", "draw", "hand", "bms", "set")


class ControlPort:
    """Takes requests for the devices of one server."""

    def __init__(self, server: DeviceServer) -> None:
        self._server = server
        self._injector = FaultInjector(server)
        self._listener: asyncio.Server | None = None

    async def listen(self, port: int) -> int:
        """Start listening and return the port taken. Raises OSError when it cannot."""
        self._listener = await asyncio.start_server(self._serve, LOOPBACK, port)
        return int(self._listener.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answer = await self.answer(line)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            # The peer went, or sends something without an end (asyncio caps a line at 64 KiB).
            pass
        finally:
            writer.close()

    async def answer(self, line: bytes) -> dict[str, Any]:
        """The answer to one request line; a bad one changes nothing."""
        try:
            return {"ok": True, **await self._perform(ControlRequest.from_line(line))}
        except ControlRequestError as bad:
            return {"ok": False, "error": str(bad)}

    async def inject_fault(self, request: ControlRequest) -> None:
        """Switch one fault on; ControlRequestError says what is wrong with it."""
        await self._injector.inject(request, self._unit(request), Moment.now())

    async def _perform(self, request: ControlRequest) -> dict[str, Any]:
        op = request.one_of("op", _OPS)
        if op == "state":
            return self._state(request)
        if op == "fault":
            await self.inject_fault(request)
        elif op == "draw":
            self._set_draw(request)
        elif op == "hand":
            panel, index = self._panel(request), request.circuit()
            panel.advance(moment := Moment.now())
            panel.move_by_hand(index, request.truth("closed"), moment)
        elif op == "set":
            self._change_setting(request)
        elif op == "bms":
            self._command(request)
        else:
            await self._clear()
        return {}

    async def _clear(self) -> None:
        devices = self._server.devices.values()
        for device in devices:
            device.clear()
        try:
            await self._server.limit_gateway(None)
            await self._server.listen()
        except OSError as error:
            for device in devices:
                device.faults.refused = True
            raise ControlRequestError(
                f"the panel cannot listen on port {self._server.port} again ({error.strerror}): "
                "free that port and clear once more"
            ) from error

    def _set_draw(self, request: ControlRequest) -> None:
        panel, index = self._panel(request), request.circuit()
        if "kw" not in request.fields:
            raise ControlRequestError(
                '"kw" is missing: give kilowatts, or null for its own draw again'
            )
        draw_kw = None
        if request.fields["kw"] is not None:
            draw_kw = request.kilowatts("kw", CIRCUITS[index].breaker_kw)
        panel.advance(Moment.now())  # what was drawn until now is metered at the old draw
        if draw_kw is None:
            panel.natural_overrides_kw.pop(index, None)
        else:
            panel.natural_overrides_kw[index] = draw_kw

    def _change_setting(self, request: ControlRequest) -> None:
        unit = self._unit(request)
        device = self._server.devices[unit].device
        if not isinstance(device, EquipmentRegisters):
            raise ControlRequestError(f"unit {unit} is a {device.kind}: it has nothing to set")
        request.refuse_others(("op", "unit", "name", "value"))
        device.change_setting(request, Moment.now())

    def _command(self, request: ControlRequest) -> None:
        request.refuse_others(("op", "object", "value", "priority"))
        if "value" not in request.fields:
            raise ControlRequestError('"value" is missing: give a number, or null to give up')
        value = None
        if request.fields["value"] is not None:
            value = request.number("value", -1e9, 1e9)
        priority = request.whole("priority", 1, 16, default=16)
        self._server.command(str(request.fields.get("object")), value, priority)

    def _state(self, request: ControlRequest) -> dict[str, Any]:
        moment = Moment.now()
        unit = self._unit(request)
        gateway = self._server.gateway
        registers = self._server.devices[unit]
        return {
            "ts": moment.wall_ts,
            "unit": unit,
            "kind": registers.device.kind,
            **registers.device.state(moment),
            **self._server.protocol_state(unit),
            "units": {str(each): it.device.kind for each, it in self._server.devices.items()},
            "faults": [
                *registers.list_faults(moment),
                *([] if gateway is None else [gateway.listed()]),
            ],
        }

    def _unit(self, request: ControlRequest) -> int:
        units = list(self._server.devices)
        unit = request.fields.get("unit", units[0])
        if type(unit) is not int or unit not in units:
            known = ", ".join(str(each) for each in units)
            raise ControlRequestError(f'"unit" must be one of {known}, not {json.dumps(unit)}')
        return unit

    def _panel(self, request: ControlRequest) -> SimulatedPanel:
        return self._injector.panel(self._unit(request)).panel
