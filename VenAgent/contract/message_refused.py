"""A message that was not taken in, and the reason for it."""

from __future__ import annotations

from typing import Any

from VenAgent.contract.reasons import ReasonCode


class MessageRefused(ValueError):
    """An input that was not taken in. The text is the reason, for a person.

    `readable` has the fields of the message that are beyond doubt: enough to answer it.
    """

    def __init__(
        self, code: ReasonCode, reason: str, readable: dict[str, Any] | None = None
    ) -> None:
        super().__init__(reason)
        self.code = code
        self.readable = readable or {}
