"""An outbox of a site that gets another name: what waits under the old one is out of the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud.outboxes import message, waiting_texts
from VenAgent.cloud.outbox import Outbox, OutboxRank


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    outbox = Outbox(path, synced=True)
    outbox.belong_to("volttron_thing")
    outbox.put_numbered(lambda seq: ([message(str(seq))], 1))
    outbox.put([message("ack", OutboxRank.ACK)])
    yield outbox
    outbox.close()


def asides(path: Path) -> list[Path]:
    return list(path.parent.glob("outbox.sqlite.former-ven-*"))


def test_what_waits_under_the_name_before_is_put_aside_and_seq_goes_on(
    path: Path, outbox: Outbox
) -> None:
    thread_side = Outbox(path, synced=False)
    outbox.belong_to("site-1")
    assert waiting_texts(outbox) == []
    assert not thread_side.is_current(), "a connection that uses it begins again"
    outbox.put_numbered(lambda seq: ([message(str(seq))], 1))
    assert waiting_texts(Outbox(path, synced=False)) == ["2"]
    aside = next(each for each in asides(path) if not each.name.endswith("-wal"))
    assert waiting_texts(Outbox(aside, synced=False)) == ["ack", "1"]


def test_under_the_same_name_all_stays_over_restarts_too(path: Path, outbox: Outbox) -> None:
    outbox.belong_to("volttron_thing")
    outbox.close()
    again = Outbox(path, synced=True)
    again.belong_to("volttron_thing")
    assert waiting_texts(again) == ["ack", "1"]
    again.belong_to("site-1")
    assert waiting_texts(again) == []
    again.close()


def test_an_empty_one_is_kept(path: Path, outbox: Outbox) -> None:
    outbox.delete([1, 2])
    outbox.belong_to("site-1")
    outbox.belong_to("site-2")
    assert asides(path) == []
    outbox.put_numbered(lambda seq: ([message(str(seq))], 1))
    assert waiting_texts(outbox) == ["2"]


def test_one_that_an_earlier_version_left_is_taken_over(path: Path) -> None:
    earlier = Outbox(path, synced=True)
    earlier.put([message("1")])
    earlier.belong_to("site-1")
    assert waiting_texts(earlier) == ["1"]
    earlier.close()
