"""What a link needs to speak TLS: the seam for where its certificates come from."""

from __future__ import annotations

import ssl
from typing import Protocol


class TlsSource(Protocol):
    """Asked anew for each connection, in the link's thread, and told how that one ended."""

    def context(self) -> ssl.SSLContext:
        """Raises ValueError or OSError (ssl.SSLError is one), with a text for a person."""

    def login(self) -> tuple[str, str] | None:
        """User name and password, if it knows them; asked after `context`."""

    def accepted(self) -> None:
        """The broker let us in."""

    def refused(self) -> None:
        """It did not, or TLS failed."""
