"""What is wrong with the credentials or with TLS, said so that a person can mend it.

It loads nothing: what checks certificates is in certificates.py, whose library takes 11 MB.
"""

from __future__ import annotations

import ssl


class TlsCredentialError(ValueError):
    """The credentials cannot be used; the text says why and what to do, and holds no key."""


def explain_tls_error(error: ssl.SSLError, where: str) -> str:
    """Why TLS with the broker at `where` (host:port) failed, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {where} is not trusted: {error.verify_message}: " + (
            _VERIFY_ADVICE.get(error.verify_code)
            or "ca_cert must hold the CA of the broker (of AWS IoT Core: Amazon Root CA 1)"
        )
    reason = error.reason or str(error)
    return f"TLS with {where} failed: {_ALERTS.get(reason, reason)}"


_CLOCK_ADVICE = "is this machine's clock right?"
_VERIFY_ADVICE = {
    9: _CLOCK_ADVICE,  # not yet valid
    10: _CLOCK_ADVICE,  # expired
    62: "broker.host must be the name that the certificate is for",  # hostname mismatch
    64: "broker.host must be the name that the certificate is for",  # IP address mismatch
}
_NOT_ACCEPTED = (
    "the broker does not accept our client certificate: is it registered and active there, and "
    "issued by a CA that the broker knows?"
)
_ALERTS = {
    "TLSV1_ALERT_UNKNOWN_CA": _NOT_ACCEPTED,
    "SSLV3_ALERT_BAD_CERTIFICATE": _NOT_ACCEPTED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _NOT_ACCEPTED,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _NOT_ACCEPTED,
    "TLSV1_ALERT_ACCESS_DENIED": _NOT_ACCEPTED,
    "TLSV1_ALERT_DECRYPT_ERROR": _NOT_ACCEPTED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the broker says that our client certificate has expired: "
    "renew it (ven_control.sh provision --renew)",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "our client certificate has been revoked: provision this "
    "site anew",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the broker wants a client certificate: set broker.tls",
    "WRONG_VERSION_NUMBER": "no TLS is spoken there: is that the plain port? (8883 is the usual)",
}
