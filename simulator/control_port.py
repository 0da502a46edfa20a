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

from simulator.circuits import CIRCUITS, INDEX_BY_ID
from simulator.faults import FaultyRegisters
from simulator.panel import Moment
from simulator.registers import ADDRESSES, Table
from simulator.server import now

LOOPBACK = "127.0.0.1"
KINDS = ("stuck_contactor", "timeout", "write_timeout", "illegal", "frozen_meter", "refuse")
OPS = ("state", "fault", "clear", "draw")

Request = dict[str, Any]


class BadRequest(Exception):
    """Says what is wrong with a request, and what would be right."""


class Server(Protocol):
    """A panel on the wire, Modbus or BACnet."""

    registers: FaultyRegisters
    port: int

    async def listen(self) -> None: ...

    async def close(self) -> None: ...

    async def run_time(self) -> None: ...


class ControlPort:
    """Takes requests for one panel server."""

    def __init__(self, server: Server) -> None:
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
        except BadRequest as bad:
            return {"ok": False, "error": str(bad)}

    async def _perform(self, request: Request) -> dict[str, Any]:
        op = _one_of(request, "op", OPS)
        if op == "state":
            return self._state(now())
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
            raise BadRequest(
                f"the panel cannot listen on port {self._server.port} again ({error.strerror}): "
                "free that port and clear once more"
            ) from error

    async def _set_fault(self, request: Request) -> None:
        kind = _one_of(request, "kind", KINDS)
        faults = self._registers.faults
        if kind == "stuck_contactor":
            self._panel.stuck_contactors.add(_circuit(request))
        elif kind == "timeout":
            faults.silent.add(_spot(request, tuple(Table)))
        elif kind == "write_timeout":
            faults.silent_on_write.add(_spot(request, (Table.COIL, Table.HOLDING)))
        elif kind == "illegal":
            faults.illegal.add(_spot(request, (Table.COIL, Table.HOLDING)))
        elif kind == "frozen_meter":
            self._registers.freeze_meter(now())
        else:
            faults.refused = True
            await self._server.close()

    def _set_draw(self, request: Request) -> None:
        index = _circuit(request)
        if "kw" not in request:
            raise BadRequest('"kw" is missing: give kilowatts, or null for its own draw again')
        self._panel.advance(now())  # what was drawn until now is metered at the old draw
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


def _parse(line: bytes) -> Request:
    try:
        request = json.loads(line)
    except ValueError as error:
        raise BadRequest(f"one JSON object a line, please: {error}") from error
    if not isinstance(request, dict):
        raise BadRequest('a request is a JSON object such as {"op": "state"}')
    return request


def _one_of(request: Request, key: str, allowed: tuple[str, ...]) -> str:
    value = request.get(key)
    if not isinstance(value, str) or value not in allowed:
        raise BadRequest(f'"{key}" must be one of {", ".join(allowed)}, not {json.dumps(value)}')
    return value


def _circuit(request: Request) -> int:
    return INDEX_BY_ID[_one_of(request, "circuit", tuple(INDEX_BY_ID))]


def _spot(request: Request, tables: tuple[Table, ...]) -> tuple[Table, int]:
    table = Table(_one_of(request, "register", tuple(table.value for table in tables)))
    address = request.get("address")
    # bool is an int to Python, but not an address to anybody
    if type(address) is not int or address not in ADDRESSES[table]:
        known = ", ".join(str(each) for each in sorted(ADDRESSES[table]))
        raise BadRequest(
            f'"address" must be an address of table {table.value} ({known}), '
            f"not {json.dumps(address)}"
        )
    return table, address


def _kilowatts(value: object, breaker_kw: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadRequest('"kw" must be a number, or null for its own draw again')
    if not 0.0 <= value <= breaker_kw:
        raise BadRequest(f'"kw" must be between 0 and the breaker\'s {breaker_kw:g} kW')
    return float(value)
