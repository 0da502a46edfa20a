"""What the operator's processes write to their log, at its most talkative: no secret."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .alert_receivers import web_receiver

TALKS = """
import asyncio, logging, sys
from backend.alerts.notice_channels import NoticeChannels, NoticeChannelError
from backend.config.alert_targets import AlertTarget
from backend.process.structured_logs import configure_structured_logs
from backend.store.database import Database
from sqlalchemy import text

configure_structured_logs(sys.argv[1])
host, nobody, file = sys.argv[2:]
NOTICE = {"type": "alert.firing", "timestamp": "2026-06-01T16:00:30Z", "data": {
    "cause": "broker_away", "code": "broker_away", "severity": "critical", "summary": "away",
    "since": "2026-06-01T16:00:00Z", "count": 1, "venCount": 0, "venIds": []}}


async def talk():
    channels = NoticeChannels(300.0)
    for where in (host, nobody):
        for receiver in (
            {"webhook": f"http://who:pass-secret@{where}/hook/path-secret?key=query-secret",
             "secret": "signing-secret"},
            {"alertmanager": f"http://who:pass-secret@{where}/path-secret"},
            {"apprise": f"json://who:pass-secret@{where}/path-secret"},
        ):
            target = AlertTarget.model_validate({"name": "room", **receiver})
            print(repr(target), flush=True)
            try:
                await channels.send(target, "m1", NOTICE)
                print("sent", flush=True)
            except NoticeChannelError as error:
                print("failed", error, flush=True)
    await channels.close()
    database = Database(f"sqlite:///{file}")
    async with database.engine.begin() as connection:
        await connection.execute(text("SELECT :v"), {"v": "value-secret"})
    await database.close()
    logging.getLogger("apscheduler.executors.default").info("Running job")
    logging.getLogger("backend").debug("the end")


asyncio.run(talk())
"""


def test_no_secret_of_a_target_or_of_the_database_at_any_level(tmp_path: Path) -> None:
    with web_receiver() as receiver:
        host = receiver.url.removeprefix("http://")
        for level in ("INFO", "DEBUG"):
            talked = subprocess.run(
                [sys.executable, "-c", TALKS, level, host, "127.0.0.1:9", str(tmp_path / "b.db")],
                capture_output=True,
                text=True,
                timeout=120,
                check=True,
            )
            assert talked.stdout.count("sent\n") == 3, talked.stdout
            assert talked.stdout.count("failed ") == 3
            assert ("the end" in talked.stderr) == (level == "DEBUG")
            assert "Running job" not in talked.stderr  # it comes each second
            told = talked.stderr + talked.stdout
            kinds = ("pass", "path", "query", "signing", "value")
            assert [kind for kind in kinds if f"{kind}-secret" in told] == [], told
    assert len(receiver.posts) == 6
