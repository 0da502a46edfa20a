"""The panel on the wire: BACnet/IP with bacpypes.

bacpypes is fed by asyncio here: one thread, so that nothing reads a panel that another changes.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from simulator.control_request import ControlRequestError
from simulator.faulty_registers import FaultyRegisters, FaultyRegistersSilent
from simulator.gateway_limits import GatewayLimits
from simulator.modbus_server import TICK_SEC
from simulator.moment import Moment
from simulator.panel_registers import PanelRegisters
from simulator.simulated_device import SimulatedDevice

with warnings.catch_warnings():  # bacpypes is built on asyncore, which Python 3.12 dropped
    warnings.simplefilter("ignore", DeprecationWarning)
    import asyncore

    from bacpypes import core
    from bacpypes.app import BIPSimpleApplication
    from bacpypes.appservice import COMPLETED
    from bacpypes.errors import ExecutionError
    from bacpypes.local.device import LocalDeviceObject
    from bacpypes.service.cov import ChangeOfValueServices
    from bacpypes.service.object import ReadWritePropertyMultipleServices

    from simulator.bacnet_objects import VENDOR_ID, bacnet_objects

BMS_PRIORITY = 16
"""Where a building's own schedule commands."""


_PATIENCE_MS = 86_400_000
"""How long bacpypes lets an answer take: as long as a slow device may be."""


class _Application(BIPSimpleApplication, ReadWritePropertyMultipleServices, ChangeOfValueServices):
    """Answers reads, writes and subscriptions; a silent fault answers nothing."""

    def __init__(self, device: LocalDeviceObject, address: str, registers: FaultyRegisters) -> None:
        super().__init__(device, address)
        self.smap.applicationTimeout = _PATIENCE_MS
        self._registers = registers
        self._delay_sec = 0.0
        self.closed = False

    def indication(self, apdu: Any) -> None:
        """Carry a request out at once; a slow device answers later."""
        try:
            self._delay_sec = self._registers.admit(Moment.now())
            super().indication(apdu)
        except FaultyRegistersSilent:
            self._forget(apdu)
        finally:
            self._delay_sec = 0.0

    def response(self, apdu: Any) -> None:
        """Answer, now or after the delay."""
        if self._delay_sec:
            asyncio.get_running_loop().call_later(self._delay_sec, self._respond, apdu)
        else:
            super().response(apdu)

    def _respond(self, apdu: Any) -> None:
        if not self.closed:
            super().response(apdu)

    def do_SubscribeCOVRequest(self, apdu: Any) -> None:
        """The first notification tells what is so now."""
        subscribed = self.get_object_id(apdu.monitoredObjectIdentifier)
        if subscribed is not None and hasattr(subscribed, "refresh"):
            subscribed.refresh()
        super().do_SubscribeCOVRequest(apdu)

    def _forget(self, apdu: Any) -> None:
        """Without this bacpypes still works at it, and ignores a client that asks again."""
        for transaction in list(self.smap.serverTransactions):
            if (transaction.invokeID, transaction.pdu_address) == (
                apdu.apduInvokeID,
                apdu.pduSource,
            ):
                transaction.set_state(COMPLETED)


class BacnetServer:
    """Serves one panel; `listen` and `close` as the Modbus server has them."""

    def __init__(
        self, devices: Mapping[int, SimulatedDevice], address: str, device_id: int
    ) -> None:
        self.devices = {unit: FaultyRegisters(device) for unit, device in devices.items()}
        self._controller = next(iter(self.devices.values()))
        """Whose faults concern all that is answered: a BACnet device is one, whatever is in it."""
        self.gateway: GatewayLimits | None = None
        self.one_controller = True
        self.address = address
        self.device_id = device_id
        self.port = int(address.rpartition(":")[2]) if ":" in address else 47808
        self._application: _Application | None = None
        self._objects = {
            unit: list(bacnet_objects(registers)) for unit, registers in self.devices.items()
        }
        self._readers: list[int] = []
        for unit, registers in self.devices.items():
            if isinstance(registers.device, PanelRegisters):
                registers.device.panel.on_watch_fired = partial(self._watch_fired, unit)

    @property
    def listening(self) -> str:
        """Where it listens, in words for a person."""
        others = [f", {unit} ({it.device.kind})" for unit, it in self.devices.items()][1:]
        return f"{self.address} device {self.device_id}{''.join(others)}"

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
        for each in self._all_objects():
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
            for each in self._all_objects():
                self._application.delete_object(each)
            self._application.closed = True
            self._application.close_socket()
            self._application = None

    async def limit_gateway(self, limits: GatewayLimits | None) -> None:
        """BACnet/IP has no connections."""
        if limits is not None:
            raise ControlRequestError("a gateway that takes one connection is for Modbus alone")

    def power_cycled(self, unit: int) -> None:
        """The priority arrays are empty, but for what the BMS commands again."""
        for each in self._outputs(unit):
            each.power_up()

    def _watch_fired(self, unit: int) -> None:
        for each in self._outputs(unit):
            each.watch_fired()

    def command(self, name: str, value: float | None, priority: int) -> None:
        """Command an output as a BMS does, null to give its place up.

        Raises ControlRequestError if there is no such output, or if it refuses.
        """
        outputs = {each.objectName: each for unit in self.devices for each in self._outputs(unit)}
        if name not in outputs:
            known = ", ".join(outputs)
            raise ControlRequestError(f'"object" must be one of {known}, not {name!r}')
        try:
            outputs[name].command(value, priority)
        except (ExecutionError, FaultyRegistersSilent) as error:
            raise ControlRequestError(f"{name} does not take {value}: {error}") from error

    def command_all(self, priority: int) -> None:
        """Hold every output where it is without commands, as a BMS does."""
        for unit in self.devices:
            for each in self._outputs(unit):
                each.command(each.relinquishDefault, priority)

    def protocol_state(self, unit: int) -> dict[str, Any]:
        """The priority arrays of one device, those that command nothing left out."""
        arrays = {each.objectName: each.commands() for each in self._outputs(unit)}
        return {
            "priority_arrays": {
                name: {str(priority): each for priority, each in sorted(commands.items())}
                for name, commands in arrays.items()
                if commands
            }
        }

    def _all_objects(self) -> Iterator[Any]:
        for objects in self._objects.values():
            yield from objects

    def _outputs(self, unit: int) -> list[Any]:
        return [each for each in self._objects[unit] if hasattr(each, "commands")]

    async def run_time(self) -> None:
        """Let time pass, for the panel and for bacpypes's own tasks. Runs until cancelled."""
        while True:
            moment = Moment.now()
            for registers in self.devices.values():
                registers.device.advance(moment)
            self._notify()
            _work()
            await asyncio.sleep(TICK_SEC)

    def _notify(self) -> None:
        """Let those who subscribed to changes know; a device that is away stays silent."""
        application = self._application
        if application is None or not application.cov_detections:
            return
        if self._controller.faults.is_away(Moment.now()):
            return
        for each in list(application.cov_detections):
            try:
                each.refresh()
            except (FaultyRegistersSilent, ExecutionError):
                continue


def _work() -> None:
    """What bacpypes's own loop would do: read, act, send, until nothing is left."""
    while True:
        asyncore.loop(timeout=0, count=1)
        core.run_once()
        if not any(channel.writable() for channel in asyncore.socket_map.values()):
            return
