"""Processes we started: started as the plain user, remembered so that only they are ever ended.

A pid alone is no identity: the number is used again. A record is pid, start time (in clock ticks
since boot, which no change of the clock moves) and boot; each process gets a session of its own,
so that what it started is found even after it died.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.plain_user import plain_user

MAX_LOG_BYTES = 5_000_000


@dataclass(frozen=True)
class _Stat:
    """What we need of /proc/PID/stat."""

    state: str
    session: int
    start_ticks: int


@dataclass(frozen=True)
class ProcessRecord:
    """A process we started; it leads a session of its own."""

    name: str
    pid: int
    start_ticks: int
    boot_id: str
    variant: str = ""
    """What it was started with, where one that runs may not be the one that is wanted."""


def _read_stat(pid: int) -> _Stat | None:
    """None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name before it may hold anything
    return _Stat(state=fields[0], session=int(fields[3]), start_ticks=int(fields[19]))


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def process_is_running(record: ProcessRecord) -> bool:
    """Whether this very process runs; a zombie does not."""
    stat = _read_stat(record.pid)
    return (
        stat is not None
        and stat.state not in "ZX"
        and stat.start_ticks == record.start_ticks
        and record.boot_id == _boot_id()
    )


# --- records in the state root -----------------------------------------------------------------


def _remember(paths: Paths, record: ProcessRecord) -> None:
    """Write the record's file, whole or not at all. For nobody else: the fingerprint of what a
    process was started with is one of its passwords too, and a short one can be guessed by it."""
    target = paths.run / f"{record.name}.json"
    draft = target.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.chmod(0o600)
    draft.write_text(json.dumps(asdict(record)) + "\n")
    draft.replace(target)


def forget_process(paths: Paths, name: str) -> None:
    (paths.run / f"{name}.json").unlink(missing_ok=True)


def recorded_process(paths: Paths, name: str) -> ProcessRecord | None:
    """The last process of that name we started, running or not; None if there is none."""
    try:
        return ProcessRecord(**json.loads((paths.run / f"{name}.json").read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise OpsError(
            f"cannot read {paths.run / f'{name}.json'}: {error}",
            f"See with `ps` whether {name} still runs, end it, and remove that file.",
        ) from None


def running_process(paths: Paths, name: str) -> ProcessRecord | None:
    record = recorded_process(paths, name)
    return record if record and process_is_running(record) else None


# --- starting ----------------------------------------------------------------------------------


def spawn_process(
    paths: Paths,
    name: str,
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    cwd: Path,
    umask: int = 0o022,
    variant: str = "",
) -> ProcessRecord:
    """Start a process that outlives us, as the plain user, and remember it.

    Its output goes to `paths.output_log(name)`.
    """
    restore_process_interrupt()
    with _open_log(paths.output_log(name)) as log, _unbroken():
        child = subprocess.Popen(
            [str(part) for part in command],
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            umask=umask,
            **plain_user(paths),
        )
        stat = _read_stat(child.pid)
        assert stat is not None, "our child is there, as a zombie at least, until we ask for it"
        record = ProcessRecord(name, child.pid, stat.start_ticks, _boot_id(), variant)
        _remember(paths, record)
    return record


@contextmanager
def _unbroken() -> Iterator[None]:
    """A Ctrl-C or kill waits for the end of the block: what was started must be remembered.

    By handlers and not by blocking the signals, which the child would inherit.
    """
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {
        number: signal.signal(number, lambda received, frame: came.append(received))
        for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        if came:
            os.kill(os.getpid(), came[0])


def restore_process_interrupt() -> None:
    """Undo an ignored SIGINT: scripts pass one on to what they start in the background.

    A child inherits it, VOLTTRON passes it on to its agents, and stops them with SIGINT.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _open_log(path: Path) -> BinaryIO:
    """Open for appending, never through a link; a large one is set aside first."""
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return open(
        path, "ab", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, mode=0o644)
    )


# --- ending ------------------------------------------------------------------------------------


def processes_of_session(record: ProcessRecord) -> list[ProcessRecord]:
    """All that runs in the record's session: the process itself and what it started.

    A session's number is not used again while one process of it lives, so these are ours.
    """
    if record.boot_id != _boot_id():
        return []
    members = []
    for entry in Path("/proc").iterdir():
        stat = _read_stat(int(entry.name)) if entry.name.isdigit() else None
        if stat is None or stat.session != record.pid or stat.state in "ZX":
            continue
        if stat.start_ticks >= record.start_ticks:
            members.append(
                ProcessRecord(record.name, int(entry.name), stat.start_ticks, record.boot_id)
            )
    return members


def wait_until_process_gone(record: ProcessRecord, timeout_sec: float) -> bool:
    """Whether the process ends within that time."""
    with _handle(record) as handle:
        return handle is None or _wait(handle, timeout_sec)


def end_process(record: ProcessRecord, patience: Sequence[tuple[signal.Signals, float]]) -> bool:
    """Send each signal in turn, waiting that many seconds after it. False if it still runs."""
    with _handle(record) as handle:
        if handle is None:
            return True
        for number, timeout_sec in patience:
            signal.pidfd_send_signal(handle, number)
            if _wait(handle, timeout_sec):
                return True
        return False


GENTLY = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))


def end_processes(
    paths: Paths, name: str, patience: Sequence[tuple[signal.Signals, float]]
) -> bool:
    """End the process of that name and all it started; whether there was anything to end."""
    record = recorded_process(paths, name)
    if record is None:
        return False
    was_running = process_is_running(record)
    left = [] if end_process(record, patience) else [record]
    orphans = processes_of_session(record)
    left += [orphan for orphan in orphans if not end_process(orphan, GENTLY)]
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        raise OpsError(f"{name} does not end: process {pids} still runs, SIGKILL notwithstanding")
    forget_process(paths, name)
    return was_running or bool(orphans)


@contextmanager
def _handle(record: ProcessRecord) -> Iterator[int | None]:
    """A file descriptor that means this process and no later one; None when it is gone."""
    try:
        handle = os.pidfd_open(record.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield handle if process_is_running(record) else None
    finally:
        os.close(handle)


def _wait(handle: int, timeout_sec: float) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(timeout_sec * 1000))
