"""The whole agent with a client certificate, on a broker that behaves like AWS IoT Core."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.platform.site import VEN, VEN_ID, Site, wait_for
from tests.support.authority import Authority
from tests.support.aws_broker import OPERATOR, AwsLikeBroker, Guest


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[AwsLikeBroker]:
    broker = AwsLikeBroker(tmp_path, Authority("Our CA")).start()
    yield broker
    broker.stop()


@pytest.fixture
def operator(broker: AwsLikeBroker) -> Iterator[Guest]:
    operator = Guest(broker, OPERATOR).subscribe("ven/+/+", "volttron/metering")
    yield operator
    operator.close()


def heard(operator: Guest, topic: str, **wanted: Any) -> dict[str, Any]:
    """The first message on `topic` with these fields."""

    def next_one() -> dict[str, Any] | None:
        while not operator.heard.empty():
            name, payload = operator.heard.get()
            body = json.loads(payload)
            if name == topic and all(body.get(key) == value for key, value in wanted.items()):
                return dict(body)
        return None

    return wait_for(next_one, f"{wanted} on {topic}", 120.0)


def test_it_connects_by_certificate_tells_of_its_end_and_never_of_its_key(
    site: Site, broker: AwsLikeBroker, operator: Guest
) -> None:
    files = broker.files(VEN_ID, days=20)
    tls = files.model_dump(include={"ca_cert", "client_cert", "private_key"})
    to_broker = {"host": "127.0.0.1", "port": broker.port, "tls": tls}
    site.store(VEN, "config", {**site.config, "broker": to_broker})
    health = site.wait_for_health("GOOD", str(broker.port), "expires on")
    alert = heard(operator, f"ven/alerts/{VEN_ID}", code="certificate.expires")
    assert alert["severity"] == "warning"
    told = [health, json.dumps(alert), json.dumps(site.status())]
    for what in ("status", "config"):
        command = {"op": "get", "what": what, "correlationId": f"of-{what}"}
        operator.publish(f"ven/cmd/{VEN_ID}", json.dumps(command))
        told.append(json.dumps(heard(operator, f"ven/ack/{VEN_ID}", correlationId=f"of-{what}")))
    assert files.private_key
    key = Path(files.private_key).read_text().splitlines()[1:-1]
    assert files.private_key in told[-1], "its name may be told"
    for line in key:
        assert not any(line in text for text in told)


def test_a_certificate_that_has_expired_stands_in_the_health(
    site: Site, broker: AwsLikeBroker
) -> None:
    files = broker.files(VEN_ID, days=-1, since_days=9)
    tls = files.model_dump(include={"ca_cert", "client_cert", "private_key"})
    to_broker = {"host": "127.0.0.1", "port": broker.port, "tls": tls}
    site.store(VEN, "config", {**site.config, "broker": to_broker})
    site.wait_for_health("BAD", f"the client certificate CN={VEN_ID} expired on", "renew it")
