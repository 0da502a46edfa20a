"""What passes between the MQTT thread and the agent, and how it stands with the broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from VenAgent.cloud import thread_handoff as exchange_module
from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.cloud.link_state import LinkPhase, LinkState
from VenAgent.cloud.thread_handoff import ThreadHandoff


@pytest.fixture
def exchange() -> Iterator[ThreadHandoff]:
    exchange = ThreadHandoff()
    yield exchange
    exchange.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000.0]
    monkeypatch.setattr(exchange_module.time, "time", lambda: now[0])
    return now


def test_offline_since_is_when_it_was_lost_however_often_it_was_tried(
    exchange: ThreadHandoff, clock: list[float]
) -> None:
    exchange.tell(LinkPhase.ONLINE)
    for ts, phase, why in (
        (2_000.0, LinkPhase.OFFLINE, "the connection was lost"),
        (3_000.0, LinkPhase.OFFLINE, "nothing listens"),
        (4_000.0, LinkPhase.REFUSED, "not authorized"),
    ):
        clock[0] = ts
        assert exchange.tell(phase, why)
        assert (exchange.state.phase, exchange.state.since_ts) == (phase, 2_000.0)
    clock[0] = 5_000.0
    exchange.tell(LinkPhase.ONLINE)
    assert exchange.state == LinkState(LinkPhase.ONLINE, 5_000.0)


def test_the_agent_is_woken_by_a_change_and_only_by_a_change(exchange: ThreadHandoff) -> None:
    woken: list[LinkState] = []
    exchange.notify = lambda: woken.append(exchange.state)
    assert exchange.tell(LinkPhase.OFFLINE, "nothing listens")
    assert not exchange.tell(LinkPhase.OFFLINE, "nothing listens")
    assert exchange.tell(LinkPhase.OFFLINE, "the name is not known")
    assert [state.why for state in woken] == ["nothing listens", "the name is not known"]


@pytest.mark.parametrize(
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
    exchange: ThreadHandoff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_module, "INBOUND_KEPT", 2)
    for mid in range(1, 5):
        exchange.offer(InboundMessage("t", b"", mid, 1))
    assert [inbound.mid for inbound in exchange.inbound] == [1, 2]
    assert exchange.dropped == 2


def test_only_what_came_on_this_connection_is_acknowledged_on_it(exchange: ThreadHandoff) -> None:
    for connection, mid in ((1, 7), (2, 7), (2, 8)):
        exchange.acknowledge(InboundMessage("t", b"", mid, connection))
    exchange.acknowledge(InboundMessage("t", b"", 0, 2))  # QoS 0 has no PUBACK
    assert list(exchange.acknowledged(2)) == [7, 8]
    assert list(exchange.acknowledged(2)) == []


def test_waking_it_after_its_end_harms_nothing() -> None:
    exchange = ThreadHandoff()
    exchange.close()
    exchange.wake()
    exchange.renew()
