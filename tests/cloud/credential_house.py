"""A site whose credentials are watched, and the vault that they may come from."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.authority import Authority, Pair
from VenAgent.cloud.tls.credential_sources import CredentialSource
from VenAgent.cloud.tls.credentials import Credentials
from VenAgent.cloud.tls.secrets_manager import SecretsManagerError
from VenAgent.config.cloud_config import CloudTlsConfig

OURS = Authority("Our CA")
NAME = "ven/site-1"


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"not within 10 s: {what}"
        time.sleep(0.005)


class Site:
    """Credentials, and how often (`changes`) they wanted the connection made anew."""

    def __init__(self, source: CredentialSource) -> None:
        self.changes = 0
        self.now = time.time()
        self.credentials = Credentials(source, clock=lambda: self.now)

    def start(self) -> Site:
        self.credentials.start(self._on_change)
        return self

    def _on_change(self) -> None:
        self.changes += 1

    def wait_for_change(self) -> None:
        """The connection is to be made anew, with other credentials than it has."""
        seen = self.changes
        wait_for(lambda: self.changes > seen, "the connection is to be made anew")

    def look(self) -> None:
        """As the watching thread does, at once."""
        self.credentials._wanted.set()

    def codes(self) -> list[str]:
        return [finding.code for finding in self.credentials.findings()]

    def connect(self, *, accepted: bool = True) -> str:
        """Make a connection; the serial number of the certificate it uses."""
        self.credentials.context()
        (self.credentials.accepted if accepted else self.credentials.refused)()
        facts = self.credentials.facts
        assert facts is not None
        return facts.serial_number

    def stop(self) -> None:
        self.credentials.stop()
        wait_for(lambda: self.credentials.ended, "its thread has ended")


def renew(files: CloudTlsConfig, pair: Pair) -> None:
    assert files.client_cert
    assert files.private_key
    Path(files.client_cert).write_text(pair.certificate)
    Path(files.private_key).write_text(pair.key)


class Vault:
    """Secrets Manager, as `SecretsManagerFetch` shows it; it answers `text` or `trouble`."""

    def __init__(self, pair: Pair) -> None:
        self.store(pair)
        self.trouble: str | None = None
        self.fetches = 0
        self.open = threading.Event()
        self.open.set()

    def store(self, pair: Pair) -> None:
        self.text = json.dumps({"ca": OURS.pem, "certificate": pair.certificate, "key": pair.key})

    def run(self, name: str, region: str | None) -> str:
        self.fetches += 1
        assert (name, region) == (NAME, "eu-west-1")
        self.open.wait(60)
        if self.trouble is not None:
            raise SecretsManagerError(self.trouble)
        return self.text

    def cancel(self) -> None:
        self.open.set()
