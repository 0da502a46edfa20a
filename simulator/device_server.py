"""What serves simulated devices, over Modbus or BACnet, seen from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from simulator.faulty_registers import FaultyRegisters
from simulator.gateway_limits import GatewayLimits


class DeviceServer(Protocol):
    """A server of devices, whose faults can be switched."""

    port: int
    gateway: GatewayLimits | None
    """What it is limited to as a gateway; None: no limits."""
    one_controller: bool
    """All devices answer as one: a fault of a whole device is the first one's."""

    @property
    def devices(self) -> Mapping[int, FaultyRegisters]:
        """By unit id, the first one first."""

    async def close(self) -> None:
        """Refuse connections and drop those there are."""

    async def limit_gateway(self, limits: GatewayLimits | None) -> None:
        """Be a small gateway, or no longer; ControlRequestError if it cannot be one."""

    def power_cycled(self, unit: int) -> None:
        """The device behind this unit id had a power cut."""

    async def listen(self) -> None:
        """Start listening; nothing if it does. Raises OSError when it cannot."""

    def command(self, name: str, value: float | None, priority: int) -> None:
        """Command an output as a BMS does, null to give its place up; or ControlRequestError."""

    def protocol_state(self, unit: int) -> dict[str, Any]:
        """What there is to know beside the device's own state."""

    @property
    def listening(self) -> str:
        """Where it listens, in words for a person."""

    @property
    def place(self) -> str:
        """The address and port that it was told to listen on."""

    async def run_time(self) -> None:
        """Let time pass also while nobody asks. Runs until cancelled."""
