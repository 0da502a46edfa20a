"""When the link tries again, and what it makes of a row of short connections."""

from __future__ import annotations

import pytest

from VenAgent.cloud.reconnect_policy import (
    CONTESTED_PAUSE_SEC,
    LASTING_SEC,
    LONGEST_SEC,
    QUICK_SEC,
    SHORTEST_SEC,
    ReconnectPolicy,
    ReconnectReason,
)

FAILED = ReconnectReason("nothing listens")
QUICK = ReconnectReason("it closed it", online_sec=2.0, hung_up=True)
LONG = ReconnectReason("it closed it", online_sec=QUICK_SEC * 10, hung_up=True)
TOOK_OUR_PLACE = "another client connects with our id site-1"


class Drawn:
    """In place of chance: what was asked for."""

    def __init__(self) -> None:
        self.windows: list[tuple[float, float]] = []

    def __call__(self, low: float, high: float) -> float:
        self.windows.append((low, high))
        return high


@pytest.fixture
def drawn() -> Drawn:
    return Drawn()


@pytest.fixture
def reconnecting(drawn: Drawn) -> ReconnectPolicy:
    return ReconnectPolicy("site-1", "broker:8883", drawn)


def after(reconnecting: ReconnectPolicy, *ends: ReconnectReason) -> float:
    pause_sec = 0.0
    for end in ends:
        reconnecting.ended(end)
        pause_sec = reconnecting.pause_sec()
    return pause_sec


def test_the_pauses_grow_from_a_second_to_a_minute_and_are_drawn_from_all_of_it(
    reconnecting: ReconnectPolicy, drawn: Drawn
) -> None:
    after(reconnecting, *[FAILED] * 40)
    assert {low for low, _ in drawn.windows} == {SHORTEST_SEC}
    longest = [high for _, high in drawn.windows]
    assert longest[:4] == [8.0, 16.0, 32.0, 60.0]
    assert set(longest[4:]) == {LONGEST_SEC}


def test_after_a_connection_that_lasted_the_first_pause_is_short(
    reconnecting: ReconnectPolicy,
) -> None:
    assert after(reconnecting, *[FAILED] * 10, LONG) == 4.0
    assert reconnecting.trouble() == ""


def test_the_pause_is_drawn_by_chance() -> None:
    pauses = set()
    for _ in range(20):
        reconnecting = ReconnectPolicy("site-1", "broker:8883")
        pauses.add(after(reconnecting, FAILED))
    assert len(pauses) == 20
    assert all(SHORTEST_SEC <= pause <= 8.0 for pause in pauses)


def test_three_connections_taken_over_at_once_are_another_client_with_our_id(
    reconnecting: ReconnectPolicy, drawn: Drawn
) -> None:
    after(reconnecting, QUICK, QUICK)
    assert reconnecting.trouble() == ""
    after(reconnecting, QUICK)
    assert TOOK_OUR_PLACE in reconnecting.trouble()
    assert "broker:8883" in reconnecting.trouble()
    assert drawn.windows[-1] == CONTESTED_PAUSE_SEC


def test_a_broker_that_is_gone_in_between_is_no_other_client(reconnecting: ReconnectPolicy) -> None:
    after(reconnecting, QUICK, QUICK, FAILED, QUICK, QUICK)
    assert reconnecting.trouble() == ""


def test_connections_that_we_ended_are_no_other_client(reconnecting: ReconnectPolicy) -> None:
    half_open = ReconnectReason("nothing came", online_sec=20.0)
    after(reconnecting, QUICK, QUICK, half_open, QUICK)
    assert reconnecting.trouble() == ""


def test_connections_that_lasted_are_no_other_client(reconnecting: ReconnectPolicy) -> None:
    after(reconnecting, *[LONG] * 5)
    assert reconnecting.trouble() == ""


def test_once_known_it_stays_known_though_the_other_takes_its_time(
    reconnecting: ReconnectPolicy,
) -> None:
    """The other backs off as well: each of us is then online for minutes."""
    later = ReconnectReason("it closed it", online_sec=CONTESTED_PAUSE_SEC[1], hung_up=True)
    assert after(reconnecting, QUICK, QUICK, QUICK, later, later) == CONTESTED_PAUSE_SEC[1]
    assert TOOK_OUR_PLACE in reconnecting.trouble()
    assert TOOK_OUR_PLACE in reconnecting.trouble(LASTING_SEC - 1)


def test_it_is_over_when_a_connection_has_lasted(reconnecting: ReconnectPolicy) -> None:
    after(reconnecting, QUICK, QUICK, QUICK)
    assert reconnecting.trouble(LASTING_SEC) == ""
    after(reconnecting, ReconnectReason("it closed it", online_sec=LASTING_SEC, hung_up=True))
    assert reconnecting.trouble() == ""


def test_the_same_topic_unconfirmed_each_time_is_rather_a_policy(
    reconnecting: ReconnectPolicy,
) -> None:
    """AWS IoT Core hangs up on a publish that the policy does not allow, without a word."""
    forbidden = ReconnectReason(
        "it closed it", online_sec=0.1, hung_up=True, unconfirmed="ven/loads/site-1"
    )
    after(reconnecting, *[forbidden] * 3)
    assert "a message on ven/loads/site-1 not confirmed" in reconnecting.trouble()
    after(reconnecting, QUICK)
    assert TOOK_OUR_PLACE in reconnecting.trouble()
