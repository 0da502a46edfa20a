"""Commands that come faster than they are dealt with: kept, acknowledged, and lost by no kill."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from VenAgent.cloud import inbound_intake
from VenAgent.cloud.inbound_intake import KEPT_FROM, InboundIntake
from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.cloud.inbox import Inbox
from VenAgent.cloud.mqtt_settings import MqttSettings
from VenAgent.cloud.thread_handoff import ThreadHandoff
from VenAgent.config.cloud_config import CloudBrokerConfig

TOPIC = "ven/cmd/site-1"


class Link:
    """The thread's side of a link, and what the broker was told."""

    def __init__(self, folder: Path) -> None:
        settings = MqttSettings(
            broker=CloudBrokerConfig(host="broker"),
            ven_id="site-1",
            status_topic="s",
            subscriptions=(TOPIC,),
            outbox_path=folder / "outbox.sqlite",
            boot_id="b",
            command_topic=TOPIC,
        )
        self.inbox_path = settings.inbox_path
        self.handoff = ThreadHandoff()
        self.intake = InboundIntake(settings, self.handoff)
        self.acknowledged: list[int] = []
        self.number = 0

    def connect(self) -> None:
        self.number += 1
        self.intake.connected(self.number, self.acknowledged.append)

    def come(self, *mids: int, topic: str = TOPIC, **fields: float) -> None:
        for mid in mids:
            payload = b'{"n":%d}' % mid
            self.intake.take(InboundMessage(topic, payload, mid, self.number, True, **fields))

    def deal(self) -> InboundMessage:
        inbound = self.handoff.inbound.popleft()
        self.handoff.acknowledge(inbound)
        return inbound

    def left(self) -> list[bytes]:
        return [inbound.payload for _, inbound in Inbox(self.inbox_path).left()]


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Link]:
    link = Link(tmp_path)
    link.connect()
    yield link
    link.intake.close()
    link.handoff.close()


def payloads(*numbers: int) -> list[bytes]:
    return [b'{"n":%d}' % number for number in numbers]


def test_as_long_as_the_agent_keeps_pace_the_broker_keeps_what_is_not_dealt_with(
    link: Link,
) -> None:
    link.come(*range(1, KEPT_FROM + 1))
    assert not link.intake.is_coming
    assert link.acknowledged == []
    assert link.deal().mid == 1
    link.intake.settle()
    assert link.acknowledged == [1]
    assert not link.inbox_path.exists()


def test_in_a_burst_all_that_waits_is_kept_in_its_order_and_acknowledged(link: Link) -> None:
    link.come(*range(1, KEPT_FROM + 4))
    assert link.intake.is_coming
    assert len(link.handoff.inbound) == KEPT_FROM
    link.intake.keep()
    every = list(range(1, KEPT_FROM + 4))
    assert link.acknowledged == every
    assert [inbound.mid for inbound in link.handoff.inbound] == every
    assert link.left() == payloads(*every)
    link.deal(), link.deal()
    link.intake.settle()
    assert link.acknowledged == every, "each once"
    assert link.left() == payloads(*every[2:])


def test_after_a_kill_what_was_left_comes_first_and_says_since_when_it_waits(
    link: Link, tmp_path: Path
) -> None:
    link.come(*range(1, KEPT_FROM + 3), expires_at=time.monotonic() + 60)
    link.intake.keep()
    link.deal()
    link.intake.settle()

    again = Link(tmp_path)  # the first was killed
    again.intake.begin()
    again.connect()
    again.come(1)  # the broker knows no more of the others
    again.intake.keep()
    came = list(again.handoff.inbound)
    assert [each.payload for each in came] == payloads(*range(2, KEPT_FROM + 3), 1)
    assert came[0].kept_ts is not None
    assert abs(time.time() - came[0].kept_ts) < 60
    assert came[0].session_present
    assert came[0].expires_at is not None
    assert 0 < came[0].expires_at - time.monotonic() <= 60
    while again.handoff.inbound:
        again.deal()
    again.intake.settle()
    assert again.left() == []
    assert again.acknowledged == [1]
    again.intake.close()
    again.handoff.close()


def test_what_came_on_an_earlier_connection_is_acknowledged_on_no_other(link: Link) -> None:
    link.come(1, 2)
    link.connect()
    link.come(1)
    for _ in range(3):
        link.deal()
    link.intake.settle()
    assert link.acknowledged == [1]


def test_what_is_kept_is_deleted_though_another_connection_came_since(link: Link) -> None:
    link.come(*range(1, KEPT_FROM + 2))
    link.intake.keep()
    link.connect()
    while link.handoff.inbound:
        link.deal()
    link.intake.settle()
    assert link.left() == []


def test_only_commands_with_a_guarantee_are_kept_and_not_without_bound(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbound_intake, "INBOX_KEPT", KEPT_FROM + 2)
    link.come(*range(1, KEPT_FROM + 1))
    link.come(90, topic="$aws/things/site-1/shadow/update/delta")
    link.come(0)
    assert not link.intake.is_coming
    link.come(*range(20, 22))
    link.intake.keep()
    assert len(link.left()) == KEPT_FROM + 2
    link.come(30)
    assert not link.intake.is_coming
    assert link.handoff.inbound[-1].mid == 30
    assert 30 not in link.acknowledged


def test_a_disk_that_is_full_leaves_them_at_the_broker(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> list[int]:
        raise sqlite3.OperationalError("database or disk is full")

    link.come(*range(1, KEPT_FROM + 2))
    monkeypatch.setattr(link.intake._opened(), "keep", full)
    link.intake.keep()
    assert link.acknowledged == []
    assert len(link.handoff.inbound) == KEPT_FROM + 1
    link.deal()
    link.intake.settle()
    assert link.acknowledged == [1]


def test_an_inbox_that_is_broken_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "inbox.sqlite"
    path.write_bytes(b"no database at all" * 500)
    inbox = Inbox(path)
    assert inbox.left() == []
    inbox.close()
    assert list(tmp_path.glob("inbox.sqlite.damaged-*"))


def test_a_command_in_a_stream_without_end_is_kept_all_the_same(link: Link) -> None:
    link.come(*range(1, KEPT_FROM + 1))
    now = time.monotonic()
    link.come(KEPT_FROM + 1, came_at=now + 3600.0)
    assert link.intake.is_coming
    assert not link.intake.is_due, "it has just come: more may be kept with it"
    link.intake.keep()
    assert not link.intake.is_due, "nothing is left to be kept"
    link.come(KEPT_FROM + 2, came_at=now - inbound_intake.KEPT_WITHIN_SEC)
    link.come(KEPT_FROM + 3, came_at=now + 3600.0)
    assert link.intake.is_due, "the first has waited long enough, whatever came behind it"
