"""What a broken-off run of tests/documents leaves is found and ended."""

from __future__ import annotations

import os
from pathlib import Path

from ops.host import processes
from ops.host.paths import Paths
from tests.documents.sweep import sweep


def test_what_start_left_running_is_ended_and_named(paths: Paths, tmp_path: Path) -> None:
    record = processes.spawn_process(
        paths, "broker", ["sleep", "600"], {"PATH": os.environ["PATH"]}, cwd=tmp_path
    )
    (paths.run / "config_store.json").write_text("{}")
    assert sweep(tmp_path) == ["broker"]
    assert not processes.process_is_running(record)
    assert sweep(tmp_path) == []
