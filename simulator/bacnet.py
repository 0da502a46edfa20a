"""`python -m simulator.bacnet`: the panel as a BACnet/IP device, until SIGTERM or SIGINT.

The same house, contactors, faults and control port as the Modbus device, in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from simulator.bacnet_server import BMS_PRIORITY, BacnetServer
from simulator.command_line import parse_bacnet_command_line
from simulator.device_catalog import DeviceCatalog
from simulator.moment import Moment
from simulator.server_process import run_server_process


async def _serve(options: argparse.Namespace) -> int:
    catalog = DeviceCatalog(options.steady, options.seed, options.speed)
    devices = catalog.build(1, options.device, Moment.now())
    server = BacnetServer(devices, options.address, options.device_id)
    if options.bms:
        server.command_all(BMS_PRIORITY)
    return await run_server_process(server, "--address", options.control_port, options.fault)


if __name__ == "__main__":
    sys.exit(asyncio.run(_serve(parse_bacnet_command_line())))
