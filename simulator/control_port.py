"""The control port: faults and state for tests. Newline-delimited JSON over TCP, loopback only.

    {"op": "state"}
    {"op": "fault", "kind": "stuck_contactor", "circuit": "heater1"}
    {"op": "fault", "kind": "timeout", "register": "coil", "address": 1}
    {"op": "fault", "kind": "illegal", "register": "holding", "address": 2}
    {"op": "fault", "kind": "frozen_meter"}
    {"op": "fault", "kind": "refuse"}
    {"op": "clear"}
    {"op": "draw", "circuit": "ev1", "kw": 3.3}        null instead of a number: its own draw again

Each line is answered with one line, `{"ok": true, ...}` or `{"ok": false, "error": "..."}`.
`clear` takes away faults; overridden draws stay until they are taken back.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Protocol

from simulator.faulty_registers import FaultyRegisters
from simulator.moment import Moment
from simulator.panel_registers import ADDRESSES
from simulator.register_map import RegisterTable
from simulator.simulated_circuit import CIRCUITS, INDEX_BY_ID

LOOPBACK = "127.0.0.1"
_KINDS = ("stuck_contactor", "timeout", "write_timeout", "illegal", "frozen_meter", "refuse")
_OPS = ("state", "fault", "clear", "draw")

_Request = dict[str, Any]


class ControlPortError(Exception):
    """Says what is wrong with a request, and what would be right."""


class _Server(Protocol):
    """The panel's server, which can be told to refuse connections for a while."""

    registers: FaultyRegisters
    port: int

    async def listen(self) -> None: ...

    async def close(self) -> None: ...


class ControlPort:
    """Takes requests for one panel server."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._registers = server.registers
        self._panel = server.registers.panel
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
            return {"ok": True, **await self._perform(_parse(line))}
        except ControlPortError as bad:
            return {"ok": False, "error": str(bad)}

    async def _perform(self, request: _Request) -> dict[str, Any]:
        op = _one_of(request, "op", _OPS)
        if op == "state":
            return self._state(Moment.now())
        if op == "fault":
            await self._set_fault(request)
        elif op == "draw":
            self._set_draw(request)
        else:
            await self._clear()
        return {}

    async def _clear(self) -> None:
        self._registers.clear()
        try:
            await self._server.listen()
        except OSError as error:
            self._registers.faults.refused = True
            raise ControlPortError(
                f"the panel cannot listen on port {self._server.port} again ({error.strerror}): "
                "free that port and clear once more"
            ) from error

    async def _set_fault(self, request: _Request) -> None:
        kind = _one_of(request, "kind", _KINDS)
        faults = self._registers.faults
        if kind == "stuck_contactor":
            self._panel.stuck_contactors.add(_circuit(request))
        elif kind == "timeout":
            faults.silent.add(_spot(request, tuple(RegisterTable)))
        elif kind == "write_timeout":
            faults.silent_on_write.add(_spot(request, (RegisterTable.COIL, RegisterTable.HOLDING)))
        elif kind == "illegal":
            faults.illegal.add(_spot(request, (RegisterTable.COIL, RegisterTable.HOLDING)))
        elif kind == "frozen_meter":
            self._registers.freeze_meter(Moment.now())
        else:
            faults.refused = True
            await self._server.close()

    def _set_draw(self, request: _Request) -> None:
        index = _circuit(request)
        if "kw" not in request:
            raise ControlPortError(
                '"kw" is missing: give kilowatts, or null for its own draw again'
            )
        self._panel.advance(Moment.now())  # what was drawn until now is metered at the old draw
        if request["kw"] is None:
            self._panel.natural_overrides_kw.pop(index, None)
        else:
            draw_kw = _kilowatts(request["kw"], CIRCUITS[index].breaker_kw)
            self._panel.natural_overrides_kw[index] = draw_kw

    def _state(self, moment: Moment) -> dict[str, Any]:
        panel = self._panel
        panel.advance(moment)
        meter = panel.meter()
        heartbeat = panel.heartbeat
        deadline_sec = heartbeat.deadline_sec
        return {
            "ts": moment.wall_ts,
            "contactors": _by_id(panel.contactors_closed),
            "limits_percent": _by_id(panel.limits_percent),
            "powers_kw": _by_id(list(meter.powers_kw)),
            "natural_kw": _by_id(panel.natural_kw()),
            "total_kw": meter.total_kw,
            "voltage": meter.voltage,
            "current_amps": meter.current_amps,
            "imported_kwh": meter.imported_kwh,
            "battery_soc_percent": meter.battery_soc_percent,
            "changed_ts": {
                "contactors": _by_id(panel.contactor_changed_ts),
                "limits": _by_id(panel.limit_changed_ts),
            },
            "write_count": panel.write_count,
            "heartbeat": {
                "value": heartbeat.value,
                "timeout_sec": heartbeat.timeout_sec,
                "count": heartbeat.count,
                "armed": heartbeat.armed,
                "expires_in_sec": None if deadline_sec is None else deadline_sec - moment.mono_sec,
                "expired_count": heartbeat.expired_count,
            },
            "faults": self._registers.list_faults(),
        }


def _by_id(values: list[Any]) -> dict[str, Any]:
    return {circuit.circuit_id: value for circuit, value in zip(CIRCUITS, values, strict=True)}


def _parse(line: bytes) -> _Request:
    try:
        request = json.loads(line)
    except ValueError as error:
        raise ControlPortError(f"one JSON object a line, please: {error}") from error
    if not isinstance(request, dict):
        raise ControlPortError('a request is a JSON object such as {"op": "state"}')
    return request


def _one_of(request: _Request, key: str, allowed: tuple[str, ...]) -> str:
    value = request.get(key)
    if not isinstance(value, str) or value not in allowed:
        raise ControlPortError(
            f'"{key}" must be one of {", ".join(allowed)}, not {json.dumps(value)}'
        )
    return value


def _circuit(request: _Request) -> int:
    return INDEX_BY_ID[_one_of(request, "circuit", tuple(INDEX_BY_ID))]


def _spot(request: _Request, tables: tuple[RegisterTable, ...]) -> tuple[RegisterTable, int]:
    table = RegisterTable(_one_of(request, "register", tuple(table.value for table in tables)))
    address = request.get("address")
    # bool is an int to Python, but not an address to anybody
    if type(address) is not int or address not in ADDRESSES[table]:
        known = ", ".join(str(each) for each in sorted(ADDRESSES[table]))
        raise ControlPortError(
            f'"address" must be an address of table {table.value} ({known}), '
            f"not {json.dumps(address)}"
        )
    return table, address


def _kilowatts(value: object, breaker_kw: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ControlPortError('"kw" must be a number, or null for its own draw again')
    if not 0.0 <= value <= breaker_kw:
        raise ControlPortError(f'"kw" must be between 0 and the breaker\'s {breaker_kw:g} kW')
    return float(value)
