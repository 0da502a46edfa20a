"""What was issued to a site: certificate, and where to connect with it. Nothing of it is secret."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from pydantic import BaseModel, ConfigDict, ValidationError

from ops.host.ops_error import OpsError
from ops.provision.site_folder import SiteFolder


class IssuedCertificate(BaseModel):
    """What the operator's side hands to a site: nothing of it is secret."""

    model_config = ConfigDict(extra="ignore")

    thing: str
    endpoint: str
    certificate: str
    """PEM."""
    certificate_arn: str | None = None


def read_issued_certificate(path: Path, thing: str, endpoint: str | None) -> IssuedCertificate:
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
        return IssuedCertificate(thing=thing, endpoint=endpoint, certificate=text)
    try:
        issued = IssuedCertificate.model_validate_json(text)
    except ValidationError:
        raise OpsError(
            f"{path} is neither a certificate (PEM) nor a file of `provision-sign`"
        ) from None
    if issued.thing != thing:
        raise OpsError(f"{path} is for {issued.thing}, not for {thing}")
    return issued.model_copy(update={"endpoint": endpoint or issued.endpoint})


def known_issued_certificate(path: Path, thing: str, request: str) -> IssuedCertificate | None:
    """What was issued for this very request, if it was."""
    if not path.exists():
        return None
    issued = read_issued_certificate(path, thing, None)
    try:
        certificate = x509.load_pem_x509_certificate(issued.certificate.encode())
        asked = x509.load_pem_x509_csr(request.encode())
    except ValueError:
        return None
    return issued if certificate.public_key() == asked.public_key() else None


def remember_issued_certificate(
    path: Path, issued: IssuedCertificate, site: SiteFolder | None = None
) -> None:
    """As soon as it is there: a certificate that nobody knows of stays valid for years."""
    text = issued.model_dump_json(indent=2) + "\n"
    if site is None:
        path.write_text(text)
    else:
        site.write(path, text)
