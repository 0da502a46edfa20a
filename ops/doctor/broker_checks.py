"""The doctor's look at the broker's TLS: handshake, certificates, and the key's file."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from ops.doctor.doctor_check import DoctorCheck
from VenAgent.cloud.tls.http_proxy import HttpProxy
from VenAgent.cloud.tls.tls_errors import explain_tls_error
from VenAgent.config.cloud_config import CloudBrokerConfig, CloudTlsConfig

CONNECT_WITHIN_SEC = 10.0
WARN_DAYS = 30


ALERT_WITHIN_SEC = 1.0
"""With TLS 1.3 a broker refuses our certificate only after the handshake."""

CanRead = Callable[[Path], bool]


def _we_can_read(file: Path) -> bool:
    return os.access(file, os.R_OK)


def broker_checks(
    where: CloudBrokerConfig, now: datetime | None = None, can_read: CanRead = _we_can_read
) -> Iterator[DoctorCheck]:
    """TCP or TLS to the broker, and with TLS our certificate.

    `can_read`: whether the user that VOLTTRON runs as can.
    """
    address, tls = f"{where.host}:{where.port}", where.tls
    if where.password_file is not None:
        file = Path(where.password_file)
        unreadable = _unreadable("login", file, can_read)
        yield unreadable or DoctorCheck("login", True, f"as {where.username}, password from {file}")
    if tls and tls.secret_name:
        yield DoctorCheck(
            "certificate", None, f"from the secret {tls.secret_name}: VenAgent's health tells"
        )
    context = None
    if tls and not tls.secret_name:
        if tls.client_cert and tls.private_key:
            yield from _certificate_checks(tls, now or datetime.now(timezone.utc), can_read)
        if tls.ca_cert:
            yield _authority(tls.ca_cert, can_read)
        context = _context(tls)
        if context is None:
            yield DoctorCheck("broker", None, f"{address}: no handshake tried without usable files")
            return
    try:
        proxy = HttpProxy.for_broker(where)
    except ValueError as error:
        yield DoctorCheck("broker", False, str(error), "Mend https_proxy, or broker.proxy.")
        return
    way = "" if proxy is None else f" (through the proxy {proxy.host}:{proxy.port})"
    try:
        with _connection(where, proxy) as connection:
            if context is None:
                how = "no handshake tried" if tls else "without TLS"
                yield DoctorCheck("broker", True, f"{address} listens, {how}{way}")
                return
            yield _handshake(where.host, context, connection, f"{address}{way}")
    except OSError as error:
        yield DoctorCheck(
            "broker",
            False,
            f"{address} cannot be reached{way}: {error.strerror or error}",
            "Check host and port (IOT_ENDPOINT, MQTT_PORT), the network, its DNS and firewall "
            "(8883 outwards); for the local broker run `ven_control.sh start`.",
        )


def _connection(where: CloudBrokerConfig, proxy: HttpProxy | None) -> socket.socket:
    """As the agent comes to the broker. Raises OSError."""
    if proxy is None:
        return socket.create_connection((where.host, where.port), CONNECT_WITHIN_SEC)
    connection: socket.socket = proxy.connect(where.host, where.port, CONNECT_WITHIN_SEC)
    return connection


def _context(tls: CloudTlsConfig) -> ssl.SSLContext | None:
    """None when a file cannot be used; the checks of the files say why."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_cert)
        if tls.client_cert:
            context.load_cert_chain(tls.client_cert, tls.private_key, password=lambda: "")
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        return None
    return context


def _handshake(
    host: str, context: ssl.SSLContext, connection: socket.socket, address: str
) -> DoctorCheck:
    try:
        with context.wrap_socket(connection, server_hostname=host) as secured:
            peer = secured.getpeercert() or {}
            until = f", its certificate until {peer['notAfter']}" if "notAfter" in peer else ""
            done = f"{address}: {secured.version()} handshake done{until}"
            if _hangs_up(secured):
                return DoctorCheck(
                    "broker",
                    False,
                    f"{address} hangs up after the handshake",
                    "Check that our certificate is registered and active at the broker.",
                )
            return DoctorCheck("broker", True, done)
    except ssl.SSLCertVerificationError as error:
        return DoctorCheck(
            "broker",
            False,
            f"{address}: its certificate is not trusted: {error.verify_message}",
            "Check that CA_CERT is the root of this broker (AWS: AmazonRootCA1.pem), that the "
            "host is the name in its certificate, and that this machine's clock is right.",
        )
    except ssl.SSLError as error:
        return DoctorCheck(
            "broker",
            False,
            explain_tls_error(error, address),
            "Check that our certificate is active at the broker, and that this is its TLS port.",
        )
    except (ConnectionResetError, TimeoutError) as error:
        return DoctorCheck(
            "broker",
            False,
            f"{address}: TLS fails: {error.strerror or error}",
            "Check that this is the broker's TLS port (8883 is the usual).",
        )


