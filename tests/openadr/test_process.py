"""`python -m backend openadr` as a process: it speaks, survives nothing less than a kill, and can
be asked whether the VTN is well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from backend.config.settings_block import SettingsBlockError
from backend.openadr.vtn_check import check_vtn
from tests.openadr import vtn3
from tests.openadr.stage import settings_for
from tests.support.ports import free_port

LIMIT_SEC = 180.0
ROOT = Path(__file__).resolve().parents[2]


def variables(url: str, database_url: str = "sqlite://", **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENADR_")}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": database_url,
        "OPENADR_VTN_URL": url,
        "OPENADR_CLIENT_ID": "ven-client",
        "OPENADR_CLIENT_SECRET": "secret",
        "OPENADR_POLL_SEC": "0.2",
        "OPENADR_LEASE_SEC": "1",
        **more,
    }


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "backend", "openadr", *arguments]


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_SEC
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def count(database_url: str, table: str) -> int:
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())
    finally:
        engine.dispose()


def test_killed_and_started_again_it_begins_nothing_twice(database_url: str) -> None:
    with vtn3.running() as vtn:
        vtn.event("e1", kws=[-1.0])
        environment = variables(vtn.url, database_url)
        for number in range(2):
            process = subprocess.Popen(command(), env=environment)
            try:
                wait_until(lambda: count(database_url, "openadr_events") == 1)
                seen = len(vtn.requests)
                wait_until(lambda since=seen: len(vtn.requests) > since)
            finally:
                process.send_signal(signal.SIGKILL if number == 0 else signal.SIGTERM)
                code = process.wait(LIMIT_SEC)
        assert code == 0
    assert count(database_url, "events") == 1


def test_the_check_is_a_command(database_url: str) -> None:
    with vtn3.running() as vtn:
        done = subprocess.run(
            command("--check"),
            env=variables(vtn.url, database_url),
            capture_output=True,
            text=True,
            timeout=LIMIT_SEC,
        )
    assert done.returncode == 0, done.stderr
    assert "ok vtn_programs: programmes: shed" in done.stdout


@pytest.mark.asyncio
async def test_the_check_tells_of_token_clock_and_programme() -> None:
    with vtn3.running() as vtn:
        assert all(finding.ok for finding in await check_vtn(settings_for(vtn.url)))
        vtn.clock_offset_sec = 120
        apart = await check_vtn(settings_for(vtn.url))
        assert [finding.code for finding in apart if not finding.ok] == ["vtn_clock"]
        no_such = await check_vtn(settings_for(vtn.url, OPENADR_PROGRAMS="other"))
        assert "OPENADR_PROGRAMS" in no_such[-1].text
        wrong = await check_vtn(settings_for(vtn.url, OPENADR_CLIENT_SECRET="wrong"))
        assert (wrong[-1].ok, wrong[-1].code) == (False, "vtn_unusable")
        assert "401" in wrong[-1].text


@pytest.mark.asyncio
@pytest.mark.parametrize("version", ["3.1", "2.0b"])
async def test_the_check_tells_of_a_vtn_that_is_not_there(version: str) -> None:
    findings = await check_vtn(settings_for(f"http://127.0.0.1:{free_port()}", version))
    assert (findings[-1].ok, findings[-1].code) == (False, "vtn_unusable")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"OPENADR_VTN_URL": "http://utility.example/"}, "https://"),
        ({"OPENADR_VTN_URL": "utility.example"}, "https://"),
        ({"OPENADR_CLIENT_SECRET": ""}, "belong together"),
        ({"OPENADR_LEVELS": "1=200%"}, "1=33%"),
        ({"OPENADR_LEVELS": "1=50%,1=20%"}, "twice"),
        ({"OPENADR_LEVELS": "1=50%%"}, "1=33%"),
        ({"OPENADR_LEVELS": "1=1_0%"}, "1=33%"),
        ({"OPENADR_RESOURCES": "north"}, "north=site1"),
        ({"OPENADR_RESOURCES": "north=a b;north=c"}, "twice"),
        ({"OPENADR_RESOURCES": "north=a,south=b"}, "south=site3"),
        ({"OPENADR_PROGRAM": "summer"}, "OPENADR_PROGRAMS is meant"),
        ({"OPENADR_VTN_URL": "https://user:s3cret@utility.example/"}, "no login"),
        ({"OPENADR_VTN_URL": "https://u:s3cr/et@utility.example/"}, "https://vtn.example"),
        ({"OPENADR_CA_CERT": "/nowhere.pem"}, "there is no file"),
        ({"OPENADR_VERSION": "1.0"}, "OPENADR_VERSION"),
    ],
)
def test_settings_that_cannot_be_used_are_told_by_name(changes: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsBlockError, match=said):
        settings_for("https://utility.example/", **changes)
