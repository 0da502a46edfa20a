"""A site's identity in AWS IoT Core: key, request, certificate, CA, and the agent's settings.

All of it is in one folder. The private key is made here, with mode 0600, and never leaves: what
goes to AWS is a request (CSR), what comes back is a certificate. Every step may be done again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ops.host.ops_error import OpsError
from ops.provision.amazon_root_cas import amazon_root_cas
from ops.provision.issued_certificate import IssuedCertificate, remember_issued_certificate
from ops.provision.site_folder import SiteFolder, renewal_site_folder
from VenAgent.cloud.tls.certificates import CertificateFacts, check_certificates
from VenAgent.cloud.tls.tls_errors import TlsCredentialError
from VenAgent.cloud.tls.tls_material import TlsMaterial, TlsMaterialPart

AWS_PORT = 8883


def ensure_site_identity_request(site: SiteFolder) -> str:
    """The request (CSR, PEM), with its key; both are made when there are none."""
    if not site.key.exists():
        _write_key(site, site.key)
        site.request.unlink(missing_ok=True)
    if not site.request.exists():
        site.write(site.request, _request(site.key, site.thing))
    return site.request.read_text()


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


def install_site_identity(
    site: SiteFolder, issued: IssuedCertificate, root_ca: Path | None
) -> CertificateFacts:
    """Write certificate and CA, once they are known to fit the key."""
    ca = amazon_root_cas() if root_ca is None else _read(root_ca)
    material = TlsMaterial(
        TlsMaterialPart("CA certificate", str(root_ca or "the CA"), ca),
        TlsMaterialPart("client certificate", "the certificate", issued.certificate),
        TlsMaterialPart("private key", str(site.key), _read(site.key)),
    )
    try:
        facts = check_certificates(material, time.time())
    except TlsCredentialError as error:
        raise OpsError(str(error), "Nothing was changed.") from None
    site.write(site.ca, ca)
    site.write(site.certificate, issued.certificate)
    remember_issued_certificate(site.issued, issued, site)
    return facts


def put_renewed_site_identity_in_place(new: SiteFolder, site: SiteFolder) -> None:
    """A renewal takes the place of what is in use. The agent waits until both fit each other."""
    for name in ("ca", "key", "certificate", "request", "issued"):
        with suppress(FileNotFoundError):  # done before it broke off
            getattr(new, name).replace(getattr(site, name))
    new.path.rmdir()


def finish_site_identity_renewal(site: SiteFolder) -> bool:
    """Put the rest in place of a renewal that broke off (a power cut) while that was done.

    Half of it would keep the agent from starting, and what is known of the certificate would be
    of the one before. Whether there was such a renewal.
    """
    new = renewal_site_folder(site)
    if not new.path.exists() or new.key.exists():
        return False
    if new.certificate.exists() and not _fits(new.certificate, site.key):
        return False
    put_renewed_site_identity_in_place(new, site)
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


def write_site_identity_config(
    site: SiteFolder, config: Mapping[str, Any], issued: IssuedCertificate
) -> None:
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
