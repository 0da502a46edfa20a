"""CA, client certificate and private key: read, checked, and made into a TLS context.

Each thing that can be wrong with them has its own message, which says what to do. None of them,
and no `repr`, holds key material.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import ssl
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from VenAgent.cloud.tls.tls_source import CredentialError

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_SPACE = re.compile(r"\\r|\\n|\s")
"""Line ends in any form: a secret often holds them as the two characters \\n, or as blanks."""


@dataclass(frozen=True)
class CredentialPart:
    """One of the three, as text; `where` names where it came from."""

    what: str
    where: str
    text: str = field(repr=False)


@dataclass(frozen=True)
class TlsMaterial:
    """What a TLS connection with a client certificate needs."""

    ca: CredentialPart
    certificate: CredentialPart
    private_key: CredentialPart

    @property
    def digest(self) -> str:
        """Of all three: equal when they are the same."""
        parts = (self.ca.text, self.certificate.text, self.private_key.text)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Facts:
    """What the client certificate says of itself; times in epoch seconds."""

    subject: str
    serial_number: str
    """In hex, as AWS and openssl show it."""
    not_before_ts: float
    not_after_ts: float


# ---- where they come from -----------------------------------------------------------------------

_FILES = (
    ("ca_cert", "CA certificate"),
    ("client_cert", "client certificate"),
    ("private_key", "private key"),
)
_SPELLINGS = {
    "ca": "ca cacrt cacert cacertpem capem cacertificate cacertificatepem cabundle rootca "
    "rootcapem rootcacert rootcertificate amazonrootca1 amazonrootca awsrootca awsca tlsca "
    "mqttca mqttcacert",
    "certificate": "certificate certificatepem cert certpem crt clientcert clientcertpem "
    "clientcertificate clientcertificatepem clientcrt devicecert devicecertificate tlscert tlscrt "
    "thingcert thingcertificate mqttclientcert mqttcert publiccert",
    "private_key": "privatekey privatekeypem key keypem clientkey clientkeypem clientprivatekey "
    "devicekey deviceprivatekey tlskey thingkey thingprivatekey mqttclientkey mqttkey",
}
_PART_OF = {spelling: part for part, names in _SPELLINGS.items() for spelling in names.split()}


def from_files(ca_cert: str, client_cert: str, private_key: str) -> TlsMaterial:
    """Raises CredentialError when one is missing or cannot be read."""
    paths = {"ca_cert": ca_cert, "client_cert": client_cert, "private_key": private_key}
    texts = {name: _read_file(name, path) for name, path in paths.items()}
    missing = [f"{paths[name]} ({name})" for name, text in texts.items() if text is None]
    if missing:
        raise _missing(missing)
    return TlsMaterial(
        *(
            CredentialPart(what, _of_file(name, paths[name]), texts[name] or "")
            for name, what in _FILES
        )
    )


def _missing(files: list[str]) -> CredentialError:
    return CredentialError(
        f"a TLS file is missing: {', '.join(files)}: put it there, or correct its name in "
        f"broker.tls (or CA_CERT, CLIENT_CERT, PRIVATE_KEY)"
    )


def _read_file(name: str, path: str) -> str | None:
    """None when there is no such file."""
    try:
        return Path(path).read_text(encoding="latin-1")  # a PEM file may have remarks beside
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CredentialError(
            f"{_of_file(name, path)} cannot be read: {error.strerror}: it must be readable for "
            f"the user that VOLTTRON runs as (user id {os.geteuid()})"
        ) from None


def _of_file(name: str, path: str) -> str:
    return f"the TLS file {path} ({name})"


def from_secret(text: str, name: str, ca_cert: str | None = None) -> TlsMaterial:
    """The JSON secret `name`, under any of the common names; `ca_cert` is a file for one without.

    Raises CredentialError, which tells the names that were found and no value.
    """
    contents = _json_of(text)
    where = f"the secret {name}"
    if contents is None:
        raise CredentialError(
            f"{where} is not a JSON object: store one with ca, certificate and privateKey (PEM)"
        )
    found = _parts_in(contents)
    for inner in contents.values():
        if isinstance(inner, dict):  # create-keys-and-certificate puts the key into keyPair
            found = {**_parts_in(inner), **found}
    ca = CredentialPart("CA certificate", where, found.get("ca", ""))
    if "ca" not in found and ca_cert is not None:
        beside = _read_file("ca_cert", ca_cert)
        if beside is None:
            raise _missing([f"{ca_cert} (ca_cert)"])
        ca = CredentialPart("CA certificate", _of_file("ca_cert", ca_cert), beside)
        found["ca"] = beside
    lacking = [part for part in ("ca", "certificate", "private_key") if part not in found]
    if lacking:
        names = ", ".join(sorted(str(name)[:40] for name in contents)) or "nothing"
        raise CredentialError(
            f"{where} lacks {' and '.join(lacking)} (it has {names}): "
            f"store ca, certificate and privateKey in it, each as PEM text"
        )
    return TlsMaterial(
        ca,
        CredentialPart("client certificate", where, found["certificate"]),
        CredentialPart("private key", where, found["private_key"]),
    )


def _json_of(text: str) -> dict[str, Any] | None:
    """None for anything else. (json's error would carry the text, so none is raised from it.)"""
    try:
        contents = json.loads(text)
    except ValueError:
        return None
    return contents if isinstance(contents, dict) else None


def _parts_in(contents: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in contents.items():
        part = _PART_OF.get(re.sub(r"[^a-z0-9]", "", name.lower()))
        if part and isinstance(value, str) and value.strip():
            found.setdefault(part, value)
    return found


# ---- checks -------------------------------------------------------------------------------------


def examine(material: TlsMaterial, now: float) -> Facts:
    """Whether they can be used at `now` (epoch s); raises CredentialError if not."""
    certificates = _certificates(material.certificate)
    own = certificates[0]
    key = _private_key(material.private_key)
    if _public_bytes(own) != _public_bytes(key):
        raise CredentialError(
            f"the private key does not belong to the client certificate {_name(own.subject)}: "
            f"take both from the same provisioning ({material.private_key.where}, "
            f"{material.certificate.where})"
        )
    _check_chain(certificates, material.certificate)
    facts = Facts(
        subject=_name(own.subject),
        serial_number=f"{own.serial_number:x}",
        not_before_ts=_time(own, "not_valid_before"),
        not_after_ts=_time(own, "not_valid_after"),
    )
    _check_dates(facts, material.certificate, now)
    _check_authorities(material.ca, now)
    return facts


def _blocks(text: str) -> list[tuple[str, str]]:
    """The PEM blocks in `text` as (label, PEM), with line ends as they should be."""
    blocks = []
    for label, body in _BLOCK.findall(text):
        data = _SPACE.sub("", body)
        lines = [data[at : at + 64] for at in range(0, len(data), 64)]
        pem = "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])
        blocks.append((label, pem))
    return blocks


def _certificate_pems(text: str) -> list[str]:
    return [pem for label, pem in _blocks(text) if label.endswith("CERTIFICATE")]


def _certificates(part: CredentialPart) -> list[x509.Certificate]:
    pems = _certificate_pems(part.text)
    if not pems:
        swapped = ""
        if any(label.endswith("PRIVATE KEY") for label, _ in _blocks(part.text)):
            swapped = " but a private key: are the two swapped?"
        raise CredentialError(
            f"{part.where} holds no {part.what} in PEM form{swapped or ': is it the right one?'}"
        )
    try:
        return [x509.load_pem_x509_certificate(pem.encode()) for pem in pems]
    except ValueError:
        raise CredentialError(
            f"the {part.what} in {part.where} is damaged: copy it again, as PEM text"
        ) from None


def _private_key(part: CredentialPart) -> Any:
    pems = [(label, pem) for label, pem in _blocks(part.text) if label.endswith("PRIVATE KEY")]
    if not pems:
        swapped = " but a certificate: are the two swapped?" if _certificate_pems(part.text) else ""
        raise CredentialError(
            f"{part.where} holds no private key in PEM form{swapped or ': is it the right one?'}"
        )
    label, pem = pems[0]
    if label.startswith("ENCRYPTED") or "ENCRYPTED" in part.text:
        raise CredentialError(
            f"the private key in {part.where} is protected by a password, which nobody can type "
            f"here: store it without one (openssl pkey -in KEY -out NEWKEY), mode 0600"
        )
    try:
        return serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CredentialError(
            f"the private key in {part.where} is damaged or of an unknown kind: copy it again"
        ) from None


def _public_bytes(holder: Any) -> bytes:
    return bytes(
        holder.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def _check_chain(certificates: list[x509.Certificate], part: CredentialPart) -> None:
    """Each certificate after the first has issued the one before it."""
    for issued, issuer in pairwise(certificates):
        if issued.issuer != issuer.subject:
            raise CredentialError(
                f"the chain in {part.where} is broken: {_name(issued.subject)} was issued by "
                f"{_name(issued.issuer)}, and {_name(issuer.subject)} follows: put the client "
                f"certificate first, then its issuer, or the client certificate alone"
            )


def _check_dates(facts: Facts, part: CredentialPart, now: float) -> None:
    if now >= facts.not_after_ts:
        raise CredentialError(
            f"the client certificate {facts.subject} expired on {day(facts.not_after_ts)}: "
            f"renew it (ven_control.sh provision --renew) in {part.where}"
        )
    if now < facts.not_before_ts:
        raise CredentialError(
            f"the client certificate {facts.subject} is not valid before "
            f"{day(facts.not_before_ts)}, and this machine's clock says {day(now)}: "
            f"correct the clock, or wait"
        )


def _check_authorities(part: CredentialPart, now: float) -> None:
    """At least one certificate of an authority that is valid."""
    authorities = [found for found in _certificates(part) if _is_authority(found)]
    if not authorities:
        raise CredentialError(
            f"{part.where} holds no certificate of an authority, but {part.what} of something "
            f"else: it must be the broker's CA (of AWS IoT Core: Amazon Root CA 1)"
        )
    if all(now >= _time(found, "not_valid_after") for found in authorities):
        last = max(_time(found, "not_valid_after") for found in authorities)
        raise CredentialError(
            f"the CA certificate {_name(authorities[0].subject)} in {part.where} expired on "
            f"{day(last)}: get the broker's present one"
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


def day(ts: float) -> str:
    """UTC, for a person."""
    return datetime.fromtimestamp(ts, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


# ---- the context --------------------------------------------------------------------------------


def tls_context(material: TlsMaterial) -> ssl.SSLContext:
    """For one connection: the broker proves itself by the CA, and we by our certificate.

    OpenSSL reads certificate and key from a file only: they get one in memory, never on a disk.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata="".join(_certificate_pems(material.ca.text)))
    keys = [pem for _, pem in _blocks(material.private_key.text) if "PRIVATE KEY" in pem]
    both = "".join([*_certificate_pems(material.certificate.text), keys[0]])
    handle = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        os.write(handle, both.encode())
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    except ssl.SSLError as error:
        raise CredentialError(
            f"OpenSSL refuses the client certificate or its key: {error.reason or error}: "
            f"renew them with a key of at least 2048 bits (RSA) or P-256"
        ) from None
    finally:
        os.close(handle)
    return context
