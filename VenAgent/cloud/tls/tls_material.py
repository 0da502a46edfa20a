"""CA, client certificate and private key as text: from PEM files or a secret, and into TLS.

None of the errors, and no `repr`, holds key material.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from VenAgent.cloud.tls.tls_errors import TlsCredentialError

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_SPACE = re.compile(r"\\r|\\n|\s")
"""Line ends in any form: a secret often holds them as the two characters \\n, or as blanks."""


@dataclass(frozen=True)
class TlsMaterialPart:
    """One of the three, as text; `where` names where it came from."""

    what: str
    where: str
    text: str = field(repr=False)

    def blocks(self) -> list[tuple[str, str]]:
        """The PEM blocks in it as (label, PEM), with line ends as they should be."""
        blocks = []
        for label, body in _BLOCK.findall(self.text):
            data = _SPACE.sub("", body)
            lines = [data[at : at + 64] for at in range(0, len(data), 64)]
            pem = "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])
            blocks.append((label, pem))
        return blocks

    def certificate_pems(self) -> list[str]:
        return [pem for label, pem in self.blocks() if label.endswith("CERTIFICATE")]

    def key_pems(self) -> list[tuple[str, str]]:
        """(label, PEM) of each private key."""
        return [block for block in self.blocks() if block[0].endswith("PRIVATE KEY")]


@dataclass(frozen=True)
class TlsMaterial:
    """What a TLS connection needs: the broker's CA, and what we prove ourselves by."""

    ca: TlsMaterialPart
    """Without a text: the authorities that this machine trusts."""
    certificate: TlsMaterialPart
    """Without a text: the broker knows us by user name and password."""
    private_key: TlsMaterialPart
    login: tuple[str, str] | None = field(default=None, repr=False)
    """User name and password, of a secret that has them."""

    @property
    def has_client_certificate(self) -> bool:
        return bool(self.certificate.text)

    @property
    def digest(self) -> str:
        """Of all of it: equal when they are the same."""
        login = self.login or ("", "")
        parts = (self.ca.text, self.certificate.text, self.private_key.text, *login)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @classmethod
    def from_files(
        cls, ca_cert: str = "", client_cert: str = "", private_key: str = ""
    ) -> TlsMaterial:
        """An empty name is for a part that is not used. Raises TlsCredentialError when one is
        missing, empty or cannot be read."""
        paths = {"ca_cert": ca_cert, "client_cert": client_cert, "private_key": private_key}
        texts = {name: _read_file(name, path) if path else "" for name, path in paths.items()}
        missing = [f"{paths[name]} ({name})" for name, text in texts.items() if text is None]
        if missing:
            raise _missing_files(missing)
        empty = [f"{path} ({name})" for name, path in paths.items() if path and not texts[name]]
        if empty:  # as a file is for a moment while it is written: not the same as a part not used
            raise TlsCredentialError(f"a TLS file is empty: {', '.join(empty)}: write it again")
        ca, certificate, key = (
            TlsMaterialPart(what, _of_file(name, paths[name]), texts[name] or "")
            for name, what in _FILES
        )
        return cls(ca, certificate, key)

    @classmethod
    def from_secret(cls, text: str, name: str, ca_cert: str | None = None) -> TlsMaterial:
        """The JSON secret `name`, under any of the common names; `ca_cert`: a file for one without.

        Raises TlsCredentialError, which tells the names that were found and no value.
        """
        contents = _json_of(text)
        where = f"the secret {name}"
        if contents is None:
            raise TlsCredentialError(
                f"{where} is not a JSON object: store one with ca, certificate and privateKey (PEM)"
            )
        found = _parts_in(contents)
        for inner in contents.values():
            if isinstance(inner, dict):  # create-keys-and-certificate puts the key into keyPair
                found = {**_parts_in(inner), **found}
        ca = TlsMaterialPart("CA certificate", where, found.get("ca", ""))
        if "ca" not in found and ca_cert is not None:
            beside = _read_file("ca_cert", ca_cert)
            if beside is None:
                raise _missing_files([f"{ca_cert} (ca_cert)"])
            ca = TlsMaterialPart("CA certificate", _of_file("ca_cert", ca_cert), beside)
            found["ca"] = beside
        login = None
        if "username" in found and "password" in found:
            login = (found["username"], found["password"])
        needed = ["ca", "certificate", "private_key"]
        if login is not None and not {"certificate", "private_key"} & found.keys():
            needed = []
        lacking = [part for part in needed if part not in found]
        if lacking:
            names = ", ".join(sorted(str(name)[:40] for name in contents)) or "nothing"
            raise TlsCredentialError(
                f"{where} lacks {' and '.join(lacking)} (it has {names}): "
                f"store ca, certificate and privateKey in it, each as PEM text"
            )
        return cls(
            ca,
            TlsMaterialPart("client certificate", where, found.get("certificate", "")),
            TlsMaterialPart("private key", where, found.get("private_key", "")),
            login,
        )

    def context(self) -> ssl.SSLContext:
        """For one connection: the broker proves itself by the CA, and we by our certificate, if
        we have one.

        OpenSSL reads certificate and key from a file only: they get one in memory, never on a disk.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.ca.text:
            context.load_verify_locations(cadata="".join(self.ca.certificate_pems()))
        else:
            context.load_default_certs()
        if self.has_client_certificate:
            self._load_client_certificate(context)
        return context

    def _load_client_certificate(self, context: ssl.SSLContext) -> None:
        _, key = self.private_key.key_pems()[0]
        both = "".join([*self.certificate.certificate_pems(), key])
        handle = os.memfd_create("tls", os.MFD_CLOEXEC)
        try:
            os.write(handle, both.encode())
            context.load_cert_chain(f"/proc/self/fd/{handle}")
        except ssl.SSLError as error:
            raise TlsCredentialError(
                f"OpenSSL refuses the client certificate or its key: {error.reason or error}: "
                f"renew them with a key of at least 2048 bits (RSA) or P-256"
            ) from None
        finally:
            os.close(handle)


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
    "username": "username user login mqttusername mqttuser brokerusername brokeruser",
    "password": "password pass mqttpassword mqttpass brokerpassword",
}
_PART_OF = {spelling: part for part, names in _SPELLINGS.items() for spelling in names.split()}


def _missing_files(files: list[str]) -> TlsCredentialError:
    return TlsCredentialError(
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
        raise TlsCredentialError(
            f"{_of_file(name, path)} cannot be read: {error.strerror}: it must be readable for "
            f"the user that VOLTTRON runs as (user id {os.geteuid()})"
        ) from None


def _of_file(name: str, path: str) -> str:
    return f"the TLS file {path} ({name})"


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
