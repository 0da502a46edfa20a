"""Webhooks signed as Standard Webhooks 1.0.0 has it, so that receivers can use its libraries.

The signature is of the message's id, the time of the attempt and the body: a receiver refuses what
is older than its tolerance, and an id that it has seen.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

_PREFIX = "whsec_"


def _webhook_key(secret: str) -> bytes:
    """`whsec_` and base64 as the standard writes it; any other text is taken as it stands."""
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            pass
    return secret.encode()


def webhook_signature_headers(
    secret: str, message_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """`timestamp` in epoch seconds."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(_webhook_key(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
