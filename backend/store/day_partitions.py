"""Days of telemetry: partitions made ahead, and rows dropped when their time is over.

PostgreSQL keeps a partition a UTC day, so that a day is dropped at once and its file with it.
SQLite has no partitions: old rows are deleted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone

from sqlalchemy import Connection, text

PARTITIONED = ("ven_telemetry", "ven_loads")
DAYS_AHEAD = 3
_ONE_AT_A_TIME = 72_616_002
"""PostgreSQL's advisory lock: two processes that make the same partition would fail."""


def _partition_name(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"


def _partition_statements(table: str, day: date) -> list[str]:
    """What makes the partition of `day`, if there is none."""
    following = day + timedelta(days=1)
    return [
        f"CREATE TABLE IF NOT EXISTS {_partition_name(table, day)} PARTITION OF {table} "
        f"FOR VALUES FROM ('{day} 00:00:00+00') TO ('{following} 00:00:00+00')"
    ]


def create_day_partitions(connection: Connection, days: Iterable[date]) -> None:
    """Make the partitions of `days` that are missing; nothing to do on SQLite. Commits nothing."""
    if connection.dialect.name != "postgresql":
        return
    connection.execute(text(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})"))
    for day in days:
        for table in PARTITIONED:
            for statement in _partition_statements(table, day):
                connection.execute(text(statement))


def day_partitions_ahead(now: datetime) -> list[date]:
    """Yesterday (late messages), today, and some days to come."""
    today = now.astimezone(timezone.utc).date()
    return [today + timedelta(days=n) for n in range(-1, DAYS_AHEAD + 1)]


def existing_day_partitions(connection: Connection, table: str) -> list[tuple[date, str]]:
    """The days that have a partition of `table`, with its name, oldest first.

    One that somebody made by hand under another name is none of ours, and is left alone.
    """
    rows = connection.execute(
        text(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = CAST(:parent AS regclass) ORDER BY c.relname"
        ),
        {"parent": table},
    )
    ours = re.compile(rf"{table}_(\d{{8}})")
    found = (ours.fullmatch(name) for (name,) in rows)
    return [(datetime.strptime(m[1], "%Y%m%d").date(), m[0]) for m in found if m is not None]


def drop_old_day_partitions(connection: Connection, table: str, before: datetime) -> int:
    """Drop what is older than the day of `before`; how many partitions or rows went."""
    day = before.astimezone(timezone.utc).date()
    if connection.dialect.name == "postgresql":
        old = [name for of, name in existing_day_partitions(connection, table) if of < day]
        for name in old:
            connection.execute(text(f"DROP TABLE {name}"))
        return len(old)
    midnight = datetime(day.year, day.month, day.day)
    deleted = connection.execute(
        text(f"DELETE FROM {table} WHERE timestamp < :before"),
        {"before": midnight.isoformat(" ", "microseconds")},
    )
    return deleted.rowcount
