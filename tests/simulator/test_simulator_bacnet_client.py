"""The BACnet panel against a client of another make than its own library: bacpypes3."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from bacpypes3.apdu import ErrorRejectAbortNack
from bacpypes3.basetypes import BinaryPV
from bacpypes3.ipv4.app import NormalApplication
from bacpypes3.local.device import DeviceObject
from bacpypes3.pdu import Address, IPv4Address
from bacpypes3.primitivedata import Null, ObjectIdentifier
from panel_harness import PROCESS_TIMEOUT_SEC, bacnet_panel

from simulator.simulated_panel_control import SimulatedPanelControl
from tests.support.ports import free_port

pytestmark = pytest.mark.long

HEATER, EV_LIMIT, HEATER_KW = "binary-output,1", "analog-output,2", "analog-input,11"


class Master:
    """A BACnet client and the words that the tests use for it."""

    def __init__(self, application: Any, port: int) -> None:
        self.application = application
        self._address = Address(f"127.0.0.1:{port}")

    async def read(self, name: str, property_name: str, index: int | None = None) -> Any:
        return await self.application.read_property(
            self._address, ObjectIdentifier(name), property_name, index
        )

    async def slots(self, name: str) -> dict[int, float]:
        """What the 16 places hold, those with a null left out."""
        places = await self.read(name, "priority-array")
        assert len(places) == 16
        held = {index: place for index, place in enumerate(places, 1) if place._choice != "null"}
        return {index: float(getattr(place, place._choice)) for index, place in held.items()}

    async def write(self, name: str, value: Any, priority: int) -> None:
        await self.application.write_property(
            self._address, ObjectIdentifier(name), "present-value", value, None, priority
        )

    async def read_many(self, name: str, *properties: str) -> dict[str, Any]:
        answer = await self.application.read_property_multiple(
            self._address, [ObjectIdentifier(name), list(properties)]
        )
        return {str(which): value for _, which, _, value in answer}

    def changes(self, name: str) -> Any:
        return self.application.change_of_value(self._address, ObjectIdentifier(name), 1, False, 60)


@asynccontextmanager
async def master(port: int) -> AsyncIterator[Master]:
    address = IPv4Address(f"127.0.0.1/8:{free_port(socket.SOCK_DGRAM)}")
    device = DeviceObject(objectIdentifier=("device", 599), objectName="test", vendorIdentifier=999)
    application = NormalApplication(device, address)
    try:
        yield Master(application, port)
    finally:
        application.close()


def spoken(talk: Callable[[Master, SimulatedPanelControl], Awaitable[None]], *options: str) -> None:
    """Let a client talk to a panel of its own."""
    with bacnet_panel(*options) as (port, control):

        async def all_of_it() -> None:
            async with asyncio.timeout(PROCESS_TIMEOUT_SEC), master(port) as client:
                await talk(client, control)

        asyncio.run(all_of_it())


def test_an_event_at_10_and_a_bms_at_16_that_changes_its_mind() -> None:
    async def talk(client: Master, control: SimulatedPanelControl) -> None:
        assert await client.slots(HEATER) == {16: 1}
        await client.write(HEATER, BinaryPV("inactive"), 10)
        assert await client.slots(HEATER) == {10: 0, 16: 1}
        assert await client.read(HEATER, "present-value") == BinaryPV("inactive")
        assert await client.read(HEATER_KW, "present-value") == 0.0
        control.bms("heater1_contactor", 0)
        await client.write(HEATER, Null(()), 10)  # relinquished, not written back
        assert await client.slots(HEATER) == {16: 0}
        assert await client.read(HEATER, "present-value") == BinaryPV("inactive")
        control.bms("heater1_contactor", 1)
        assert await client.read(HEATER_KW, "present-value") == pytest.approx(4.5)

    spoken(talk, "--bms")


def test_without_any_command_the_relinquish_default_rules() -> None:
    async def talk(client: Master, control: SimulatedPanelControl) -> None:
        await client.write(EV_LIMIT, 25.0, 8)
        assert (await client.read(EV_LIMIT, "priority-array", 8)).real == 25.0
        assert await client.read(EV_LIMIT, "priority-array", 0) == 16
        await client.write(EV_LIMIT, Null(()), 8)
        seen = await client.read_many(
            EV_LIMIT, "present-value", "priority-array", "relinquish-default"
        )
        assert seen["present-value"] == seen["relinquish-default"] == 100.0
        assert {place._choice for place in seen["priority-array"]} == {"null"}
        assert await client.read(HEATER, "relinquish-default") == BinaryPV("active")

    spoken(talk)


def test_what_cannot_be_is_refused_with_the_standards_error() -> None:
    async def talk(client: Master, control: SimulatedPanelControl) -> None:
        with pytest.raises(ErrorRejectAbortNack, match="value-out-of-range"):
            await client.write(EV_LIMIT, 101.0, 8)
        with pytest.raises(ErrorRejectAbortNack, match="write-access-denied"):
            await client.application.write_property(
                client._address, ObjectIdentifier(EV_LIMIT), "priority-array", Null(()), 8
            )
        assert await client.slots(EV_LIMIT) == {}

    spoken(talk)


def test_changes_are_told_to_whoever_subscribed() -> None:
    async def talk(client: Master, control: SimulatedPanelControl) -> None:
        async def next_value() -> float:
            while True:
                name, value = await told.get_value()
                if str(name) == "present-value":
                    return float(value)

        async with client.changes(HEATER_KW) as told:
            assert await next_value() == pytest.approx(4.5)
            control.hand("heater1", closed=False)
            assert await next_value() == 0.0
        async with client.changes(HEATER) as told:
            await next_value()
            await client.write(HEATER, BinaryPV("inactive"), 10)
            assert await next_value() == 0

    spoken(talk)
