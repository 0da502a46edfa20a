"""Where the MQTT thread and the greenlets meet: what is kept when too much comes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.cloud.thread_handoff import INBOUND_KEPT, ThreadHandoff


@pytest.fixture
def handoff() -> Iterator[ThreadHandoff]:
    handoff = ThreadHandoff()
    yield handoff
    handoff.close()


def test_a_flood_without_guarantee_leaves_room_for_commands(handoff: ThreadHandoff) -> None:
    for _ in range(INBOUND_KEPT * 2):
        handoff.offer(InboundMessage("ven/bus/site-1/in/x", b"{}", mid=0))
    handoff.offer(InboundMessage("ven/cmd/site-1", b"{}", mid=1))
    assert handoff.inbound[-1].topic == "ven/cmd/site-1"
    assert len(handoff.inbound) == INBOUND_KEPT // 2 + 1
    assert handoff.dropped == INBOUND_KEPT * 3 // 2


def test_commands_that_find_no_room_are_counted(handoff: ThreadHandoff) -> None:
    for number in range(INBOUND_KEPT + 3):
        handoff.offer(InboundMessage("ven/cmd/site-1", b"{}", mid=number + 1))
    assert len(handoff.inbound) == INBOUND_KEPT
    assert handoff.dropped == 3
