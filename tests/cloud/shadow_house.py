"""A device and the shadow service, wired to each other without a broker."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.contract.builders import a_circuit, a_telemetry
from tests.support.shadow_store import ShadowStore
from VenAgent.cloud.outbox import OutboxMessage
from VenAgent.cloud.shadow_client import ShadowClient, ShadowClientResponse
from VenAgent.contract.shadow_document import (
    ShadowDocumentSection,
    ShadowDocumentWish,
    reported_shadow_document,
)
from VenAgent.contract.topics import Topics

THING = "site-1"
TOPICS = Topics.for_ven(THING)
PREFIX = TOPICS.shadow


class House:
    """A panel that does what its shadow desires, but for the circuits in `refusing`."""

    def __init__(self, circuits: int = 3, store: ShadowStore | None = None) -> None:
        self.store = store or ShadowStore()
        self.closed: dict[str, bool | None] = {f"c{n}": True for n in range(circuits)}
        self.interval_sec = 5.0
        self.refusing: dict[str, str] = {}
        self.commands: list[tuple[str, dict[str, Any]]] = []
        """Every command that was given, with its correlation id."""
        self.now = 1_760_000_000.0
        self.shadow = ShadowClient(TOPICS, "boot-1", self.closed)
        self.upward: deque[OutboxMessage] = deque()
        self.topics: list[str] = []
        """Of all that the device sent."""
        self.downward: deque[tuple[str, bytes]] = deque()
        self.working: list[ShadowDocumentSection] = []
        self.busy = False
        """While it is, wishes are taken on but not finished."""
        self.hears = True
        """The device is connected."""
        self.between: Callable[[], None] = lambda: None
        """Called once, before the next update of the device reaches the service."""

    def reported(self) -> dict[str, Any]:
        telemetry = a_telemetry(
            circuits=tuple(
                a_circuit(name, name=f"Circuit {name}", enabled=closed)
                for name, closed in self.closed.items()
            )
        )
        return reported_shadow_document(
            telemetry,
            available=dict.fromkeys(self.closed, True),
            active_event=None,
            report_interval_sec=self.interval_sec,
        )

    # ---- what happens ----------------------------------------------------------------------

    def connect(self) -> None:
        self.hears = True
        self.send(self.shadow.connected(self.now))
        self.settle()

    def report(self) -> None:
        self.send(self.shadow.report(self.reported(), self.now))
        self.settle()

    def desire(self, **desired: Any) -> None:
        """The operator's side."""
        self.operator({"state": {"desired": desired}, "clientToken": "operator"})
        self.settle()

    def operator(self, document: dict[str, Any]) -> None:
        self.serve(f"{PREFIX}/update", json.dumps(document).encode())

    def send(self, messages: list[OutboxMessage] | tuple[OutboxMessage, ...]) -> None:
        self.upward.extend(messages)
        self.topics += [message.topic for message in messages]

    def serve(self, topic: str, payload: bytes) -> None:
        rest = topic.removeprefix(f"{PREFIX}/").split("/")
        name = rest[1] if rest[0] == "name" else None
        prefix = PREFIX if name is None else f"{PREFIX}/name/{name}"
        for suffix, body in self.store.handle(THING, name, rest[-1], payload, self.now):
            heard = suffix in HEARD if name is None else suffix == "update/rejected"
            if heard:
                self.downward.append((f"{prefix}/{suffix}", json.dumps(body).encode()))

    def settle(self) -> None:
        """Until nothing is under way any more."""
        for _ in range(500):
            if self.upward:
                message = self.upward.popleft()
                if message.topic == f"{PREFIX}/update":
                    between, self.between = self.between, lambda: None
                    between()
                self.serve(message.topic, message.payload)
            elif self.downward and self.hears:
                topic, payload = self.downward.popleft()
                self.act(self.shadow.receive(topic, payload, self.now))
            else:
                return
        raise AssertionError("device and service do not come to rest")

    def act(self, received: ShadowClientResponse) -> None:
        self.send(received.messages)
        self.working.extend(received.sections)
        if received.sections and not self.busy:
            self.finish()
        elif received.report:
            self.send(self.shadow.report(self.reported(), self.now))

    def finish(self) -> None:
        """Carry out what was taken on, and report."""
        while self.working:
            section = self.working.pop(0)
            refusals = [(wish, why) for wish in section.wishes if (why := self.obey(section, wish))]
            self.shadow.done(section, refusals, self.now)
        self.send(self.shadow.report(self.reported(), self.now))

    def obey(self, section: ShadowDocumentSection, wish: ShadowDocumentWish) -> str | None:
        if wish.refusal is not None:
            return wish.refusal
        self.commands.append((section.correlation_id, dict(wish.fields)))
        if wish.fields["op"] == "setConfig":
            self.interval_sec = wish.fields["report_interval_sec"]
            return None
        circuit = wish.fields["loadId"]
        if circuit in self.refusing:
            return self.refusing[circuit]
        self.closed[circuit] = wish.fields["enabled"]
        return None

    # ---- what the service holds --------------------------------------------------------------

    def held(self, section: str, name: str | None = None) -> dict[str, Any]:
        return self.store.document(THING, name).state.get(section, {})


HEARD = {"update/accepted", "update/rejected", "update/delta", "get/accepted", "get/rejected"}


def off(*circuits: str) -> list[dict[str, Any]]:
    return [{"id": circuit, "enabled": False} for circuit in circuits]
