"""Processes are known by more than their pid, and only ours are ended."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.host import processes
from ops.host import session_sweep as sweep
from ops.host.condition import wait_for_condition
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.processes import ProcessRecord, _Stat

QUICKLY = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


def spawn(paths: Paths, *command: str, name: str = "thing") -> ProcessRecord:
    return processes.spawn_process(
        paths, name, command, {"PATH": os.environ["PATH"]}, cwd=paths.home
    )


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """Somebody else's process."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def test_a_started_process_is_running_and_remembered(paths: Paths) -> None:
    record = spawn(paths, "sleep", "1000")
    assert processes.running_process(paths, "thing") == record
    assert record.pid == os.getsid(record.pid), "it leads a session of its own"
    # What it was started with is in there as a fingerprint.
    assert (paths.run / "thing.json").stat().st_mode & 0o777 == 0o600


def test_a_process_that_ended_is_not_running(paths: Paths) -> None:
    record = spawn(paths, "true")
    assert processes.wait_until_process_gone(record, 60)
    assert not processes.process_is_running(record), "a zombie at most"
    assert processes.recorded_process(paths, "thing") == record


@pytest.mark.parametrize("changed", [{"start_ticks": 1}, {"boot_id": "an-earlier-boot"}])
def test_a_pid_that_was_used_again_is_not_ours(
    bystander: subprocess.Popen[bytes], changed: dict[str, object]
) -> None:
    stat = processes._read_stat(bystander.pid)
    assert stat is not None
    ours = ProcessRecord("thing", bystander.pid, stat.start_ticks, processes._boot_id())
    assert processes.process_is_running(ours)
    stale = dataclasses.replace(ours, **changed)  # type: ignore[arg-type]
    assert not processes.process_is_running(stale)
    assert processes.end_process(stale, QUICKLY), "nothing of ours is left"
    assert bystander.poll() is None, "and the other's process was not touched"


def test_ending_uses_the_next_signal_when_one_is_ignored(paths: Paths) -> None:
    script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)"
    record = spawn(paths, sys.executable, "-c", f"{script}; signal.pause()")
    log = paths.output_log("thing")
    assert wait_for_condition(lambda: "up" in log.read_text(), 60)
    assert processes.end_processes(paths, "thing", ((signal.SIGTERM, 0.2), (signal.SIGKILL, 5.0)))
    assert not processes.process_is_running(record)
    assert processes.recorded_process(paths, "thing") is None


def test_what_a_dead_process_left_behind_is_ended_too(paths: Paths) -> None:
    record = spawn(paths, "sh", "-c", "sleep 1000 & sleep 1001")
    assert wait_for_condition(lambda: len(processes.processes_of_session(record)) == 3, 60)
    os.kill(record.pid, signal.SIGKILL)
    assert processes.wait_until_process_gone(record, 60)
    orphans = processes.processes_of_session(record)
    assert len(orphans) == 2
    assert processes.end_processes(paths, "thing", QUICKLY)
    assert not any(processes.process_is_running(orphan) for orphan in orphans)


def test_a_sweep_ends_a_session_and_names_what_was_in_it(paths: Paths) -> None:
    record = spawn(paths, "sleep", "1000")
    assert sweep.sweep_session(record.pid) == [f"{record.pid} sleep 1000"]
    assert sweep.sweep_session(record.pid) == []


def test_ending_what_never_ran_says_so(paths: Paths) -> None:
    assert processes.end_processes(paths, "thing", QUICKLY) is False


def test_a_damaged_record_is_explained(paths: Paths) -> None:
    (paths.run / "thing.json").write_text("{")
    with pytest.raises(OpsError, match=r"cannot read .*thing\.json") as error:
        processes.recorded_process(paths, "thing")
    assert any("remove that file" in sentence for sentence in error.value.advice)
    (paths.run / "thing.json").unlink()


def test_an_ignored_interrupt_is_not_passed_on(paths: Paths) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        record = spawn(paths, "sleep", "1000")
    finally:
        signal.signal(signal.SIGINT, before)
    assert processes.end_process(record, ((signal.SIGINT, 5.0),))


def test_an_interrupt_while_it_is_started_comes_when_it_is_remembered(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator's Ctrl-C at the worst moment must leave nothing that `stop` does not know."""
    read_stat = processes._read_stat

    def interrupted(pid: int) -> _Stat | None:
        monkeypatch.setattr(processes, "_read_stat", read_stat)
        os.kill(os.getpid(), signal.SIGINT)
        return read_stat(pid)

    monkeypatch.setattr(processes, "_read_stat", interrupted)
    with pytest.raises(KeyboardInterrupt):
        spawn(paths, "sleep", "1000")
    record = processes.running_process(paths, "thing")
    assert record is not None
    assert processes.end_process(record, ((signal.SIGINT, 5.0),))


def test_a_log_is_never_opened_through_a_link(paths: Paths, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    paths.output_log("thing").symlink_to(target)
    with pytest.raises(OSError):
        processes._open_log(paths.output_log("thing"))
    assert target.read_text() == "precious"


def test_a_large_log_is_set_aside(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "MAX_LOG_BYTES", 3)
    log = paths.output_log("thing")
    log.write_text("older")
    with processes._open_log(log) as file:
        file.write(b"new")
    assert log.read_text() == "new"
    assert log.with_suffix(".log.1").read_text() == "older"
