"""A file of ours that is broken: kept for whoever looks into it, and out of the way."""

from __future__ import annotations

from pathlib import Path


def put_in_quarantine(path: Path, now: float, why: str = "damaged") -> Path:
    """Rename the file with its log (which may hold the newest events) under the time `now`."""
    aside, count = path.with_name(f"{path.name}.{why}-{int(now)}"), 1
    while aside.exists():
        count += 1
        aside = path.with_name(f"{path.name}.{why}-{int(now)}-{count}")
    path.rename(aside)
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        log.rename(aside.with_name(f"{aside.name}-wal"))
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    return aside
