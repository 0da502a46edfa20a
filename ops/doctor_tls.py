"""The doctor's look at the broker's TLS: handshake, certificates, and the key's file."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from ops.checks import Check
from VenAgent.config.cloud import BrokerConfig, TlsConfig

CONNECT_WITHIN_SEC = 10.0
WARN_DAYS = 30


def broker(where: BrokerConfig, now: datetime | None = None) -> Iterator[Check]:
    """TCP or TLS to the broker, and with TLS our certificate."""
    address = f"{where.host}:{where.port}"
    files_good = True
    files = _files(where.tls)
    if where.tls and files is None:
        yield Check(
            "certificate", None, f"from the secret {where.tls.secret_name}: VenAgent's health tells"
        )
    if files:
        for check in certificate(files, now or datetime.now(timezone.utc)):
            files_good = files_good and check.ok is not False
            yield check
        if not files_good:
            yield Check(
                "broker", None, f"{address}: no handshake tried without a usable certificate"
            )
            return
    try:
        with socket.create_connection((where.host, where.port), CONNECT_WITHIN_SEC) as connection:
            if files is None:
                how = "no handshake tried" if where.tls else "without TLS"
                yield Check("broker", True, f"{address} listens, {how}")
                return
            yield from _handshake(where.host, files, connection, address)
    except OSError as error:
        yield Check(
            "broker",
            False,
            f"{address} cannot be reached: {error.strerror or error}",
            "Check host and port (IOT_ENDPOINT, MQTT_PORT), the network, its DNS and firewall "
            "(8883 outwards); for the local broker run `ven_control.sh start`.",
        )


@dataclass(frozen=True)
class Files:
    """The three PEM files."""

    ca_cert: str
    client_cert: str
    private_key: str


def _files(tls: TlsConfig | None) -> Files | None:
    """None without TLS, and when the certificate is in a secret."""
    if tls is None or not (tls.ca_cert and tls.client_cert and tls.private_key):
        return None
    return Files(tls.ca_cert, tls.client_cert, tls.private_key)


def _handshake(host: str, tls: Files, connection: socket.socket, address: str) -> Iterator[Check]:
    try:
        context = ssl.create_default_context(cafile=tls.ca_cert)
        context.load_cert_chain(tls.client_cert, tls.private_key)
        with context.wrap_socket(connection, server_hostname=host) as secured:
            peer = secured.getpeercert() or {}
            until = f", its certificate until {peer['notAfter']}" if "notAfter" in peer else ""
            yield Check("broker", True, f"{address}: {secured.version()} handshake done{until}")
    except ssl.SSLCertVerificationError as error:
        yield Check(
            "broker",
            False,
            f"{address}: its certificate is not trusted: {error.verify_message}",
            "Check that CA_CERT is the root of this broker (AWS: AmazonRootCA1.pem), that the "
            "host is the name in its certificate, and that this machine's clock is right.",
        )
    except (ssl.SSLError, ConnectionResetError, TimeoutError) as error:
        yield Check(
            "broker",
            False,
            f"{address}: TLS fails: {getattr(error, 'reason', None) or error}",
            "Check that our certificate is active at the broker, and that this is its TLS port.",
        )


def certificate(tls: Files, now: datetime) -> Iterator[Check]:
    """Our certificate's dates, whether the key is its own, and who can read the key."""
    try:
        found = x509.load_pem_x509_certificate(Path(tls.client_cert).read_bytes())
    except (OSError, ValueError) as error:
        yield Check(
            "certificate",
            False,
            f"{tls.client_cert} cannot be used: {_short(error)}",
            "Set CLIENT_CERT to the thing's certificate, PEM.",
        )
        return
    begins, ends = _dates(found)
    days = (ends - now).days
    text = f"valid until {ends:%Y-%m-%d} ({days} days)"
    renew = "Issue a new certificate for this thing, and attach its policy, before that day."
    if now < begins:
        text = f"valid only from {begins:%Y-%m-%d %H:%M} UTC"
        yield Check("certificate", False, text, "Check this machine's clock.")
    elif ends <= now:
        yield Check("certificate", False, f"expired on {ends:%Y-%m-%d}", renew)
    else:
        yield Check("certificate", days > WARN_DAYS, text, "" if days > WARN_DAYS else renew)
    yield from _key(tls, found)


def _key(tls: Files, found: x509.Certificate) -> Iterator[Check]:
    key_file = Path(tls.private_key)
    try:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
        mode = key_file.stat().st_mode
    except (OSError, ValueError, TypeError) as error:
        yield Check(
            "private key",
            False,
            f"{key_file} cannot be used: {_short(error)}",
            "Set PRIVATE_KEY to the key of that certificate, PEM without a pass phrase, "
            "readable for the user VOLTTRON runs as.",
        )
        return
    layout = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*layout) != found.public_key().public_bytes(*layout):
        yield Check(
            "private key",
            False,
            "it is not the key of the certificate",
            "CLIENT_CERT and PRIVATE_KEY must be of one pair.",
        )
    elif mode & 0o027:  # a group of its own may read it
        yield Check(
            "private key",
            False,
            f"others can read it (mode {mode & 0o777:o})",
            f"chmod 600 {key_file}, owned by the user VOLTTRON runs as (or 640 for its group).",
        )
    else:
        yield Check("private key", True, "belongs to the certificate, not readable for others")


def _dates(found: x509.Certificate) -> tuple[datetime, datetime]:
    return found.not_valid_before_utc, found.not_valid_after_utc


def _short(error: Exception) -> str:
    """Never the file's contents."""
    return (error.strerror or "") if isinstance(error, OSError) else type(error).__name__
