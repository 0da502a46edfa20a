"""Tables for a spreadsheet: RFC 4180, UTF-8, times in ISO 8601 UTC, empty for what was not read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

from VenAgent.web.http_messages import HttpResponse

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_download_response(
    name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> HttpResponse:
    """A download called `name`."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return HttpResponse(
        body=text.getvalue().encode(errors="replace"),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def csv_download_time(ts: float | None) -> str:
    """A moment (epoch s); empty for none, or for one that no calendar has."""
    if ts is None:
        return ""
    try:
        moment = datetime.fromtimestamp(ts, tz=timezone.utc)
    except (OverflowError, OSError, ValueError):
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment.year >= 1000 else ""


def _cell(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula is made a text: ids come from outside."""
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
