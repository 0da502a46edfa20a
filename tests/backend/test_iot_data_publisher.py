"""Commands over AWS IoT's data endpoint: boto3 against moto's server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from moto.iotdata.models import iotdata_backends
from moto.server import ThreadedMotoServer

from backend.config.backend_settings import BackendSettings
from backend.config.dispatch_settings import DispatchSettings
from backend.dispatch.command_publisher import CommandPublisherMessage
from backend.dispatch.dispatch_process import dispatch_process_publisher
from backend.dispatch.iot_data_publisher import IotDataPublisher
from backend.dispatch.mqtt_publisher import MqttPublisher
from backend.store.database import Database
from tests.support.ports import free_port

from .dispatching import add_event, add_vens, dispatching, eventually, participants

pytestmark = pytest.mark.asyncio
REGION = "us-west-2"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The endpoint; credentials are no one's."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def published() -> list[tuple[str, str]]:
    found = []
    for account in iotdata_backends.values():
        if REGION in account:
            found += [(topic, body) for topic, body in account[REGION].published_payloads]
    return found


async def test_an_event_goes_out_over_https_to_each_ven(aws: str, database: Database) -> None:
    vens = {f"aws{n}": 1.0 for n in range(30)}
    await add_vens(database, vens)
    publisher = IotDataPublisher(aws, region=REGION, parallel=8, timeout_sec=60)
    async with dispatching(database, publisher) as dispatcher:
        await add_event(database, 30.0, dispatcher=dispatcher)

        async def all_told() -> bool:
            return set((await participants(database)).values()) == {"commanded"}

        await eventually(all_told)
    sent = {topic: json.loads(body) for topic, body in published() if "/aws" in topic}
    assert set(sent) == {f"ven/cmd/{ven_id}" for ven_id in vens}
    assert sent["ven/cmd/aws7"]["venId"] == "aws7"
    assert sent["ven/cmd/aws7"]["shed_kw"] == 1.0


async def test_an_endpoint_that_is_not_there_is_an_error_not_a_loss(aws: str) -> None:
    publisher = IotDataPublisher(
        f"http://127.0.0.1:{free_port()}", region=REGION, parallel=2, timeout_sec=60
    )
    (outcome,) = await publisher.publish([CommandPublisherMessage("ven/cmd/x", b"{}")])
    problem = publisher.problem()
    await publisher.close()
    assert outcome.error is not None
    assert "EndpointConnectionError" in outcome.error
    assert problem == outcome.error


async def test_the_endpoint_decides_how_commands_leave() -> None:
    def kind(**variables: str) -> type:
        settings = BackendSettings.from_environment(variables)
        return type(
            dispatch_process_publisher(settings, DispatchSettings.from_environment(variables))
        )

    amazon = "abc-ats.iot.us-west-2.amazonaws.com"
    assert kind() is MqttPublisher
    assert kind(IOT_ENDPOINT=amazon) is IotDataPublisher
    assert kind(IOT_ENDPOINT=amazon, COMMAND_PUBLISHER="mqtt") is MqttPublisher
    assert kind(IOT_ENDPOINT="broker.example") is MqttPublisher
