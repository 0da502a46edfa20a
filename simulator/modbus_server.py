"""Devices on the wire: Modbus TCP with pymodbus 3.16, several unit ids behind one port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator.simcore import SimCore

from simulator.control_request import ControlRequestError
from simulator.faulty_registers import FaultyRegisters, FaultyRegistersSilent
from simulator.gateway_limits import GatewayLimits
from simulator.moment import Moment
from simulator.register_table import RegisterTable, RegisterTableError
from simulator.simulated_device import SimulatedDevice

# How often time passes when nobody asks. Every access brings the panel up to date by itself;
# this keeps what it then has to catch up with small.
TICK_SEC = 0.1

# Modbus function code -> table. Discrete inputs (2) are missing: the device has none.
_TABLE_BY_FUNCTION = {
    **dict.fromkeys((1, 5, 15), RegisterTable.COIL),
    **dict.fromkeys((3, 6, 16, 22, 23), RegisterTable.HOLDING),
    4: RegisterTable.INPUT,
}
# After a single write pymodbus asks for the value to put into its answer.
_SINGLE_WRITES = (5, 6)


class _DeviceContext(SimCore):
    """Answers pymodbus's reads and writes from the devices' registers.

    pymodbus's own data model (SimDevice with an action) does not fit: its action sees coils in
    groups of 16, so it cannot refuse coil 8, and it cannot keep silent.
    """

    def __init__(self, devices: Mapping[int, FaultyRegisters]) -> None:
        super().__init__([])
        self._devices = devices
        self._echo: list[int] = []

    def device_ids(self) -> list[int]:
        """The units that are served."""
        return list(self._devices)

    async def async_getValues(
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | list[bool] | ExcCodes:
        """Values for a read; for the answer to a single write, the request's own value."""
        if device_id not in self._devices:
            return ExcCodes.GATEWAY_NO_RESPONSE
        if func_code in _SINGLE_WRITES:
            # The specification wants an echo. A stuck contactor shows only in the next read.
            return self._echo
        table = _TABLE_BY_FUNCTION.get(func_code)
        if table is None:
            return ExcCodes.ILLEGAL_ADDRESS
        try:
            return self._devices[device_id].read(table, address, count, Moment.now())
        except RegisterTableError as error:
            return ExcCodes(error.exception_code)
        except FaultyRegistersSilent as silence:
            raise _keep_silent() from silence

    async def async_setValues(
        self,
        device_id: int,
        func_code: int,
        address: int,
        values: list[int] | list[bool],
    ) -> ExcCodes | None:
        """Write, or say which exception the master gets."""
        if device_id not in self._devices:
            return ExcCodes.GATEWAY_NO_RESPONSE
        table = _TABLE_BY_FUNCTION[func_code]
        try:
            self._devices[device_id].write(table, address, values, Moment.now())
        except RegisterTableError as error:
            return ExcCodes(error.exception_code)
        except FaultyRegistersSilent as silence:
            raise _keep_silent() from silence
        self._echo = list(values)
        return None


def _keep_silent() -> NoSuchIdException:
    """With `ignore_missing_devices`, pymodbus answers this exception with nothing at all."""
    return NoSuchIdException("a fault keeps this request unanswered")


