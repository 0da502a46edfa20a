"""User name and password for the broker: of the configuration, or from a file."""

from __future__ import annotations

import os
from pathlib import Path

from VenAgent.cloud.tls.tls_errors import TlsCredentialError
from VenAgent.config.cloud_config import CloudBrokerConfig


def broker_login(broker: CloudBrokerConfig) -> tuple[str, str] | None:
    """Read anew for each connection, so that a password may be changed. None without a user name.

    Raises TlsCredentialError when the file cannot be read.
    """
    if broker.username is None:
        return None
    if broker.password is not None:
        return broker.username, broker.password.get_secret_value()
    if broker.password_file is None:
        return broker.username, ""
    try:
        password = Path(broker.password_file).read_text("utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise TlsCredentialError(
            f"the password file {broker.password_file} cannot be read: {why}: it must be readable "
            f"for the user that VOLTTRON runs as (user id {os.geteuid()})"
        ) from None
    return broker.username, password
