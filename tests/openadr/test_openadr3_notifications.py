"""A VTN of OpenADR 3.1 tells of changes over MQTT: they are read at once, and polling goes on."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from backend.openadr.openadr3_notifications import MQTT, MQTT_AWAY, POLLING
from backend.openadr.openadr3_service import OpenAdr3Service
from backend.openadr.vtn_link import LINKS
from backend.store.database import Database
from tests.backend.conftest import mosquitto
from tests.backend.dispatching import add_vens, eventually, rows
from tests.openadr import vtn3
from tests.openadr.stage import events, open_events, service_for, settings_for
from tests.support.authority import Authority
from tests.support.ports import free_port

pytestmark = pytest.mark.asyncio
NEVER = {"OPENADR_POLL_SEC": "3600", "OPENADR_LEASE_SEC": "7200"}
"""Whatever is seen is seen because the VTN told of it."""


class Broker:
    """The VTN's: TLS, with a user and a CA of its own. It is started and stopped by tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.authority = Authority()
        self.ca = folder / "ca.pem"
        self.ca.write_text(self.authority.pem)
        certificate, key = self.authority.issue("broker").write(folder, "broker")
        self.tls = [f"cafile {self.ca}", f"certfile {certificate}", f"keyfile {key}"]
        self.client = self.authority.issue("operator")

    @contextmanager
    def running(self, *more: str) -> Iterator[None]:
        with mosquitto(self.folder, self.port, *self.tls, *more):
            yield

    def offer(self, **authentication: str) -> dict[str, Any]:
        return {
            "WEBHOOK": True,
            "MQTT": {
                "URIS": ["mqtt://elsewhere.example", f"mqtts://localhost:{self.port}"],
                "serialization": "JSON",
                "authentication": authentication or {"method": "ANONYMOUS"},
            },
        }

    def tell(self, topic: str, message: Any, *user: str) -> None:
        """As the VTN does."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        context = ssl.create_default_context(cafile=str(self.ca))
        certificate, key = self.client.write(self.folder, "vtn")
        context.load_cert_chain(str(certificate), str(key))
        client.tls_set_context(context)
        if user:
            client.username_pw_set(*user)
        client.connect("localhost", self.port)
        client.loop_start()
        try:
            text = message if isinstance(message, (str, bytes)) else json.dumps(message)
            client.publish(topic, text, qos=1).wait_for_publish(20)
        finally:
            client.disconnect()
            client.loop_stop()


@asynccontextmanager
async def running_service(
    database: Database, url: str, broker: Broker, **more: str
) -> AsyncIterator[OpenAdr3Service]:
    settings = settings_for(url, OPENADR_CA_CERT=str(broker.ca), **{**NEVER, **more})
    service, stop = OpenAdr3Service(database, settings), asyncio.Event()
    task = asyncio.create_task(service.run(stop))
    try:
        yield service
    finally:
        stop.set()
        await task


def is_in(service: OpenAdr3Service, state: str) -> Callable[[], bool]:
    return lambda: service.notifications.state == state


async def tell(broker: Broker, topic: str, message: Any, *user: str) -> None:
    await asyncio.to_thread(broker.tell, topic, message, *user)


async def number_of_open(database: Database, number: int) -> None:
    async def is_so() -> bool:
        return len(await open_events(database)) == number

    await eventually(is_so)


async def test_an_event_begins_changes_and_ends_when_the_vtn_tells_of_it(
    database: Database, tmp_path: Path
) -> None:
    await add_vens(database, {"a": 2.0})
    broker = Broker(tmp_path)
    with vtn3.running() as vtn, broker.running():
        vtn.notifiers = broker.offer()
        async with running_service(database, vtn.url, broker) as service:
            await eventually(is_in(service, MQTT))
            vtn.event("e1", kws=[-1.0])
            created = {"objectType": "EVENT", "operation": "CREATE", "object": {"id": "e1"}}
            await tell(broker, "events/vens/ven-2/create", created)
            await tell(broker, "events/programs/p1/create", created)  # the same by two ways
            await number_of_open(database, 1)
            # What is told is no more than a reason to look: nonsense and lies do nothing.
            for nonsense in (b"\xff\0", "no JSON", "[" * 5_000, {"operation": "DELETE"}, ""):
                await tell(broker, "events/vens/ven-2/delete", nonsense)
            vtn.event("e2", kws=[-2.0])
            await tell(broker, "events/programs/p1/create", {})
            await number_of_open(database, 2)
            vtn.delete("e1")
            await tell(broker, "events/vens/ven-2/delete", {"operation": "DELETE"})
            await number_of_open(database, 1)
            await service.turn()  # polled too
            (link,) = await rows(database, LINKS)
            assert link.notifications == MQTT
    assert len(await events(database)) == 2


async def test_a_broker_that_is_away_leaves_polling_and_what_was_missed_is_read(
    database: Database, tmp_path: Path
) -> None:
    await add_vens(database, {"a": 2.0})
    broker = Broker(tmp_path)
    with vtn3.running() as vtn:
        vtn.notifiers = broker.offer()
        async with running_service(database, vtn.url, broker) as service:
            await eventually(is_in(service, MQTT_AWAY))
            vtn.event("polled", kws=[-1.0])
            await service.turn()
            await number_of_open(database, 1)
            vtn.event("missed", kws=[-1.0])
            with broker.running():
                await number_of_open(database, 2)
                assert service.notifications.state == MQTT
            await eventually(is_in(service, MQTT_AWAY))
            vtn.event("missed-again", kws=[-1.0])
            with broker.running():
                await number_of_open(database, 3)


async def test_a_broker_that_wants_a_certificate_gets_the_one_that_the_vtn_gave(
    database: Database, tmp_path: Path
) -> None:
    await add_vens(database, {"a": 2.0})
    broker = Broker(tmp_path)
    with vtn3.running() as vtn, broker.running("require_certificate true"):
        certificates = {
            "caCert": broker.authority.pem,
            "clientCert": broker.client.certificate,
            "clientKey": broker.client.key,
        }
        vtn.notifiers = broker.offer(method="CERTIFICATE", **certificates)
        async with running_service(database, vtn.url, broker) as service:
            await eventually(is_in(service, MQTT))
            vtn.event("e1", kws=[-1.0])
            await tell(broker, "events/vens/ven-2/create", {})
            await number_of_open(database, 1)


async def test_a_broker_that_wants_the_token_gets_it_and_the_next_one(
    database: Database, tmp_path: Path
) -> None:
    await add_vens(database, {"a": 2.0})
    broker = Broker(tmp_path)
    passwords = tmp_path / "passwords"
    program = shutil.which("mosquitto_passwd", path="/usr/bin:/usr/sbin:/bin")
    assert program, "Debian's mosquitto has it"
    passwords.touch(mode=0o600)
    for user, word in (("ven-client", "token-1"), ("vtn", "v")):
        subprocess.run([program, "-b", passwords, user, word], check=True, capture_output=True)
    more = ("allow_anonymous false", f"password_file {passwords}")
    with vtn3.running() as vtn:
        vtn.notifiers = broker.offer(method="OAUTH2_BEARER_TOKEN", username="{clientID}")
        async with running_service(database, vtn.url, broker) as service:
            with broker.running(*more):
                await eventually(is_in(service, MQTT))
                vtn.event("e1", kws=[-1.0])
                await tell(broker, "events/vens/ven-2/create", {}, "vtn", "v")
                await number_of_open(database, 1)
            vtn.expire_tokens()
            subprocess.run([program, "-b", passwords, "ven-client", "token-2"], check=True)
            with broker.running(*more):  # it knows the old token no longer
                service.notifications.told.set()  # its own turn: a second one beside it asks too
                await eventually(lambda: service.vtn.connection.token == "token-2")
                await eventually(is_in(service, MQTT))


@pytest.mark.parametrize("version", ["3.1", "3.0"])
async def test_what_cannot_be_used_leaves_polling(
    database: Database, tmp_path: Path, version: str
) -> None:
    await add_vens(database, {"a": 2.0})
    broker = Broker(tmp_path)
    good = broker.offer()["MQTT"]
    offers: list[Any] = [
        None,
        [],
        {"MQTT": None},
        {"MQTT": True},
        {"MQTT": {}},
        {"MQTT": {**good, "URIS": []}},
        {"MQTT": {**good, "URIS": [7, None, "http://x", "mqtts://[", "mqtts://x:99999999"]}},
        {"MQTT": {**good, "URIS": ["mqtt://elsewhere.example"]}},  # without TLS
        {"MQTT": {**good, "serialization": "CBOR"}},
        {"MQTT": {**good, "authentication": {"method": "KERBEROS"}}},
        {"MQTT": {**good, "authentication": {"method": "CERTIFICATE"}}},
    ]
    with vtn3.running(version) as vtn:
        async with service_for(database, vtn.url, version) as service:
            for number, offer in enumerate(offers):
                vtn.notifiers = json.dumps(offer)  # as text: wrong on purpose
                service._programs_until = 0.0
                vtn.event(f"e{number}", kws=[-1.0])
                await service.turn()
                assert service.notifications.state == POLLING, offer
                assert len(await open_events(database)) == number + 1
