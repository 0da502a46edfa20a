"""The test broker that behaves like AWS: a neighbour's certificate acts for nobody else."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.authority import Authority
from tests.support.aws_broker import OPERATOR, WITHIN_SEC, AwsLikeBroker, Guest

SITE, NEIGHBOUR = "site-1", "site-2"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsLikeBroker]:
    broker = AwsLikeBroker(tmp_path_factory.mktemp("aws"), Authority("Test CA")).start()
    yield broker
    broker.stop()


@pytest.fixture
def guests(broker: AwsLikeBroker) -> Iterator[Any]:
    made: list[Guest] = []

    def guest(name: str, client_id: str | None = None) -> Guest:
        made.append(Guest(broker, name, client_id))
        return made[-1]

    yield guest
    for one in made:
        one.close()


@pytest.mark.parametrize("topic", ["volttron/metering", f"ven/ack/{SITE}", f"ven/bus/{SITE}/out"])
def test_a_site_is_heard_on_its_own_topics(guests: Any, topic: str) -> None:
    operator = guests(OPERATOR).subscribe("#")
    guests(SITE).publish(topic, "from the site")
    assert operator.hears() == (topic, b"from the site")


@pytest.mark.parametrize(
    "topic",
    [
        f"ven/ack/{SITE}",
        f"ven/telemetry/{SITE}",
        f"ven/status/{SITE}",
        f"ven/cmd/{SITE}",
        f"ven/cmd/{NEIGHBOUR}",
        f"$aws/things/{SITE}/shadow/update",
    ],
)
def test_what_a_neighbour_publishes_for_a_site_reaches_nobody(guests: Any, topic: str) -> None:
    operator = guests(OPERATOR).subscribe("#", "$aws/#")
    site = guests(SITE).subscribe(f"ven/cmd/{SITE}")
    neighbour = guests(NEIGHBOUR)
    neighbour.publish(topic, "forged")
    neighbour.publish(f"ven/ack/{NEIGHBOUR}", "its own")
    assert operator.hears() == (f"ven/ack/{NEIGHBOUR}", b"its own")
    assert site.heard.empty()


def test_a_neighbour_hears_nothing_of_a_sites_commands(guests: Any) -> None:
    neighbour = guests(NEIGHBOUR).subscribe("#", f"ven/cmd/{SITE}", f"ven/cmd/{NEIGHBOUR}")
    operator = guests(OPERATOR)
    operator.publish(f"ven/cmd/{SITE}", "for the site")
    operator.publish(f"ven/cmd/{NEIGHBOUR}", "for the neighbour")
    assert neighbour.hears() == (f"ven/cmd/{NEIGHBOUR}", b"for the neighbour")


def test_a_neighbour_with_a_sites_client_id_does_not_take_its_session(guests: Any) -> None:
    site = guests(SITE).subscribe(f"ven/cmd/{SITE}")
    disguised = guests(NEIGHBOUR, client_id=SITE)
    operator = guests(OPERATOR)
    operator.publish(f"ven/cmd/{SITE}", "for the site")
    assert site.hears() == (f"ven/cmd/{SITE}", b"for the site")
    assert not site.cut.is_set()
    assert disguised.heard.empty()


def test_a_stranger_does_not_connect(broker: AwsLikeBroker) -> None:
    stranger = Authority("Another CA").files(broker.folder, "stranger")
    assert stranger.client_cert
    context = ssl.create_default_context(cadata=broker.authority.pem)
    context.load_cert_chain(stranger.client_cert, stranger.private_key)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, SITE, reconnect_on_failure=False)
    client.tls_set_context(context)
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    refused = threading.Event()
    client.on_disconnect = lambda *_: refused.set()
    try:
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        assert refused.wait(WITHIN_SEC)
    except ssl.SSLError:
        pass
    finally:
        client.loop_stop()
    assert not connected.is_set()
