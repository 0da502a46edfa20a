"""The configuration that was taken last."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from VenAgent.storage.last_config import LastConfig


def test_what_was_kept_is_read_again_and_nobody_else_may(tmp_path: Path) -> None:
    path = tmp_path / "last-config.json"
    kept = LastConfig(path)
    assert kept.read() is None
    for contents in ({"ven_id": "ä", "broker": {"password": "p"}}, {"ven_id": "b"}, "text", []):
        kept.keep(contents)
        assert LastConfig(path).read() == contents
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_is_not_written_again(tmp_path: Path) -> None:
    kept = LastConfig(tmp_path / "last-config.json")
    kept.keep({"a": 1, "b": 2})
    written = (tmp_path / "last-config.json").stat().st_ino
    kept.keep({"b": 2, "a": 1})
    assert (tmp_path / "last-config.json").stat().st_ino == written


@pytest.mark.parametrize("text", [b"{", b"\xff", b""])
def test_a_damaged_file_is_none(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "last-config.json").write_bytes(text)
    assert LastConfig(tmp_path / "last-config.json").read() is None


def test_a_power_cut_while_it_is_written_leaves_the_one_before(tmp_path: Path) -> None:
    kept = LastConfig(tmp_path / "last-config.json")
    kept.keep({"a": 1})
    (tmp_path / "last-config.json.new").write_text('{"a"')
    assert kept.read() == {"a": 1}
    kept.keep({"a": 2})
    assert kept.read() == {"a": 2}


def test_a_folder_that_takes_nothing_is_no_error(tmp_path: Path) -> None:
    LastConfig(tmp_path / "not" / "there.json").keep({"a": 1})
