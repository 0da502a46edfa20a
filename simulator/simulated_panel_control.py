"""Client of the control port, for tests and benchmarks. Standard library only."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

_State = dict[str, Any]


class SimulatedPanelControlError(Exception):
    """The panel refused a request, or a wait came to nothing."""


class SimulatedPanelControl:
    """One connection to a panel started with `--control-port`.

    >>> with SimulatedPanelControl(5021) as control:                             # doctest: +SKIP
    ...     control.fault("stuck_contactor", circuit="heater1")
    ...     control.wait_until(lambda state: not state["contactors"]["ev1"])
    ...     control.clear()
    """

    def __init__(self, port: int, host: str = "127.0.0.1", timeout_sec: float = 5.0) -> None:
        self._socket = socket.create_connection((host, port), timeout=timeout_sec)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines = self._socket.makefile("rb")

    def request(self, **fields: object) -> _State:
        """Send one request and return its answer. Raises SimulatedPanelControlError."""
        self._socket.sendall(json.dumps(fields).encode() + b"\n")
        line = self._lines.readline()
        if not line:
            raise SimulatedPanelControlError(
                "the panel closed the control connection: is it still running?"
            )
        answer: _State = json.loads(line)
        if not answer["ok"]:
            raise SimulatedPanelControlError(answer["error"])
        return answer

    def state(self, unit: int | None = None) -> _State:
        """Everything there is to know; `changed_ts` in epoch seconds, null = never changed."""
        return self.request(op="state", **({} if unit is None else {"unit": unit}))

    def fault(self, kind: str, **where: object) -> None:
        """Switch a fault on: `fault("timeout", register="coil", address=1)`; all in README.md."""
        self.request(op="fault", kind=kind, **where)

    def clear(self) -> None:
        """Switch all faults off."""
        self.request(op="clear")

    def draw(self, circuit: str, kw: float | None, **where: object) -> None:
        """Fix what a circuit would draw in kW; None gives it back to the simulation."""
        self.request(op="draw", circuit=circuit, kw=kw, **where)

    def hand(self, circuit: str, closed: bool, **where: object) -> None:
        """Move one contactor as a person at the site does; `unit=2`: of another panel."""
        self.request(op="hand", circuit=circuit, closed=closed, **where)

    def change(self, unit: int, name: str, value: float) -> None:
        """Change what is around a piece of equipment: the weather, the car."""
        self.request(op="set", unit=unit, name=name, value=value)

    def bms(self, output: str, value: float | None, priority: int = 16) -> None:
        """Over BACnet: command an output as the building's BMS, None to give its place up."""
        self.request(op="bms", object=output, value=value, priority=priority)

    def wait_until(
        self,
        condition: Callable[[_State], bool],
        timeout_sec: float = 5.0,
        interval_sec: float = 0.005,
    ) -> _State:
        """Ask for the state until `condition` holds, and return that state."""
        deadline_sec = time.monotonic() + timeout_sec
        while not condition(state := self.state()):
            if time.monotonic() >= deadline_sec:
                raise SimulatedPanelControlError(
                    f"not reached within {timeout_sec:g} s; last state: {state}"
                )
            time.sleep(interval_sec)
        return state

    def close(self) -> None:
        """Close the connection; the panel runs on, and its faults stay."""
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> SimulatedPanelControl:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
