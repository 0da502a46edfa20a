"""A site's identity in AWS IoT Core: key, request, certificate, CA, and the agent's settings.

All of it is in one folder. The private key is made here, with mode 0600, and never leaves: what
goes to AWS is a request (CSR), what comes back is a certificate. Every step may be done again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import BaseModel, ConfigDict, ValidationError

from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from VenAgent.cloud.tls.certificates import CertificateFacts, check_certificates
from VenAgent.cloud.tls.tls_errors import CredentialError
from VenAgent.cloud.tls.tls_material import CredentialPart, TlsMaterial

AWS_PORT = 8883
AMAZON_ROOTS = (
    "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
    "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
    "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
    "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
)
"""SHA-256 fingerprints of Amazon Root CA 1 to 4 (amazontrust.com/repository)."""


class Issued(BaseModel):
    """What the operator's side hands to a site: nothing of it is secret."""

    model_config = ConfigDict(extra="ignore")

    thing: str
    endpoint: str
    certificate: str
    """PEM."""
    certificate_arn: str | None = None


@dataclass(frozen=True)
class SiteFolder:
    """The files of one thing. With `owner` they belong to that user: VOLTTRON's."""

    path: Path
    thing: str
    owner: str | None = None

    @classmethod
    def of(cls, paths: Paths, thing: str, folder: Path | None) -> SiteFolder:
        """Where it is, unless another folder is named: below the state root."""
        owner = paths.user if os.geteuid() == 0 else None
        return cls(folder or paths.home / "certificates" / thing, thing, owner)

    @property
    def key(self) -> Path:
        return self.path / "private.key"

    @property
    def request(self) -> Path:
        return self.path / "request.csr"

    @property
    def certificate(self) -> Path:
        return self.path / "client.crt"

    @property
    def ca(self) -> Path:
        return self.path / "ca.pem"

    @property
    def agent_config(self) -> Path:
        return self.path / "agent.json"

    @property
    def issued(self) -> Path:
        return self.path / "issued.json"

    def write(self, path: Path, text: str, mode: int = 0o644) -> None:
        """All or nothing, in the hands of the one who reads it."""
        self._make()
        draft = path.with_name(f"{path.name}.new")
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self._hand_over(draft)
        draft.replace(path)

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OpsError(
                f"cannot make the folder {self.path}: {error.strerror}", "Name one with --folder."
            ) from None
        self._hand_over(self.path)

    def _hand_over(self, path: Path) -> None:
        if self.owner is None:
            return
        try:
            shutil.chown(path, self.owner, self.owner)
        except LookupError:  # it is made by the first `start`
            raise OpsError(
                f"there is no user {self.owner} yet, whom the key is to belong to",
                "Run `ven_control.sh start` first, or set VENAGENT_USER.",
            ) from None


# ---- key and request ------------------------------------------------------------------------


def ensure_request(site: SiteFolder) -> str:
    """The request (CSR, PEM), with its key; both are made when there are none."""
    if not site.key.exists():
        _write_key(site, site.key)
        site.request.unlink(missing_ok=True)
    if not site.request.exists():
        site.write(site.request, _request(site.key, site.thing))
    return site.request.read_text()


def renewal(site: SiteFolder) -> SiteFolder:
    """A folder beside the present files, for a key and certificate that are to replace them."""
    return SiteFolder(site.path / "renewal", site.thing, site.owner)


def _write_key(site: SiteFolder, path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    site.write(path, pem.decode(), mode=0o600)


def _request(key_path: Path, thing: str) -> str:
    try:
        key: Any = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except (ValueError, TypeError):
        raise OpsError(
            f"{key_path} is not a private key that can be used",
            "Move it away: a new one is made, and needs a new certificate.",
        ) from None
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, thing)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    signed = request.sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


# ---- the certificate and its CA ---------------------------------------------------------------


