"""What passes between the MQTT thread and the agent, and how it stands with the broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.each_case import each_case
from VenAgent.cloud import thread_handoff as handoff_module
from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.cloud.link_state import LinkPhase, LinkState
from VenAgent.cloud.thread_handoff import ThreadHandoff


@pytest.fixture
def handoff() -> Iterator[ThreadHandoff]:
    handoff = ThreadHandoff()
    yield handoff
    handoff.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000.0]
    monkeypatch.setattr(handoff_module.time, "time", lambda: now[0])
    return now


def test_offline_since_is_when_it_was_lost_however_often_it_was_tried(
    handoff: ThreadHandoff, clock: list[float]
) -> None:
    handoff.set_state(LinkPhase.ONLINE)
    for ts, phase, why in (
        (2_000.0, LinkPhase.OFFLINE, "the connection was lost"),
        (3_000.0, LinkPhase.OFFLINE, "nothing listens"),
        (4_000.0, LinkPhase.REFUSED, "not authorized"),
    ):
        clock[0] = ts
        assert handoff.set_state(phase, why)
        assert (handoff.state.phase, handoff.state.since_ts) == (phase, 2_000.0)
    clock[0] = 5_000.0
    handoff.set_state(LinkPhase.ONLINE)
    assert handoff.state == LinkState(LinkPhase.ONLINE, 5_000.0)


def test_the_agent_is_woken_by_a_change_and_only_by_a_change(handoff: ThreadHandoff) -> None:
    woken: list[LinkState] = []
    handoff.notify = lambda: woken.append(handoff.state)
    assert handoff.set_state(LinkPhase.OFFLINE, "nothing listens")
    assert not handoff.set_state(LinkPhase.OFFLINE, "nothing listens")
    assert handoff.set_state(LinkPhase.OFFLINE, "the name is not known")
    assert [state.why for state in woken] == ["nothing listens", "the name is not known"]


@each_case(
    ("phase", "why", "finding"),
    [
        (LinkPhase.CONNECTING, "", "connecting to broker:8883"),
        (LinkPhase.ONLINE, "", None),
        (LinkPhase.ONLINE, "may not receive", "may not receive"),
        (LinkPhase.OFFLINE, "lost", "offline since 1970-01-01 00:16 UTC: lost"),
        (LinkPhase.REFUSED, "not authorized", "refused since 1970-01-01 00:16 UTC: not authorized"),
    ],
)
def test_what_a_person_is_told(phase: LinkPhase, why: str, finding: str | None) -> None:
    assert LinkState(phase, 1_000.0, why).finding("broker:8883") == finding


def test_the_state_as_the_bus_and_the_page_get_it() -> None:
    state = LinkState(LinkPhase.REFUSED, 1_000.0, "not authorized")
    expected = {"state": "refused", "since_ts": 1_000.0, "why": "not authorized"}
    assert state.as_message() == expected


def test_what_is_too_much_is_dropped_and_counted(
    handoff: ThreadHandoff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handoff_module, "INBOUND_KEPT", 2)
    for mid in range(1, 5):
        handoff.offer(InboundMessage("t", b"", mid, 1))
    assert [inbound.mid for inbound in handoff.inbound] == [1, 2]
    assert handoff.dropped == 2


def test_what_was_dealt_with_is_told_once_unless_there_is_nothing_to_tell(
    handoff: ThreadHandoff,
) -> None:
    came = [InboundMessage("t", b"", mid, connection) for connection, mid in ((1, 7), (2, 7))]
    for inbound in (*came, InboundMessage("t", b"", 0, 2)):  # QoS 0 has no PUBACK
        handoff.acknowledge(inbound)
    assert list(handoff.acknowledged()) == came
    assert list(handoff.acknowledged()) == []


def test_waking_it_after_its_end_harms_nothing() -> None:
    handoff = ThreadHandoff()
    handoff.close()
    handoff.wake()
    handoff.renew()
