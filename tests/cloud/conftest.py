"""Outboxes with a sender, without a broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud.line import Line
from VenAgent.cloud.outbox_sender import OutboxSenderPace

UNPACED = OutboxSenderPace(messages_per_sec=1e9, bytes_per_sec=1e12)


@pytest.fixture
def paced(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path / "outbox.sqlite", OutboxSenderPace())
    yield line
    line.close()


@pytest.fixture
def unpaced(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path / "outbox.sqlite", UNPACED)
    yield line
    line.close()
