"""The MQTT connection with client certificates, good and bad."""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.platform.link_harness import (
    TOPICS,
    Broker,
    Listener,
    MakeNode,
    Observer,
    threads_of_links,
    wait_until,
)
from tests.support.ports import free_port
from VenAgent.cloud import mqtt_session as session
from VenAgent.config.cloud_config import CloudTlsConfig

pytest_plugins = ["tests.platform.link_fixtures"]


class Authority:
    """A certificate authority of the test."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(self._name, self._key.public_key(), authority=True)
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(certificate)

    def _certificate(self, subject: x509.Name, key: Any, *, authority: bool) -> bytes:
        now = datetime.now(timezone.utc)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate_path = self._folder / f"{name}.crt"
        certificate_path.write_bytes(self._certificate(subject, key.public_key(), authority=False))
        key_path = self._folder / f"{name}.key"
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate_path, key_path

    def client(self, name: str) -> CloudTlsConfig:
        certificate, key = self.issue(name)
        return tls_config(self.path, certificate, key)


def tls_config(ca_cert: Path, client_cert: Path, private_key: Path) -> CloudTlsConfig:
    return CloudTlsConfig(
        ca_cert=str(ca_cert), client_cert=str(client_cert), private_key=str(private_key)
    )


class SecureSite:
    """A broker that wants client certificates, with a plain door for the observer."""

    def __init__(self, folder: Path) -> None:
        self.ours = Authority(folder, "ours")
        self.others = Authority(folder, "others")
        self.tls_port = free_port()
        certificate, key = self.ours.issue("broker")
        self.broker = Broker(
            folder,
            [
                f"listener {self.tls_port} 127.0.0.1",
                f"cafile {self.ours.path}",
                f"certfile {certificate}",
                f"keyfile {key}",
                "require_certificate true",
            ],
        )


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureSite]:
    site = SecureSite(tmp_path_factory.mktemp("secure"))
    site.broker.start()
    yield site
    site.broker.stop()


def test_with_a_client_certificate_it_speaks_both_ways(
    secure: SecureSite, make_node: MakeNode
) -> None:
    observer = Observer(secure.broker.port)
    node = make_node(secure.tls_port, secure.ours.client("ven")).start()
    body = os.urandom(50_000).hex()  # several TLS records
    node.put("one", body)
    wait_until(lambda: observer.payloads("data") == [b"one", body.encode()], "both have come")
    wait_until(lambda: node.outbox.depth() == 0, "both are deleted")
    commands = [f"c{number}" + "x" * 5_000 for number in range(20)]
    for text in commands:
        observer._client.publish(TOPICS.command, text, qos=1)
    wait_until(lambda: len(node.commands) >= 20, "all have come")
    assert node.commands == commands
    node.stop()
    wait_until(lambda: observer.statuses()[-1:] == ["offline"], "it says offline")
    observer.close()


def test_a_broker_of_another_authority_is_not_trusted(
    secure: SecureSite, make_node: MakeNode
) -> None:
    certificate, key = secure.ours.issue("ven")
    node = make_node(secure.tls_port, tls_config(secure.others.path, certificate, key))
    node.start(until_online=False)
    why = node.until_why("is not trusted")
    assert f"127.0.0.1:{secure.tls_port}" in why


def test_a_client_certificate_of_another_authority_is_told(
    secure: SecureSite, make_node: MakeNode
) -> None:
    """The broker hangs up after the handshake, as AWS does when a policy forbids to connect."""
    certificate, key = secure.others.issue("stranger")
    node = make_node(secure.tls_port, tls_config(secure.ours.path, certificate, key))
    node.start(until_online=False)
    wait_until(lambda: node.link.state.why, "the state tells why")
    assert not node.link.state.online


@pytest.mark.parametrize("missing", ["ca_cert", "client_cert", "private_key"])
def test_a_missing_file_is_named(secure: SecureSite, make_node: MakeNode, missing: str) -> None:
    whole = secure.ours.client("ven")
    path = str(Path(whole.ca_cert).with_name(f"no-{missing}.pem"))
    node = make_node(secure.tls_port, whole.model_copy(update={missing: path}))
    node.start(until_online=False)
    assert path in node.until_why("a TLS file is missing")


@pytest.mark.parametrize("wrong", ["ca_cert", "client_cert", "private_key"])
def test_a_file_that_is_no_certificate_is_told(
    secure: SecureSite, make_node: MakeNode, wrong: str
) -> None:
    whole = secure.ours.client("ven")
    path = Path(whole.ca_cert).with_name("rubbish.pem")
    path.write_text("no certificate, no key\n")
    node = make_node(secure.tls_port, whole.model_copy(update={wrong: str(path)}))
    node.start(until_online=False)
    assert "TLS" in node.until_why("TLS")


def test_stopping_before_a_silent_broker_has_shaken_hands_keeps_its_time_limit(
    secure: SecureSite, make_node: MakeNode, silent_listener: Listener
) -> None:
    node = make_node(silent_listener.port, secure.ours.client("ven"))
    node.start(until_online=False)
    wait_until(lambda: silent_listener.accepted, "it has connected")
    node.running = False
    started = time.monotonic()
    node.link.stop(timeout_sec=1.0)
    assert time.monotonic() - started < session.CONNECT_TIMEOUT_SEC
    silent_listener.close()  # the handshake fails, and the thread ends after all
    wait_until(lambda: threads_of_links() == [], "the thread has ended")