class _Connection(ServerRequestHandler):
    """One master's connection: its requests in turn, each with the delay that its device has.

    pymodbus's own handler starts a request while another waits, and then answers it under the
    wrong number.
    """

    server: _Listener

    def __init__(self, owner: _Listener) -> None:
        super().__init__(owner, None, None, None)
        self._in_turn = asyncio.Lock()
        self._delay_sec = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A gateway that has all the connections it takes closes this one."""
        super().connection_made(transport)
        self.server.opened(self)

    def callback_disconnected(self, exc: Exception | None) -> None:
        """Requests that still wait are not carried out, as a device drops them with the socket."""
        super().callback_disconnected(exc)
        for task in self._tasks:
            task.cancel()
        self.server.closed()

    def handle_later(self) -> None:
        """pymodbus has understood a request."""
        if self.last_pdu is not None:
            task = asyncio.create_task(self._answer(self.last_pdu, self.last_addr))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, pdu: ModbusPDU, address: tuple[Any, ...] | None) -> None:
        async with self._in_turn, self.server.line():
            registers = self.server.devices.get(pdu.dev_id)
            try:
                delay_sec = 0.0 if registers is None else registers.admit(Moment.now())
            except FaultyRegistersSilent:
                return
            self.last_pdu, self.last_addr, self._delay_sec = pdu, address, delay_sec
            await self.handle_request()  # runs through without a pause
            self._delay_sec = 0.0
            if delay_sec:
                await asyncio.sleep(delay_sec)

    def server_send(self, pdu: ModbusPDU, addr: tuple[Any, ...] | None) -> None:
        """Send an answer, now or after the delay."""
        if self._delay_sec:
            asyncio.get_running_loop().call_later(self._delay_sec, self._send, pdu, addr)
        else:
            self._send(pdu, addr)

    def _send(self, pdu: ModbusPDU, address: tuple[Any, ...] | None) -> None:
        if self.transport is not None:
            super().server_send(pdu, address)


class _Listener(ModbusTcpServer):
    """pymodbus's server over our devices. asyncio sets TCP_NODELAY on what it accepts."""

    _RETRY_SEC = 0.05

    def __init__(self, devices: Mapping[int, FaultyRegisters], host: str, port: int) -> None:
        super().__init__([], address=(host, port), ignore_missing_devices=True)
        self.context = _DeviceContext(devices)
        self.devices = devices
        self.limits: GatewayLimits | None = None
        self.bound_port = port
        """The port that was taken; another one than asked for when that was 0."""
        self._host = host
        self._line = asyncio.Lock()
        self._accepting = True
        self._reopening: asyncio.Task[None] | None = None

    def callback_new_connection(self) -> _Connection:
        """The handler of a connection."""
        return _Connection(self)

    async def listen(self) -> bool:
        """As in pymodbus, but the OSError comes out: it says why listening failed."""
        self.is_closing = False
        self.is_listener = True
        self.transport = await self.call_create()
        sockets = cast(asyncio.Server, self.transport).sockets
        self.bound_port = int(sockets[0].getsockname()[1])
        return True

    @asynccontextmanager
    async def line(self) -> AsyncIterator[None]:
        """The way to the devices: as a gateway, for one request at a time."""
        if self.limits is None:
            yield
            return
        async with self._line:
            await asyncio.sleep(self.limits.busy_sec if self.limits else 0.0)
            yield

    async def limit(self, limits: GatewayLimits | None) -> None:
        """Be a small gateway from now on, or no longer."""
        self.limits = limits
        self._stop_accepting_when_full()
        await self._accept_again()

    def opened(self, connection: _Connection) -> None:
        """A connection was accepted: it stays, or is one too many."""
        if self.limits is not None and len(self.active_connections) > self.limits.connections:
            connection.close()
        self._stop_accepting_when_full()

    def closed(self) -> None:
        """A connection went: there may be room for another."""
        if not self._accepting and not self.is_closing:
            self._reopening = asyncio.create_task(self._accept_again())

    def _stop_accepting_when_full(self) -> None:
        if self._accepting and not self._has_room():
            self._accepting = False
            self.transport.close()

    async def _accept_again(self) -> None:
        while not self._accepting and self._has_room() and not self.is_closing:
            self._accepting = True
            try:
                again = await asyncio.get_running_loop().create_server(
                    self.handle_new_connection, self._host, self.bound_port
                )
                self.transport = cast(asyncio.BaseTransport, again)  # as pymodbus keeps it
            except OSError:  # somebody took the port in between
                self._accepting = False
                await asyncio.sleep(self._RETRY_SEC)

    def _has_room(self) -> bool:
        limits = self.limits
        if limits is None or not limits.refuse:
            return True
        return len(self.active_connections) < limits.connections


class ModbusServer:
    """Serves devices by their unit ids, and can be told to refuse connections for a while."""

    def __init__(self, devices: Mapping[int, SimulatedDevice], host: str, port: int) -> None:
        self.devices = {unit: FaultyRegisters(device) for unit, device in devices.items()}
        self.host = host
        self.port = port
        self.gateway: GatewayLimits | None = None
        self.one_controller = False
        self.listener: _Listener | None = None

    @property
    def listening(self) -> str:
        """Where it listens, in words for a person."""
        others = [f", {unit} ({it.device.kind})" for unit, it in self.devices.items()][1:]
        return f"{self.place} unit {next(iter(self.devices))}{''.join(others)}"

    @property
    def place(self) -> str:
        """The address and port that it was told to listen on."""
        return f"{self.host}:{self.port}"

    async def listen(self) -> None:
        """Start listening, again or for the first time. Raises OSError when it cannot."""
        if self.listener is not None:
            return
        listener = _Listener(self.devices, self.host, self.port)
        await listener.listen()
        self.listener = listener
        self.port = listener.bound_port

    async def close(self) -> None:
        """Stop listening and drop every connection; `listen` takes the same port again."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None
            await asyncio.sleep(0)  # asyncio closes the connections' sockets one turn later

    async def limit_gateway(self, limits: GatewayLimits | None) -> None:
        """Be a small gateway from now on, or no longer."""
        self.gateway = limits
        if self.listener is not None:
            await self.listener.limit(limits)

    def power_cycled(self, unit: int) -> None:
        """Nothing of the protocol is lost with the supply."""

    def command(self, name: str, value: float | None, priority: int) -> None:
        """Modbus has no priorities."""
        raise ControlRequestError("a BMS with a priority of its own is for BACnet alone")

    def protocol_state(self, unit: int) -> dict[str, Any]:
        """Nothing but the registers."""
        return {}

    async def run_time(self) -> None:
        """Let time pass also while nobody asks. Runs until cancelled."""
        while True:
            moment = Moment.now()
            for registers in self.devices.values():
                registers.device.advance(moment)
            await asyncio.sleep(TICK_SEC)
