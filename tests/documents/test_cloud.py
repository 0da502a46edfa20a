"""The commands of docs/cloud.md, with AWS IoT Core (moto) and a broker that behaves like it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from unittest import mock

import boto3
import pytest
from cryptography import x509
from moto.iot.models import FakeEndpoint, IoTBackend
from moto.server import ThreadedMotoServer

from tests.config.builders import ROOT
from tests.documents.pages import Command
from tests.documents.play import each, play
from tests.documents.reader import Reader
from tests.documents.site import a_panel, copied_model
from tests.documents.tables import CLOUD
from tests.support.authority import Authority
from tests.support.aws_broker import AwsLikeBroker
from tests.support.iot_policy import ven_policy

REGION = "eu-west-1"
AUTHORITY = Authority("The cloud's CA")


@pytest.fixture(scope="module")
def cloud() -> Iterator[Reader]:
    """A site and an account: AWS IoT Core is moto, its broker one that behaves like it."""
    reader = Reader("c")
    folder = reader.folder / "aws"
    folder.mkdir()
    (reader.own / ".aws").mkdir()
    (reader.own / ".aws/config").write_text(
        f"[profile provisioning]\nregion = {REGION}\n"
        "aws_access_key_id = testing\naws_secret_access_key = testing\n"
    )
    (folder / "ca.pem").write_text(AUTHORITY.pem)
    copied_model(reader.own / "my_panel", reader.ports["VEN_PANEL_PORT"])
    shutil.copy(ROOT / "config", reader.clone / "my-config.json")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    broker = AwsLikeBroker(folder, AUTHORITY)
    with ExitStack() as stack:
        for name, ours in (
            ("create_certificate_from_csr", _sign_as_aws_does),
            ("describe_endpoint", _endpoint),
        ):
            stack.enter_context(mock.patch.object(IoTBackend, name, ours))
        stack.enter_context(a_panel(reader))
        server.start()
        stack.callback(server.stop)
        url = "http://{}:{}".format(*server.get_host_and_port())
        _deploy(url)
        broker.start()
        stack.callback(broker.stop)
        reader.environment |= {
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": REGION,
            "AWS_PROFILE": "provisioning",
            "MQTT_PORT": str(broker.port),
        }
        reader.words["provision --thing"] = f"provision --root-ca {folder / 'ca.pem'} --thing"
        stack.callback(reader.run, "./scripts/ven_control.sh stop")
        yield reader


def _deploy(url: str) -> None:
    """What deploy/aws/venagent.yaml makes, as far as a site's identity needs it."""
    iot = boto3.client(
        "iot",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    iot.create_policy(policyName="venagent-ven", policyDocument=json.dumps(ven_policy()))
    iot.create_thing_type(thingTypeName="venagent-ven")


def _sign_as_aws_does(backend: IoTBackend, csr: str, set_as_active: bool) -> Any:
    """For the key of the request: moto's own certificate is for a key that nobody has."""
    request = x509.load_pem_x509_csr(csr.encode())
    (name,) = request.subject
    certificate = AUTHORITY.certify(str(name.value), request.public_key())
    return backend.register_certificate(certificate, None, set_as_active, "INACTIVE")


def _endpoint(backend: IoTBackend, endpoint_type: str) -> Any:
    """The broker of the test."""
    endpoint = FakeEndpoint(endpoint_type, backend.region_name)
    endpoint.endpoint = "localhost"
    return endpoint


@each(CLOUD)
def test_a_command_does_what_its_page_says_with_aws(cloud: Reader, command: Command) -> None:
    if command.prompt:
        cloud.words["my-site"] = "by-request"
    else:
        cloud.words.pop("my-site", None)
    if "--csr request.csr" in command.text:
        shutil.copy(cloud.home / "certificates/by-request/request.csr", cloud.clone)
    no_credentials = {"AWS_PROFILE": "", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    play(cloud, command, **(no_credentials if command.prompt == "site" else {}))
