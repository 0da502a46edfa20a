"""`python -m simulator.bacnet`: the panel as a BACnet/IP device, until SIGTERM or SIGINT.

The same house, contactors, faults and control port as the Modbus device, in a process of its own.
bacpypes is fed by asyncio here: one thread, so that nothing reads a panel that another changes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import warnings
from collections.abc import Sequence

from simulator import __main__ as modbus
from simulator.control_port import ControlPort
from simulator.faults import FaultyRegisters, NoAnswer
from simulator.house import HouseLoads, SteadyLoads
from simulator.panel import Panel
from simulator.physics import Loads
from simulator.server import TICK_SEC, now

with warnings.catch_warnings():  # bacpypes is built on asyncore, which Python 3.12 dropped
    warnings.simplefilter("ignore", DeprecationWarning)
    import asyncore

    from bacpypes import core
    from bacpypes.app import BIPSimpleApplication
    from bacpypes.local.device import LocalDeviceObject
    from bacpypes.service.object import ReadWritePropertyMultipleServices

    from simulator.bacnet_objects import VENDOR_ID, objects_of

MAX_INSTANCE = 4_194_302


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(
        prog="python -m simulator.bacnet",
        description="An electrical panel with eight circuits as a BACnet/IP device.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--address", default="127.0.0.1/8:47809", help="IP address/network bits:UDP port")
    add("--device-id", type=_instance, default=260001, help="BACnet device instance")
    add("--steady", action="store_true", help="fixed draws and 240 V, for tests")
    add(
        "--control-port",
        type=modbus.port_number,
        help="open the fault injection port, on loopback only",
    )
    add("--seed", type=int, help="makes the noise reproducible")
    add("--speed", type=modbus.speed_factor, default=1.0, help="simulated seconds in a real one")
    return parser.parse_args(arguments)


def _instance(text: str) -> int:
    wanted = f"a BACnet instance from 0 to {MAX_INSTANCE}"
    return modbus.in_range(text, int, 0, MAX_INSTANCE, wanted)


class _Application(BIPSimpleApplication, ReadWritePropertyMultipleServices):
    """Answers reads and writes of the panel's objects; a silent fault answers nothing."""

    def indication(self, apdu: object) -> None:
        try:
            super().indication(apdu)
        except NoAnswer:
            return


class BacnetServer:
    """Serves one panel; `listen` and `close` as the Modbus server has them."""

    def __init__(self, panel: Panel, address: str, device_id: int) -> None:
        self.registers = FaultyRegisters(panel)
        self.address = address
        self.device_id = device_id
        self.port = int(address.rpartition(":")[2]) if ":" in address else 47808
        self._application: _Application | None = None
        self._readers: list[int] = []

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
        application = _Application(device, self.address)
        for each in objects_of(self.registers):
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

    async def run_time(self) -> None:
        """Let time pass, for the panel and for bacpypes's own tasks. Runs until cancelled."""
        while True:
            self.registers.panel.advance(now())
            _work()
            await asyncio.sleep(TICK_SEC)


def _work() -> None:
    """What bacpypes's own loop would do: read, act, send, until nothing is left."""
    while True:
        asyncore.loop(timeout=0, count=1)
        core.run_once()
        if not any(channel.writable() for channel in asyncore.socket_map.values()):
            return


async def serve(options: argparse.Namespace) -> int:
    """Run the panel until a signal; returns the process's exit code."""
    stop = modbus.stop_on_signal()
    loads: Loads = SteadyLoads() if options.steady else HouseLoads(modbus.seed_of(options.seed))
    panel = Panel(loads, now(), options.speed)
    server = BacnetServer(panel, options.address, options.device_id)
    control = ControlPort(server)
    try:
        await server.listen()
        control_line = ""
        if options.control_port is not None:
            port = await control.listen(options.control_port)
            control_line = f"\ncontrol port on 127.0.0.1:{port}"
    except OSError as error:
        print(f"panel cannot listen on {options.address}: {error.strerror}: choose another port "
              "with --address or --control-port", file=sys.stderr)  # fmt: skip
        return 1
    print(f"panel listening on {options.address} device {options.device_id}{control_line}")
    sys.stdout.flush()
    await modbus.run_until(stop, server)
    control.close()
    await server.close()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(serve(parse_arguments())))
