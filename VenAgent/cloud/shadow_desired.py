"""Carries out what the device shadow desires, as commands of our own.

A wish goes the way of any command: the engine decides, journals and answers it. Each has a
correlation id made from the wish, so that the same one is not carried out again after a restart.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gevent

from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.cloud.outbox import OutboxMessage
from VenAgent.cloud.shadow_client import ShadowClient
from VenAgent.contract.shadow_document import ShadowDocumentSection, ShadowDocumentWish

_log = logging.getLogger(__name__)

CARRY_OUT_SEC = 60.0
TOO_SLOW = f"not reached within {CARRY_OUT_SEC:g} s: desire it again"


class ShadowDesired:
    """Between the shadow and the site.

    `command(fields, correlation_id)` gives a command to the site and returns its ack, `closed(id)`
    tells how a circuit stands while no event runs (None otherwise), `put` sends, and `report`
    reports the shadow now.
    """

    def __init__(
        self,
        shadow: ShadowClient,
        command: Callable[[Mapping[str, Any], str], Mapping[str, Any]],
        closed: Callable[[str], bool | None],
        put: Callable[[Iterable[OutboxMessage]], None],
        report: Callable[[], None],
    ) -> None:
        self.shadow = shadow
        self._command = command
        self._closed = closed
        self._put = put
        self._report = report

    def connected(self) -> None:
        self._put(self.shadow.connected(time.monotonic()))

    def receive(self, inbound: InboundMessage) -> None:
        """A message of the shadow service. Raises MessageRefused for what is none."""
        received = self.shadow.receive(inbound.topic, inbound.payload, time.monotonic())
        if received.messages:
            self._put(received.messages)
        if received.sections:
            gevent.spawn(self._carry_out, received.sections)
        elif received.report:
            self._report()

    def _carry_out(self, sections: Iterable[ShadowDocumentSection]) -> None:
        """One wish after the other, as each reserves the devices; then a report of all."""
        deadline = time.monotonic() + CARRY_OUT_SEC
        for section in sections:
            refusals = []
            for wish in section.wishes:
                why = self._refusal(section, wish) if time.monotonic() < deadline else TOO_SLOW
                if why is not None:
                    _log.warning("shadow: desired %s is refused: %s", wish.item, why)
                    refusals.append((wish, why))
            self.shadow.done(section, refusals, time.monotonic())
        self._report()

    def _refusal(self, section: ShadowDocumentSection, wish: ShadowDocumentWish) -> str | None:
        """Why the wish was not carried out; None when it was."""
        if wish.refusal is not None:
            return wish.refusal
        circuit_id = wish.fields.get("loadId")
        if circuit_id is not None and self._closed(circuit_id) is wish.fields["enabled"]:
            return None  # someone may have written the whole list back with one change in it
        ack = self._command(wish.fields, f"{section.correlation_id}-{wish.item}"[:256])
        return None if ack.get("ok") else str(ack.get("reason") or ack.get("status"))
