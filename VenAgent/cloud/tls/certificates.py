"""Whether CA, client certificate and private key can be used, and until when.

Each thing that can be wrong with them has its own message, which says what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from VenAgent.cloud.tls.tls_errors import TlsCredentialError
from VenAgent.cloud.tls.tls_material import TlsMaterial, TlsMaterialPart


@dataclass(frozen=True)
class CertificateFacts:
    """What the client certificate says of itself; times in epoch seconds."""

    subject: str
    serial_number: str
    """In hex, as AWS and openssl show it."""
    not_before_ts: float
    not_after_ts: float


def check_any_certificates(material: TlsMaterial, now: float) -> CertificateFacts | None:
    """The same where the broker may know us by user name and password instead: None then."""
    if material.has_client_certificate:
        if material.ca.text:
            return check_certificates(material, now)
        return _check_client_certificate(material, now)
    if material.ca.text:
        _check_authorities(material.ca, now)
    return None


def check_certificates(material: TlsMaterial, now: float) -> CertificateFacts:
    """Whether they can be used at `now` (epoch s); raises TlsCredentialError if not."""
    facts = _check_client_certificate(material, now)
    _check_authorities(material.ca, now)
    return facts


def _check_client_certificate(material: TlsMaterial, now: float) -> CertificateFacts:
    certificates = _certificates(material.certificate)
    own = certificates[0]
    key = _private_key(material.private_key)
    if _public_bytes(own) != _public_bytes(key):
        raise TlsCredentialError(
            f"the private key does not belong to the client certificate {_name(own.subject)}: "
            f"take both from the same provisioning ({material.private_key.where}, "
            f"{material.certificate.where})"
        )
    _check_chain(certificates, material.certificate)
    facts = CertificateFacts(
        subject=_name(own.subject),
        serial_number=f"{own.serial_number:x}",
        not_before_ts=_time(own, "not_valid_before"),
        not_after_ts=_time(own, "not_valid_after"),
    )
    _check_dates(facts, material.certificate, now)
    return facts


def _certificates(part: TlsMaterialPart) -> list[x509.Certificate]:
    pems = part.certificate_pems()
    if not pems:
        swapped = ""
        if part.key_pems():
            swapped = " but a private key: are the two swapped?"
        raise TlsCredentialError(
            f"{part.where} holds no {part.what} in PEM form{swapped or ': is it the right one?'}"
        )
    try:
        return [x509.load_pem_x509_certificate(pem.encode()) for pem in pems]
    except ValueError:
        raise TlsCredentialError(
            f"the {part.what} in {part.where} is damaged: copy it again, as PEM text"
        ) from None


def _private_key(part: TlsMaterialPart) -> Any:
    pems = part.key_pems()
    if not pems:
        swapped = " but a certificate: are the two swapped?" if part.certificate_pems() else ""
        raise TlsCredentialError(
            f"{part.where} holds no private key in PEM form{swapped or ': is it the right one?'}"
        )
    label, pem = pems[0]
    if label.startswith("ENCRYPTED") or "ENCRYPTED" in part.text:
        raise TlsCredentialError(
            f"the private key in {part.where} is protected by a password, which nobody can type "
            f"here: store it without one (openssl pkey -in KEY -out NEWKEY), mode 0600"
        )
    try:
        return serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise TlsCredentialError(
            f"the private key in {part.where} is damaged or of an unknown kind: copy it again"
        ) from None


def _public_bytes(holder: Any) -> bytes:
    return bytes(
        holder.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def _check_chain(certificates: list[x509.Certificate], part: TlsMaterialPart) -> None:
    """Each certificate after the first has issued the one before it."""
    for issued, issuer in pairwise(certificates):
        if issued.issuer != issuer.subject:
            raise TlsCredentialError(
                f"the chain in {part.where} is broken: {_name(issued.subject)} was issued by "
                f"{_name(issued.issuer)}, and {_name(issuer.subject)} follows: put the client "
                f"certificate first, then its issuer, or the client certificate alone"
            )


def _check_dates(facts: CertificateFacts, part: TlsMaterialPart, now: float) -> None:
    if now >= facts.not_after_ts:
        raise TlsCredentialError(
            f"the client certificate {facts.subject} expired on "
            f"{certificate_expiry_text(facts.not_after_ts)}: "
            f"renew it (ven_control.sh provision --renew) in {part.where}"
        )
    if now < facts.not_before_ts:
        raise TlsCredentialError(
            f"the client certificate {facts.subject} is not valid before "
            f"{certificate_expiry_text(facts.not_before_ts)}, and this machine's clock says "
            f"{certificate_expiry_text(now)}: "
            f"correct the clock, or wait"
        )


def _check_authorities(part: TlsMaterialPart, now: float) -> None:
    """At least one certificate of an authority that is valid."""
    authorities = [found for found in _certificates(part) if _is_authority(found)]
    if not authorities:
        raise TlsCredentialError(
            f"{part.where} holds no certificate of an authority, but {part.what} of something "
            f"else: it must be the broker's CA (of AWS IoT Core: Amazon Root CA 1)"
        )
    if all(now >= _time(found, "not_valid_after") for found in authorities):
        last = max(_time(found, "not_valid_after") for found in authorities)
        raise TlsCredentialError(
            f"the CA certificate {_name(authorities[0].subject)} in {part.where} expired on "
            f"{certificate_expiry_text(last)}: get the broker's present one"
        )


def _is_authority(certificate: x509.Certificate) -> bool:
    """A CA, or a broker that vouches for itself."""
    if certificate.issuer == certificate.subject:
        return True
    try:
        extension = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return bool(extension.value.ca)


def _name(name: x509.Name) -> str:
    return name.rfc4514_string()


def _time(certificate: x509.Certificate, which: str) -> float:
    """Epoch seconds, from cryptography 36 (without a time zone) to 50 (only with one)."""
    aware = getattr(certificate, f"{which}_utc", None)
    moment: datetime = aware or getattr(certificate, which).replace(tzinfo=timezone.utc)
    return moment.timestamp()


def certificate_expiry_text(ts: float) -> str:
    """UTC, for a person."""
    return datetime.fromtimestamp(ts, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
