"""`python -m simulator`: a simulated panel, and more, over Modbus TCP, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import sys

from simulator.command_line import parse_modbus_command_line
from simulator.device_catalog import DeviceCatalog
from simulator.modbus_server import ModbusServer
from simulator.moment import Moment
from simulator.server_process import run_server_process


async def _serve(options: argparse.Namespace) -> int:
    catalog = DeviceCatalog(options.steady, options.seed, options.speed)
    devices = catalog.build(options.unit, options.device, Moment.now())
    server = ModbusServer(devices, options.host, options.port)
    return await run_server_process(server, "--port", options.control_port, options.fault)


if __name__ == "__main__":
    sys.exit(asyncio.run(_serve(parse_modbus_command_line())))
