"""The panel on the wire: Modbus TCP with pymodbus 3.16."""

from __future__ import annotations

import asyncio
from typing import cast

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator.simcore import SimCore

from simulator.faulty_registers import FaultyRegisters, RequestUnanswered
from simulator.moment import Moment
from simulator.register_map import RegisterError, RegisterTable
from simulator.simulated_panel import SimulatedPanel

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
    """Answers pymodbus's reads and writes from the register map.

    pymodbus's own data model (SimDevice with an action) does not fit: its action sees coils in
    groups of 16, so it cannot refuse coil 8, and it cannot keep silent.
    """

    def __init__(self, registers: FaultyRegisters, unit: int) -> None:
        super().__init__([])
        self._registers = registers
        self._unit = unit
        self._echo: list[int] = []

    def device_ids(self) -> list[int]:
        """The one unit that is served."""
        return [self._unit]

    async def async_getValues(
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | list[bool] | ExcCodes:
        """Values for a read; for the answer to a single write, the request's own value."""
        if device_id != self._unit:
            return ExcCodes.GATEWAY_NO_RESPONSE
        if func_code in _SINGLE_WRITES:
            # The specification wants an echo. A stuck contactor shows only in the next read.
            return self._echo
        table = _TABLE_BY_FUNCTION.get(func_code)
        if table is None:
            return ExcCodes.ILLEGAL_ADDRESS
        try:
            return self._registers.read(table, address, count, Moment.now())
        except RegisterError as error:
            return ExcCodes(error.exception_code)
        except RequestUnanswered as silence:
            raise _keep_silent() from silence

    async def async_setValues(
        self,
        device_id: int,
        func_code: int,
        address: int,
        values: list[int] | list[bool],
    ) -> ExcCodes | None:
        """Write, or say which exception the master gets."""
        if device_id != self._unit:
            return ExcCodes.GATEWAY_NO_RESPONSE
        try:
            self._registers.write(_TABLE_BY_FUNCTION[func_code], address, values, Moment.now())
        except RegisterError as error:
            return ExcCodes(error.exception_code)
        except RequestUnanswered as silence:
            raise _keep_silent() from silence
        self._echo = list(values)
        return None


def _keep_silent() -> NoSuchIdException:
    """With `ignore_missing_devices`, pymodbus answers this exception with nothing at all."""
    return NoSuchIdException("a fault keeps this request unanswered")


class _Listener(ModbusTcpServer):
    """pymodbus's server over our context. asyncio sets TCP_NODELAY on what it accepts."""

    def __init__(self, context: _DeviceContext, host: str, port: int) -> None:
        super().__init__([], address=(host, port), ignore_missing_devices=True)
        self.context = context

    async def listen(self) -> bool:
        """As in pymodbus, but the OSError comes out: it says why listening failed."""
        self.is_closing = False
        self.is_listener = True
        self.transport = await self.call_create()
        return True

    def bound_port(self) -> int:
        """The port that was taken; another one than asked for when that was 0."""
        sockets = cast(asyncio.Server, self.transport).sockets
        return int(sockets[0].getsockname()[1])


class ModbusServer:
    """Serves one panel, and can be told to refuse connections for a while."""

    def __init__(self, panel: SimulatedPanel, host: str, port: int, unit: int) -> None:
        self.registers = FaultyRegisters(panel)
        self.host = host
        self.port = port
        self.unit = unit
        self.listener: _Listener | None = None

    @property
    def listening(self) -> str:
        """Where it listens, in words for a person."""
        return f"{self.place} unit {self.unit}"

    @property
    def place(self) -> str:
        """The address and port that it was told to listen on."""
        return f"{self.host}:{self.port}"

    async def listen(self) -> None:
        """Start listening, again or for the first time. Raises OSError when it cannot."""
        if self.listener is not None:
            return
        listener = _Listener(_DeviceContext(self.registers, self.unit), self.host, self.port)
        await listener.listen()
        self.listener = listener
        self.port = listener.bound_port()

    async def close(self) -> None:
        """Stop listening and drop every connection; `listen` takes the same port again."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None
            await asyncio.sleep(0)  # asyncio closes the connections' sockets one turn later

    async def run_time(self) -> None:
        """Let time pass also while nobody asks. Runs until cancelled."""
        while True:
            self.registers.panel.advance(Moment.now())
            await asyncio.sleep(TICK_SEC)
