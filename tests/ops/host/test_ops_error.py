"""What an operator sees of what the system refuses: cause and remedy, no traceback."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from ops.cli import ven_control as cli


def ends_with(error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    def app(**options: Any) -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)
    cli.ven_control()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "the user that ran `start`"),
        (errno.EPERM, "the user that ran `start`"),
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "read-only"),
    ],
)
def test_a_refusal_of_the_system_ends_with_its_remedy(
    number: int,
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refused = OSError(number, "refused", "/state/ops.lock")
    with pytest.raises(SystemExit) as ended:
        ends_with(refused, monkeypatch)
    assert ended.value.code == 1
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert "/state/ops.lock: refused" in said
    assert remedy in said


def test_what_may_be_our_fault_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        ends_with(OSError(errno.EBADF, "Bad file descriptor"), monkeypatch)
