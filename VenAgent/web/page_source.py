"""What the page needs from the agent. VenAgent/reporting/page_view.py gives it.

Everything is ready to be sent as JSON: power in kW, times in epoch seconds, durations in seconds,
null for what was not read. docs/local-page.md lists the fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Json = Mapping[str, Any]


class PageReadSource(Protocol):
    """One site, as a person at its page sees it."""

    def status(self) -> Json:
        """Health, power, the running event, the connection and the meter."""

    def circuits(self) -> Sequence[Json]:
        """Each circuit with its power, its state, and why it was shed or spared."""

    def events(self, limit: int) -> Sequence[Json]:
        """The latest events with their summaries, newest first."""

    def alerts(self) -> Json:
        """`active` and `recent` alerts."""

    def history(self) -> Json:
        """The power of the last hour, in columns."""

    def event_in_full(self, event_id: str) -> Json | None:
        """One event in full, with its circuits and acks; None if it is not known."""

    def interval_power(self, start_ts: float, count: int) -> Json:
        """Means of 15 minutes in columns: those known of `count` intervals from `start_ts` on."""

    def minute_power(self, circuit_id: str | None, start_ts: float, minutes: int) -> Json:
        """Means of a minute in columns, of a circuit or (None) of the site: those known of at most
        240 minutes from `start_ts` on."""


class PageSource(PageReadSource, Protocol):
    """The same, and what a person may change there."""

    def command(self, fields: Json) -> Json:
        """Obey a command as if the cloud had sent it; its ack, within half a minute."""

    def opt_out(self, reason: str, duration_sec: float | None) -> Json:
        """End the running event and refuse others, for so long or until `opt_in`; the ack."""

    def opt_in(self) -> Json:
        """Take part again; the ack."""
