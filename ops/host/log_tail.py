"""The end of a log file, and what comes after it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

TAIL_BYTES = 65_536


def log_tail(path: Path, lines: int, max_bytes: int = TAIL_BYTES) -> list[str]:
    """The last lines, of the last `max_bytes`; none when there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - max_bytes))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-lines:] if lines > 0 else []


def follow_log_tail(path: Path, lines: int, poll_sec: float = 0.25) -> Iterator[str]:
    """The last lines, then each new one as it comes, through rotation; ends never."""
    yield from log_tail(path, lines)
    file = _open_at_end(path)
    rest = b""
    while True:
        rest += file.read() if file else b""
        *complete, rest = rest.split(b"\n")
        yield from (line.decode(errors="replace") for line in complete)
        if complete:
            continue
        if _is_another(path, file):
            file, rest = _reopen(path, file), b""
            continue
        time.sleep(poll_sec)


def _open_at_end(path: Path) -> BinaryIO | None:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    file.seek(0, os.SEEK_END)
    return file


def _is_another(path: Path, file: BinaryIO | None) -> bool:
    """Whether the name now stands for another file than the open one, or a shorter one."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return False
    if file is None:
        return True
    opened = os.fstat(file.fileno())
    return (stat.st_dev, stat.st_ino) != (opened.st_dev, opened.st_ino) or (
        stat.st_size < file.tell()
    )


def _reopen(path: Path, file: BinaryIO | None) -> BinaryIO | None:
    if file:
        file.close()
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None
