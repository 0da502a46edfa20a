"""Where the TLS credentials come from: PEM files, or a secret of AWS Secrets Manager.

A secret is kept in a file of mode 0600 in the agent's data folder: a start without network works.
"""

from __future__ import annotations

import json
import logging
import os
import stat
from pathlib import Path
from typing import Protocol

from VenAgent.cloud.tls.secrets_manager import SecretsManagerFetch
from VenAgent.cloud.tls.tls_material import TlsMaterial
from VenAgent.config.cloud_config import CloudTlsConfig

_log = logging.getLogger(__name__)

FILES_EVERY_SEC = 30.0
"""Files are compared with those in use that often."""


class CredentialSource(Protocol):
    """`read` may block its thread; `every_sec` is how often it should be called."""

    every_sec: float
    slow: bool

    def read(self) -> TlsMaterial: ...

    def saved(self) -> TlsMaterial | None: ...

    def save(self, material: TlsMaterial) -> None: ...

    def exposed(self) -> str | None: ...

    def cancel(self) -> None: ...


class FileCredentialSource:
    """Three PEM files, which somebody else renews."""

    every_sec = FILES_EVERY_SEC
    slow = False

    def __init__(self, ca_cert: str, client_cert: str, private_key: str) -> None:
        self._paths = (ca_cert, client_cert, private_key)

    def read(self) -> TlsMaterial:
        return TlsMaterial.from_files(*self._paths)

    def saved(self) -> TlsMaterial | None:
        return None

    def save(self, material: TlsMaterial) -> None:
        """They are kept already."""

    def exposed(self) -> str | None:
        """Whether everybody on this machine can read the key."""
        path = self._paths[2]
        try:
            if not path:
                return None
            mode = os.stat(path).st_mode
        except OSError:
            return None
        if not mode & stat.S_IROTH:
            return None
        return f"everybody on this machine can read the private key: chmod 600 {path}"

    def cancel(self) -> None:
        """Nothing of it takes long."""


class SecretCredentialSource:
    """A secret of AWS Secrets Manager, and the copy of it in `folder`."""

    slow = True

    def __init__(self, name: str, tls: CloudTlsConfig, folder: Path) -> None:
        self.every_sec = tls.refresh_interval_sec
        self._name = name
        self._region = tls.region
        self._ca_cert = tls.ca_cert
        self._path = folder / "credentials.json"
        self._fetch = SecretsManagerFetch()

    def read(self) -> TlsMaterial:
        self._text = self._fetch.run(self._name, self._region)
        return self._parse(self._text)

    def _parse(self, text: str) -> TlsMaterial:
        return TlsMaterial.from_secret(text, self._name, self._ca_cert)

    def saved(self) -> TlsMaterial | None:
        """The copy, if there is one of this secret; never an error."""
        try:
            os.chmod(self._path, 0o600)
            copy = json.loads(self._path.read_text())
            if copy["name"] == self._name and copy["region"] == self._region:
                return self._parse(copy["text"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            # The kind only: what json says may quote the text.
            _log.warning("the copy of the secret is not used: %s", type(error).__name__)
        return None

    def save(self, material: TlsMaterial) -> None:
        """Write the copy anew, all or nothing."""
        copy = {"name": self._name, "region": self._region, "text": self._text}
        draft = self._path.with_suffix(".new")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w") as file:
            os.fchmod(file.fileno(), 0o600)
            json.dump(copy, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self._path)

    def exposed(self) -> str | None:
        return None

    def cancel(self) -> None:
        self._fetch.cancel()


def credential_source_of(tls: CloudTlsConfig, folder: Path) -> CredentialSource:
    """A secret's copy is kept in `folder`."""
    if tls.secret_name is not None:
        return SecretCredentialSource(tls.secret_name, tls, folder)
    return FileCredentialSource(tls.ca_cert or "", tls.client_cert or "", tls.private_key or "")