def _hangs_up(secured: ssl.SSLSocket) -> bool:
    """A broker that takes us waits for our CONNECT; raises what TLS alert it sends."""
    secured.settimeout(ALERT_WITHIN_SEC)
    try:
        return secured.recv(1) == b""
    except TimeoutError:
        return False


def _authority(ca_cert: str, can_read: CanRead) -> DoctorCheck:
    """The CA's certificate that the broker's is checked with."""
    remedy = "Set CA_CERT to the broker's root certificate, PEM (AWS: AmazonRootCA1.pem)."
    try:
        found = x509.load_pem_x509_certificates(Path(ca_cert).read_bytes())
    except (OSError, ValueError) as error:
        return DoctorCheck("CA", False, f"{ca_cert} cannot be used: {_short(error)}", remedy)
    return _unreadable("CA", Path(ca_cert), can_read) or DoctorCheck(
        "CA", True, found[0].subject.rfc4514_string()
    )


def _unreadable(name: str, file: Path, can_read: CanRead) -> DoctorCheck | None:
    if can_read(file):
        return None
    return DoctorCheck(
        name,
        False,
        f"the user that VOLTTRON runs as cannot read {file}",
        "Give it the file (chown), or its group the right to read (chgrp, chmod 640), and let it "
        "enter the folders above.",
    )


def _certificate_checks(
    tls: CloudTlsConfig, now: datetime, can_read: CanRead = _we_can_read
) -> Iterator[DoctorCheck]:
    """Our certificate's dates, whether the key is its own, and who can read the key."""
    assert tls.client_cert is not None
    try:
        found = x509.load_pem_x509_certificate(Path(tls.client_cert).read_bytes())
    except (OSError, ValueError) as error:
        yield DoctorCheck(
            "certificate",
            False,
            f"{tls.client_cert} cannot be used: {_short(error)}",
            "Set CLIENT_CERT to the thing's certificate, PEM.",
        )
        return
    begins, ends = _dates(found)
    days = (ends - now).days
    text = f"valid until {ends:%Y-%m-%d} ({days} days)"
    renew = (
        "Renew it before that day (`ven_control.sh provision --renew`), or issue a new certificate "
        "for this thing and attach its policy."
    )
    unreadable = _unreadable("certificate", Path(tls.client_cert), can_read)
    if unreadable:
        yield unreadable
    elif now < begins:
        text = f"valid only from {begins:%Y-%m-%d %H:%M} UTC"
        yield DoctorCheck("certificate", False, text, "Check this machine's clock.")
    elif ends <= now:
        yield DoctorCheck("certificate", False, f"expired on {ends:%Y-%m-%d}", renew)
    else:
        yield DoctorCheck("certificate", days > WARN_DAYS, text, "" if days > WARN_DAYS else renew)
    yield _key(tls, found, can_read)


def _key(tls: CloudTlsConfig, found: x509.Certificate, can_read: CanRead) -> DoctorCheck:
    assert tls.private_key is not None
    key_file = Path(tls.private_key)
    try:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
        mode = key_file.stat().st_mode
    except (OSError, ValueError, TypeError) as error:
        return DoctorCheck(
            "private key",
            False,
            f"{key_file} cannot be used: {_short(error)}",
            "Set PRIVATE_KEY to the key of that certificate, PEM without a pass phrase, "
            "readable for the user VOLTTRON runs as.",
        )
    layout = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*layout) != found.public_key().public_bytes(*layout):
        return DoctorCheck(
            "private key",
            False,
            "it is not the key of the certificate",
            "CLIENT_CERT and PRIVATE_KEY must be of one pair.",
        )
    if mode & 0o027:  # a group of its own may read it
        return DoctorCheck(
            "private key",
            False,
            f"others can read it (mode {mode & 0o777:o})",
            f"chmod 600 {key_file}, owned by the user VOLTTRON runs as (or 640 for its group).",
        )
    return _unreadable("private key", key_file, can_read) or DoctorCheck(
        "private key", True, "belongs to the certificate, not readable for others"
    )


def _dates(found: x509.Certificate) -> tuple[datetime, datetime]:
    return found.not_valid_before_utc, found.not_valid_after_utc


def _short(error: Exception) -> str:
    """Never the file's contents."""
    return (error.strerror or "") if isinstance(error, OSError) else type(error).__name__
