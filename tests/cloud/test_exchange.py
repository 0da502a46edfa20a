"""What passes between the MQTT thread and the agent, and how it stands with the broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from VenAgent.cloud import exchange as exchange_module
from VenAgent.cloud.exchange import Exchange, Inbound, LinkState, Phase


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    exchange = Exchange()
    yield exchange
    exchange.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000.0]
    monkeypatch.setattr(exchange_module.time, "time", lambda: now[0])
    return now


def test_offline_since_is_when_it_was_lost_however_often_it_was_tried(
    exchange: Exchange, clock: list[float]
) -> None:
    exchange.tell(Phase.ONLINE)
    for ts, phase, why in (
        (2_000.0, Phase.OFFLINE, "the connection was lost"),
        (3_000.0, Phase.OFFLINE, "nothing listens"),
        (4_000.0, Phase.REFUSED, "not authorized"),
    ):
        clock[0] = ts
        assert exchange.tell(phase, why)
        assert (exchange.state.phase, exchange.state.since_ts) == (phase, 2_000.0)
    clock[0] = 5_000.0
    exchange.tell(Phase.ONLINE)
    assert exchange.state == LinkState(Phase.ONLINE, 5_000.0)


def test_the_agent_is_woken_by_a_change_and_only_by_a_change(exchange: Exchange) -> None:
    woken: list[LinkState] = []
    exchange.notify = lambda: woken.append(exchange.state)
    assert exchange.tell(Phase.OFFLINE, "nothing listens")
    assert not exchange.tell(Phase.OFFLINE, "nothing listens")
    assert exchange.tell(Phase.OFFLINE, "the name is not known")
    assert [state.why for state in woken] == ["nothing listens", "the name is not known"]


@pytest.mark.parametrize(
    ("phase", "why", "finding"),
    [
        (Phase.CONNECTING, "", "connecting to broker:8883"),
        (Phase.ONLINE, "", None),
        (Phase.ONLINE, "may not receive", "may not receive"),
        (Phase.OFFLINE, "lost", "offline since 1970-01-01 00:16 UTC: lost"),
        (Phase.REFUSED, "not authorized", "refused since 1970-01-01 00:16 UTC: not authorized"),
    ],
)
def test_what_a_person_is_told(phase: Phase, why: str, finding: str | None) -> None:
    assert LinkState(phase, 1_000.0, why).finding("broker:8883") == finding


def test_the_state_as_the_bus_and_the_page_get_it() -> None:
    state = LinkState(Phase.REFUSED, 1_000.0, "not authorized")
    expected = {"state": "refused", "since_ts": 1_000.0, "why": "not authorized"}
    assert state.as_message() == expected


def test_what_is_too_much_is_dropped_and_counted(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_module, "INBOUND_KEPT", 2)
    for mid in range(1, 5):
        exchange.offer(Inbound("t", b"", mid, 1))
    assert [inbound.mid for inbound in exchange.inbound] == [1, 2]
    assert exchange.dropped == 2


def test_only_what_came_on_this_connection_is_acknowledged_on_it(exchange: Exchange) -> None:
    for connection, mid in ((1, 7), (2, 7), (2, 8)):
        exchange.acknowledge(Inbound("t", b"", mid, connection))
    exchange.acknowledge(Inbound("t", b"", 0, 2))  # QoS 0 has no PUBACK
    assert list(exchange.acknowledged(2)) == [7, 8]
    assert list(exchange.acknowledged(2)) == []


def test_waking_it_after_its_end_harms_nothing() -> None:
    exchange = Exchange()
    exchange.close()
    exchange.wake()
    exchange.renew()
