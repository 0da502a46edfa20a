"""TLS to a broker, with the certificates of the settings."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from backend.config.broker_settings import BrokerSettings


def broker_tls_context(settings: BrokerSettings) -> ssl.SSLContext:
    """The certificates of `settings`, as files or as text. Raises OSError or ssl.SSLError."""
    context = ssl.create_default_context(
        cafile=None if settings.ca_cert is None else str(settings.ca_cert),
        cadata=settings.ca_cert_pem,
    )
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.client_cert is not None:
        key = None if settings.client_key is None else str(settings.client_key)
        context.load_cert_chain(str(settings.client_cert), key)
    elif settings.client_cert_pem is not None:
        # The ssl module reads certificates from files only.
        with tempfile.TemporaryDirectory(prefix="venagent.") as folder:
            both = Path(folder, "client.pem")
            both.touch(mode=0o600)
            both.write_text(f"{settings.client_cert_pem}\n{settings.private_key_pem or ''}\n")
            context.load_cert_chain(str(both))
    return context
