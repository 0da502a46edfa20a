"""Cursors of pages: where the page before ended, opaque to the caller."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import Any

from fastapi.exceptions import RequestValidationError

from backend.api.request_fields import EARLIEST, LATEST


def encode_page_cursor(*place: Any) -> str:
    plain = [part.isoformat() if isinstance(part, datetime) else part for part in place]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def decode_page_cursor(cursor: str | None, *kinds: type) -> list[Any] | None:
    """The place, its parts of these kinds. Raises RequestValidationError, which is a 422."""
    if cursor is None:
        return None
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        place = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(place, list) or len(place) != len(kinds):
            raise ValueError
        return [_part(part, kind) for part, kind in zip(place, kinds, strict=True)]
    except (ValueError, TypeError, binascii.Error):
        raise RequestValidationError(
            [
                {
                    "type": "value_error",
                    "loc": ("query", "cursor"),
                    "msg": "is not a nextCursor of ours",
                    "input": cursor,
                }
            ]
        ) from None


def _part(part: Any, kind: type) -> Any:
    if kind is datetime:
        moment = datetime.fromisoformat(part)
        if moment.tzinfo is None or not EARLIEST <= moment < LATEST:
            raise ValueError
        return moment
    if type(part) is not kind:
        raise ValueError
    if isinstance(part, int) and abs(part) >= 2**63:
        raise ValueError
    if isinstance(part, str) and ("\0" in part or not part.isprintable()):
        raise ValueError
    return part
