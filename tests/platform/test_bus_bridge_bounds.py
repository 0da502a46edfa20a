"""The bus bridge without a platform: what it subscribes to, and what it passes over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from VenAgent.cloud.bus_bridge import BusBridge
from VenAgent.cloud.outbox import Outbox
from VenAgent.cloud.token_bucket import TokenBucket
from VenAgent.config.bus_bridge_config import BusBridgeConfig
from VenAgent.contract.message_refused import MessageRefused
from VenAgent.contract.reasons import ReasonCode
from VenAgent.ven import SCHEDULE_RESULTS


class PubSub:
    """VOLTTRON's, as far as it matters here: it ends all subscriptions to the same text at once."""

    def __init__(self) -> None:
        self.subscribed: dict[str, set[Any]] = {}
        self.left: list[str] = []

    def subscribe(self, _peer: str, prefix: str, callback: Any) -> None:
        self.subscribed.setdefault(prefix, set()).add(callback)

    def unsubscribe(self, _peer: str, prefix: str, callback: Any) -> None:
        self.subscribed[prefix].discard(callback)
        self.left.append(prefix)

    def publish(self, sender: str, topic: str, message: Any) -> None:
        for prefix, callbacks in self.subscribed.items():
            if topic.startswith(prefix):
                for callback in list(callbacks):
                    callback("pubsub", sender, "", topic, {}, message)


class Bench:
    def __init__(self, folder: Path, **block: Any) -> None:
        self.pubsub = PubSub()
        self.outbox = Outbox(folder / "outbox.sqlite", synced=False)
        self.published: list[tuple[str, Any, Any]] = []
        self.bridge = BusBridge(
            BusBridgeConfig(enabled=True, **block),
            "site-1",
            "ven.agent",
            self.pubsub,
            self.outbox,
            lambda topic, headers, message: self.published.append((topic, headers, message)),
            lambda: None,
        )
        self.bridge.start()

    def close(self) -> None:
        self.bridge.stop()
        self.outbox.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, forward=["devices/a/all"], publish=["cloud/x"], flood_per_sec=5)
    yield bench
    bench.close()


def test_a_flood_ends_the_subscription_and_nothing_more_is_taken_in(bench: Bench) -> None:
    for number in range(100):
        bench.pubsub.publish("driver", "devices/a/all", number)
    assert bench.bridge.floods >= 1
    assert bench.bridge.status()["listening"] is False
    assert len(bench.bridge.batches) <= 10


def test_what_is_still_under_way_then_finds_a_subscriber(bench: Bench) -> None:
    """VOLTTRON's client answers a message that no one wants with all its subscriptions."""
    for number in range(100):
        bench.pubsub.publish("driver", "devices/a/all", number)
    assert all(bench.pubsub.subscribed.values())


@pytest.mark.parametrize(
    "prefix", ["devices/a/b/all", "devices/a/b", "devices/a/b/c", "devices/a", SCHEDULE_RESULTS]
)
def test_it_never_leaves_the_text_of_another_subscription_of_ours(
    tmp_path: Path, prefix: str
) -> None:
    bench = Bench(tmp_path, forward=[prefix])
    bench.pubsub.publish("driver", prefix, 1)
    assert len(bench.bridge.batches) == 1
    bench.close()
    assert bench.pubsub.left
    for left in bench.pubsub.left:
        assert not left.endswith("/"), "the meter's subscriptions do"
        assert left != SCHEDULE_RESULTS


def test_our_own_messages_and_neighbouring_topics_are_not_forwarded(bench: Bench) -> None:
    bench.pubsub.publish("ven.agent", "devices/a/all", 1)
    bench.pubsub.publish("driver", "devices/a/almost", 2)
    bench.pubsub.publish("driver", "devices/a/all/power", 3)
    assert len(bench.bridge.batches) == 1


@pytest.mark.parametrize(
    "rest", ["", "cloud", "cloud/xy", "cloud/x//y", "cloud/x/", "cloud/x/ ", "cloud/x/" + "y" * 256]
)
def test_only_topics_below_an_allowed_prefix_are_published(bench: Bench, rest: str) -> None:
    with pytest.raises(MessageRefused) as caught:
        bench.bridge.receive(f"ven/bus/site-1/in/{rest}", b'{"message":1}')
    assert caught.value.code is ReasonCode.BAD_TOPIC
    bench.bridge.receive("ven/bus/site-1/in/cloud/x/y", b'{"message":1}')
    assert bench.published == [("cloud/x/y", {}, 1)]


def test_too_many_messages_are_dropped_before_they_are_read(bench: Bench) -> None:
    kinds = []
    for _ in range(60):
        try:
            bench.bridge.receive("ven/bus/site-1/in/cloud/x", b"{")
        except MessageRefused as error:
            kinds.append(error.code)
    assert kinds.count(ReasonCode.NOT_JSON) <= 25
    assert kinds.count(ReasonCode.TOO_MANY) >= 35


def test_no_more_batches_wait_in_the_outbox_than_a_few(bench: Bench) -> None:
    for number in range(10):
        bench.bridge.batches.add("t", 0.0, {}, number)
        bench.bridge._send_batch()
    assert bench.outbox.depth() == 3
    assert len(bench.bridge.batches) == 7


def test_a_rate_holds_on_average_and_lets_a_burst_through() -> None:
    limit = TokenBucket(2.0, 2.0, 100.0)
    taken = sum(limit.take(100.0 + step / 10) for step in range(100))
    assert 20 <= taken <= 22
