"""`python -m simulator`: one simulated panel as a Modbus TCP device, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import sys

from simulator.command_line import loads_from_options, parse_modbus_options
from simulator.device_server import run_device_server
from simulator.modbus_server import ModbusServer
from simulator.moment import Moment
from simulator.simulated_panel import SimulatedPanel


async def _serve(options: argparse.Namespace) -> int:
    panel = SimulatedPanel(loads_from_options(options), Moment.now(), options.speed)
    server = ModbusServer(panel, options.host, options.port, options.unit)
    return await run_device_server(server, "--port", options.control_port)


if __name__ == "__main__":
    sys.exit(asyncio.run(_serve(parse_modbus_options())))
