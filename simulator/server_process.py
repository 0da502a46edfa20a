"""The process of a server of devices, from its start to SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import errno
import signal
import sys
from collections.abc import Sequence

from simulator.control_port import LOOPBACK, ControlPort
from simulator.control_request import ControlRequest, ControlRequestError
from simulator.device_server import DeviceServer


async def run_server_process(
    server: DeviceServer,
    port_option: str,
    control_port_number: int | None,
    faults: Sequence[ControlRequest] = (),
) -> int:
    """Serve until a signal; returns the process's exit code.

    `port_option` is the command-line option by which another port can be chosen; `faults`
    are switched on before it is said that it listens.
    """
    stop = _stop_on_signal()
    control = ControlPort(server)
    control_line = ""
    try:
        await server.listen()
    except OSError as error:
        return _complain(error, server.place, port_option)
    if control_port_number is not None:
        try:
            control_port = await control.listen(control_port_number)
        except OSError as error:
            return _complain(error, f"{LOOPBACK}:{control_port_number}", "--control-port")
        control_line = f"\ncontrol port on {LOOPBACK}:{control_port}"
    for fault in faults:
        try:
            await control.inject_fault(fault)
        except ControlRequestError as error:
            print(f"--fault {fault.fields.get('kind')}: {error}", file=sys.stderr)
            return 2
    print(f"panel listening on {server.listening}{control_line}")
    sys.stdout.flush()
    await _run_until(stop, server)
    control.close()
    await server.close()
    return 0


def _stop_on_signal() -> asyncio.Event:
    """Set by SIGTERM or SIGINT, also where the shell that started us has SIGINT ignored."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _run_until(stop: asyncio.Event, server: DeviceServer) -> None:
    """Let time run. An error in it ends the process, with its traceback: no panel stands still."""
    time_task = asyncio.create_task(server.run_time())
    stop_task = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait((time_task, stop_task), return_when=asyncio.FIRST_COMPLETED)
    if time_task in done:
        time_task.result()
    time_task.cancel()


def _complain(error: OSError, place: str, option: str) -> int:
    """Say on stderr why listening failed and what to do; returns the exit code."""
    if error.errno == errno.EADDRINUSE:
        advice = f"the port is in use: stop what runs there, or choose another with {option}"
    elif error.errno == errno.EACCES:
        advice = f"ports below 1024 need more rights: choose one from 1024 up with {option}"
    else:
        where = "--host and --port" if option == "--port" else option
        advice = f"{error.strerror or error}: check {where}"
    print(f"panel cannot listen on {place}: {advice}", file=sys.stderr)
    return 1
