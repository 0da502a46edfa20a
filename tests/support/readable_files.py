"""What another user of the machine can read below a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

OTHERS_READ, OTHERS_ENTER = 0o004, 0o001


def readable_by_others(folder: Path) -> Iterator[Path]:
    """Files, through folders that others may enter; a folder's own name need not be listed."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        if path.is_dir():
            if mode & OTHERS_ENTER:
                yield from readable_by_others(path)
        elif path.is_file() and mode & OTHERS_READ:
            yield path


def told_to_others(folder: Path, secrets: Iterable[str]) -> list[str]:
    """Files that others can read and that hold one of the secrets."""
    wanted = [secret.encode() for secret in secrets]
    assert wanted
    return [
        str(path.relative_to(folder))
        for path in readable_by_others(folder)
        if any(secret in path.read_bytes() for secret in wanted)
    ]
