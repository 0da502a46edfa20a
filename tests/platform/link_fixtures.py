"""Fixtures of the tests of the MQTT connection, which name this module in `pytest_plugins`.

They are no part of `conftest.py`: the tests of the whole site have a broker of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.platform.fake_broker import FakeBroker
from tests.platform.link_harness import Broker, Listener, MakeNode, Node, Observer
from tests.support.tcp_proxy import TcpProxy
from VenAgent.cloud import reconnect_policy as reconnecting
from VenAgent.config.cloud_config import CloudTlsConfig


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(folder)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def observer(broker: Broker) -> Iterator[Observer]:
    observer = Observer(broker.port)
    yield observer
    observer.close()


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[MakeNode]:
    nodes: list[Node] = []

    def make(port: int, tls: CloudTlsConfig | None = None, **changes: Any) -> Node:
        nodes.append(Node(tmp_path, port, tls, **changes))
        return nodes[-1]

    yield make
    for node in nodes:
        node.stop()


@pytest.fixture
def node(make_node: MakeNode, broker: Broker) -> Node:
    return make_node(broker.port)


@pytest.fixture
def proxy(broker: Broker) -> Iterator[TcpProxy]:
    proxy = TcpProxy(broker.port)
    yield proxy
    proxy.close()


@pytest.fixture
def fake_broker() -> Iterator[FakeBroker]:
    broker = FakeBroker()
    yield broker
    broker.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between connections of up to two seconds: what is tested is not the pause."""
    monkeypatch.setattr(reconnecting, "FIRST_WINDOW_SEC", 1.0)
    monkeypatch.setattr(reconnecting, "LONGEST_SEC", 2.0)


@pytest.fixture
def silent_listener() -> Iterator[Listener]:
    listener = Listener(hang_up=False)
    yield listener
    listener.close()
