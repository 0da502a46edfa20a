"""A certificate authority of the test: for brokers, VENs, and their neighbours."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from VenAgent.config.cloud_config import CloudTlsConfig

_PEM = serialization.Encoding.PEM


def new_key() -> Any:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Any, password: bytes | None = None) -> str:
    protection: Any = serialization.NoEncryption()
    if password is not None:
        protection = serialization.BestAvailableEncryption(password)
    pem: bytes = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, protection)
    return pem.decode()


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: str
    key: str

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_text(self.certificate)
        key.write_text(self.key)
        key.chmod(0o600)
        return certificate, key


class Authority:
    """Signs with P-256. `days` is how long a certificate is valid from now on."""

    def __init__(
        self, name: str = "Test CA", parent: Authority | None = None, *, days: float = 3650
    ) -> None:
        self.key = new_key()
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = parent or self
        self.pem = signer._sign(self.name, self.key.public_key(), days=days, authority=True)

    def issue(self, name: str, *, days: float = 365, since_days: float = 1) -> Pair:
        """A certificate for the client (or the broker on 127.0.0.1) called `name`."""
        key = new_key()
        return Pair(self.certify(name, key.public_key(), days, since_days), key_pem(key))

    def certify(self, name: str, public_key: Any, days: float = 365, since_days: float = 1) -> str:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._sign(subject, public_key, days=days, since_days=since_days)

    def _sign(
        self,
        subject: x509.Name,
        public_key: Any,
        *,
        days: float,
        since_days: float = 1,
        authority: bool = False,
    ) -> str:
        now = datetime.now(timezone.utc)
        addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=since_days))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            builder = builder.add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(_PEM).decode()

    def files(self, folder: Path, name: str, **validity: float) -> CloudTlsConfig:
        """The three files of a client called `name`, in `folder`."""
        certificate, key = self.issue(name, **validity).write(folder, name)
        ca = folder / f"{name}-ca.pem"
        ca.write_text(self.pem)
        return CloudTlsConfig(ca_cert=str(ca), client_cert=str(certificate), private_key=str(key))
