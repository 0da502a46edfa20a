"""The panel on the wire: BACnet/IP with bacpypes.

bacpypes is fed by asyncio here: one thread, so that nothing reads a panel that another changes.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Mapping

from simulator.control_request import ControlRequestError
from simulator.fault_injector import GatewayLimits
from simulator.faulty_registers import FaultyRegisters, RequestUnanswered
from simulator.modbus_server import TICK_SEC
from simulator.moment import Moment
from simulator.simulated_device import SimulatedDevice

with warnings.catch_warnings():  # bacpypes is built on asyncore, which Python 3.12 dropped
    warnings.simplefilter("ignore", DeprecationWarning)
    import asyncore

    from bacpypes import core
    from bacpypes.app import BIPSimpleApplication
    from bacpypes.local.device import LocalDeviceObject
    from bacpypes.service.object import ReadWritePropertyMultipleServices

    from simulator.bacnet_objects import VENDOR_ID, bacnet_objects


class _Application(BIPSimpleApplication, ReadWritePropertyMultipleServices):
    """Answers reads and writes of the panel's objects; a silent fault answers nothing."""

    def __init__(self, device: LocalDeviceObject, address: str, registers: FaultyRegisters) -> None:
        super().__init__(device, address)
        self._registers = registers

    def indication(self, apdu: object) -> None:
        try:
            delay_sec = self._registers.admit(Moment.now())
        except RequestUnanswered:
            return
        if delay_sec:
            asyncio.get_running_loop().call_later(delay_sec, self._answer, apdu)
        else:
            self._answer(apdu)

    def _answer(self, apdu: object) -> None:
        try:
            super().indication(apdu)
        except RequestUnanswered:
            return


class BacnetServer:
    """Serves one panel; `listen` and `close` as the Modbus server has them."""

    def __init__(
        self, devices: Mapping[int, SimulatedDevice], address: str, device_id: int
    ) -> None:
        self.devices = {unit: FaultyRegisters(device) for unit, device in devices.items()}
        self._controller = next(iter(self.devices.values()))
        """Whose faults concern all that is answered: a BACnet device is one, whatever is in it."""
        self.gateway: GatewayLimits | None = None
        self.address = address
        self.device_id = device_id
        self.port = int(address.rpartition(":")[2]) if ":" in address else 47808
        self._application: _Application | None = None
        self._readers: list[int] = []

    @property
    def listening(self) -> str:
        """Where it listens, in words for a person."""
        return f"{self.address} device {self.device_id}"

    @property
    def place(self) -> str:
        """The address and port that it was told to listen on."""
        return self.address

    async def listen(self) -> None:
        """Start answering, again or for the first time. Raises OSError when it cannot."""
        if self._application is not None:
            return
        device = LocalDeviceObject(
            objectName="Simulated panel",
            objectIdentifier=("device", self.device_id),
            maxApduLengthAccepted=1024,
            segmentationSupported="segmentedBoth",
            vendorIdentifier=VENDOR_ID,
        )
        application = _Application(device, self.address, self._controller)
        for each in bacnet_objects(self._controller):
            application.add_object(each)
        self._application = application
        loop = asyncio.get_running_loop()
        for descriptor in list(asyncore.socket_map):
            loop.add_reader(descriptor, _work)
            self._readers.append(descriptor)

    async def close(self) -> None:
        """Answer nothing more; `listen` takes the same port again."""
        for descriptor in self._readers:
            asyncio.get_running_loop().remove_reader(descriptor)
        self._readers.clear()
        if self._application is not None:
            self._application.close_socket()
            self._application = None

    async def limit_gateway(self, limits: GatewayLimits | None) -> None:
        """BACnet/IP has no connections."""
        if limits is not None:
            raise ControlRequestError("a gateway that takes one connection is for Modbus alone")

    def power_cycled(self, unit: int) -> None:
        """Nothing of the protocol is lost with the supply."""

    async def run_time(self) -> None:
        """Let time pass, for the panel and for bacpypes's own tasks. Runs until cancelled."""
        while True:
            moment = Moment.now()
            for registers in self.devices.values():
                registers.device.advance(moment)
            _work()
            await asyncio.sleep(TICK_SEC)


def _work() -> None:
    """What bacpypes's own loop would do: read, act, send, until nothing is left."""
    while True:
        asyncore.loop(timeout=0, count=1)
        core.run_once()
        if not any(channel.writable() for channel in asyncore.socket_map.values()):
            return
