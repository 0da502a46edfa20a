"""`python -m simulator`: one simulated panel, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import errno
import random
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from simulator.control_port import LOOPBACK, ControlPort, Server
from simulator.house import HouseLoads, SteadyLoads
from simulator.panel import Panel
from simulator.physics import Loads
from simulator.server import PanelServer, now

Number = TypeVar("Number", int, float)

MAX_SPEED = 3600.0


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="An electrical panel with eight circuits as a Modbus TCP device.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=port_number, default=5020, help="Modbus TCP port; 0 takes a free one")
    add("--unit", type=_unit, default=1, help="Modbus unit (slave) id, 1-247")
    add("--steady", action="store_true", help="fixed draws and 240 V, for tests and benchmarks")
    add("--control-port", type=port_number, help="open the fault injection port, on loopback only")
    add("--seed", type=int, help="makes the noise reproducible")
    add(
        "--speed",
        type=speed_factor,
        default=1.0,
        help="simulated seconds in a real one, up to 3600",
    )
    return parser.parse_args(arguments)


async def serve(options: argparse.Namespace) -> int:
    """Run the panel until a signal; returns the process's exit code."""
    stop = stop_on_signal()
    loads: Loads = SteadyLoads() if options.steady else HouseLoads(seed_of(options.seed))
    server = PanelServer(
        Panel(loads, now(), options.speed), options.host, options.port, options.unit
    )
    control = ControlPort(server)
    control_line = ""
    try:
        await server.listen()
    except OSError as error:
        return _complain(error, options.host, options.port, "--port")
    if options.control_port is not None:
        try:
            control_port = await control.listen(options.control_port)
        except OSError as error:
            return _complain(error, LOOPBACK, options.control_port, "--control-port")
        control_line = f"\ncontrol port on {LOOPBACK}:{control_port}"
    print(f"panel listening on {server.host}:{server.port} unit {server.unit}{control_line}")
    sys.stdout.flush()
    await run_until(stop, server)
    control.close()
    await server.close()
    return 0


def stop_on_signal() -> asyncio.Event:
    """Set by SIGTERM or SIGINT, also where the shell that started us has SIGINT ignored."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def run_until(stop: asyncio.Event, server: Server) -> None:
    """Let time run. An error in it ends the process, with its traceback: no panel stands still."""
    time_task = asyncio.create_task(server.run_time())
    stop_task = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait((time_task, stop_task), return_when=asyncio.FIRST_COMPLETED)
    if time_task in done:
        time_task.result()
    time_task.cancel()


def _complain(error: OSError, host: str, port: int, option: str) -> int:
    """Say on stderr why listening failed and what to do; returns the exit code."""
    if error.errno == errno.EADDRINUSE:
        advice = f"the port is in use: stop what runs there, or choose another with {option}"
    elif error.errno == errno.EACCES:
        advice = f"ports below 1024 need more rights: choose one from 1024 up with {option}"
    else:
        advice = f"{error.strerror or error}: check --host and {option}"
    print(f"panel cannot listen on {host}:{port}: {advice}", file=sys.stderr)
    return 1


def seed_of(seed: int | None) -> int:
    return random.randrange(2**32) if seed is None else seed


def port_number(text: str) -> int:
    return in_range(text, int, 0, 65535, "a port from 0 to 65535")


def _unit(text: str) -> int:
    return in_range(text, int, 1, 247, "a unit id from 1 to 247")


def speed_factor(text: str) -> float:
    return in_range(text, float, 0.01, MAX_SPEED, f"a number from 0.01 to {MAX_SPEED:g}")


def in_range(
    text: str, convert: Callable[[str], Number], low: float, high: float, wanted: str
) -> Number:
    try:
        value = convert(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return value


if __name__ == "__main__":
    sys.exit(asyncio.run(serve(parse_arguments())))
