"""`python -m simulator.bacnet`: the panel as a BACnet/IP device, until SIGTERM or SIGINT.

The same house, contactors, faults and control port as the Modbus device, in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from simulator.bacnet_server import BacnetServer
from simulator.command_line import loads_from_options, parse_bacnet_options
from simulator.device_server import run_device_server
from simulator.moment import Moment
from simulator.simulated_panel import SimulatedPanel


async def _serve(options: argparse.Namespace) -> int:
    panel = SimulatedPanel(loads_from_options(options), Moment.now(), options.speed)
    server = BacnetServer(panel, options.address, options.device_id)
    return await run_device_server(server, "--address", options.control_port)


if __name__ == "__main__":
    sys.exit(asyncio.run(_serve(parse_bacnet_options())))