def read_issued(path: Path, thing: str, endpoint: str | None) -> Issued:
    """What came back: the file of `provision-sign`, or a certificate (PEM) with its endpoint."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        raise OpsError(f"cannot read {path}") from None
    if "-----BEGIN CERTIFICATE" in text and not text.lstrip().startswith("{"):
        if endpoint is None:
            raise OpsError(
                "the certificate does not say where to connect",
                "Name the endpoint: --endpoint PREFIX-ats.iot.REGION.amazonaws.com",
                "(aws iot describe-endpoint --endpoint-type iot:Data-ATS)",
            )
        return Issued(thing=thing, endpoint=endpoint, certificate=text)
    try:
        issued = Issued.model_validate_json(text)
    except ValidationError:
        raise OpsError(
            f"{path} is neither a certificate (PEM) nor a file of `provision-sign`"
        ) from None
    if issued.thing != thing:
        raise OpsError(f"{path} is for {issued.thing}, not for {thing}")
    return issued.model_copy(update={"endpoint": endpoint or issued.endpoint})


def install(site: SiteFolder, issued: Issued, root_ca: Path | None) -> CertificateFacts:
    """Write certificate and CA, once they are known to fit the key."""
    ca = amazon_roots() if root_ca is None else _read(root_ca)
    material = TlsMaterial(
        CredentialPart("CA certificate", str(root_ca or "the CA"), ca),
        CredentialPart("client certificate", "the certificate", issued.certificate),
        CredentialPart("private key", str(site.key), _read(site.key)),
    )
    try:
        facts = check_certificates(material, time.time())
    except CredentialError as error:
        raise OpsError(str(error), "Nothing was changed.") from None
    site.write(site.ca, ca)
    site.write(site.certificate, issued.certificate)
    remember(site.issued, issued, site)
    return facts


def known(path: Path, thing: str, request: str) -> Issued | None:
    """What was issued for this very request, if it was."""
    if not path.exists():
        return None
    issued = read_issued(path, thing, None)
    try:
        certificate = x509.load_pem_x509_certificate(issued.certificate.encode())
        asked = x509.load_pem_x509_csr(request.encode())
    except ValueError:
        return None
    return issued if certificate.public_key() == asked.public_key() else None


def remember(path: Path, issued: Issued, site: SiteFolder | None = None) -> None:
    """As soon as it is there: a certificate that nobody knows of stays valid for years."""
    text = issued.model_dump_json(indent=2) + "\n"
    if site is None:
        path.write_text(text)
    else:
        site.write(path, text)


def put_in_place(new: SiteFolder, site: SiteFolder) -> None:
    """A renewal takes the place of what is in use. The agent waits until both fit each other."""
    for name in ("ca", "key", "certificate", "request", "issued"):
        with suppress(FileNotFoundError):  # done before it broke off
            getattr(new, name).replace(getattr(site, name))
    new.path.rmdir()


def finish_renewal(site: SiteFolder) -> bool:
    """Put the rest in place of a renewal that broke off (a power cut) while that was done.

    Half of it would keep the agent from starting, and what is known of the certificate would be
    of the one before. Whether there was such a renewal.
    """
    new = renewal(site)
    if not new.path.exists() or new.key.exists():
        return False
    if new.certificate.exists() and not _fits(new.certificate, site.key):
        return False
    put_in_place(new, site)
    return True


def _fits(certificate_path: Path, key_path: Path) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        return False
    return certificate.public_key() == key.public_key()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise OpsError(f"cannot read {path}: {error.strerror}") from None


def amazon_roots() -> str:
    """Amazon's root CAs, from the trust store that the AWS library brings; PEM."""
    import botocore  # it takes a while

    store = (Path(botocore.__file__).parent / "cacert.pem").read_text()
    pems = re.findall(
        r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", store, re.DOTALL
    )
    # By fingerprint: what stands in the others is not read, some of them break newer rules.
    known = {hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest(): pem for pem in pems}
    if AMAZON_ROOTS[0] not in known:
        raise OpsError(
            "Amazon Root CA 1 is not in the AWS library's trust store",
            "Fetch it from https://www.amazontrust.com/repository/ and name it with --root-ca.",
        )
    return "".join(known[fingerprint] for fingerprint in AMAZON_ROOTS if fingerprint in known)


# ---- the agent's settings -------------------------------------------------------------------


def write_agent_config(site: SiteFolder, config: Mapping[str, Any], issued: Issued) -> None:
    """`config` with this thing's name, its endpoint and its files."""
    broker = {
        **config.get("broker", {}),
        "host": issued.endpoint,
        "port": AWS_PORT,
        "tls": {
            "ca_cert": str(site.ca),
            "client_cert": str(site.certificate),
            "private_key": str(site.key),
        },
    }
    changed = {**config, "ven_id": site.thing, "broker": broker}
    # The page's token may be in it.
    site.write(site.agent_config, json.dumps(changed, indent=2) + "\n", mode=0o600)
