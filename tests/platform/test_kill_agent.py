"""kill -9 of the agent at every decision of its journal; the platform's monitor starts it again.

The circuits are checked at the panel itself, past driver and actuator.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client.sync import ModbusTcpClient

from tests.platform.ledger import fault
from tests.platform.site import VEN, VEN_ID, Site, wait_for

DURATION_SEC, UNTIL_MEASURED_SEC = 3.0, 10.0
UNTIL_RESTORED = {"prepare", "write"}
"""Killed there nothing is shed yet: the event must last until the agent is back, however long a
busy machine takes for that."""
ANSWERS = ("accepted", "failed", "rejected")


def kill_at(site: Site, decision: str, when: str) -> Path:
    """The agent will die there; the order is gone when it did."""
    order = Path(site.volttron.volttron_home) / "kill-at.json"
    order.with_suffix(".new").write_text(json.dumps({"decision": decision, "when": when}))
    order.with_suffix(".new").rename(order)
    return order


def open_coils(site: Site) -> list[int]:
    """Read from the device by a Modbus master of the test's own."""
    with ModbusTcpClient("127.0.0.1", port=site.modbus_port) as master:
        bits = master.read_coils(0, 8, unit=1).bits[:8]
    return [address for address, closed in enumerate(bits) if not closed]


def last_change_ts(site: Site) -> float:
    changed = site.panel.state()["changed_ts"]["contactors"].values()
    return max(moment for moment in changed if moment is not None)


def different(acks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was on its way when the agent died may come twice, but as the same ack."""
    return [ack for place, ack in enumerate(acks) if ack not in acks[:place]]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "decision", ["prepare", "write", "accepted", "measured", "restore", "completed"]
)
def test_killed_at_a_decision_the_site_ends_as_it_was_and_everyone_is_answered(
    site: Site, decision: str, when: str, attempt: int
) -> None:
    with fault("agent killed at a step of its journal") as tried:
        pid, event_id = site.pid(VEN), site.event_id()
        assert pid is not None
        command = {
            "op": "event",
            "event_id": event_id,
            "correlationId": f"{event_id}-{time.time()}",
            "shed_kw": 7.5,
            "duration_sec": {
                "measured": UNTIL_MEASURED_SEC,
                **dict.fromkeys(UNTIL_RESTORED, 3_600.0),
            }.get(decision, DURATION_SEC),
        }
        order = kill_at(site, decision, when)
        site.cloud.publish(command)
        wait_for(lambda: not order.exists(), f"it comes to {decision}")
        tried.struck()
        site.wait_for_successor(VEN, pid)
        mine = {"correlationId": command["correlationId"]}
        answer = wait_for(
            lambda: [a for a in site.cloud.acks(**mine) if a["status"] in ANSWERS], "an answer"
        )[0]
        if decision in UNTIL_RESTORED:
            assert answer["status"] == "accepted", answer.get("reason")
            assert len(open_coils(site)) == 2
            tried.ends(time.time())
            assert site.cloud.command("restore", event_id=event_id)["ok"]
        else:
            tried.ends(answer["end_ts"])
        if answer["ok"]:
            site.cloud.ack(**mine, status="completed")
        site.wait_until_normal()
        assert open_coils(site) == []
        tried.normal(last_change_ts(site))
        acks = different(site.cloud.acks(**mine))
        assert [ack for ack in acks if ack["status"] in ANSWERS] == [answer]
        assert len([ack for ack in acks if ack["status"] == "completed"]) == answer["ok"]
        assert site.status()["scheduled_events"] == []


def test_an_agent_that_hangs_loses_the_lease_and_sheds_again_when_it_is_back(
    site: Site, attempt: int
) -> None:
    """The monitor sees a process that runs: only the device can end this shed."""
    config = copy.deepcopy(site.config)
    config["leases"][0]["timeout_sec"] = 4
    site.store(VEN, "config", config)
    site.wait_for_health("GOOD")
    with fault("agent hangs (SIGSTOP) in mid-event: the lease") as tried:
        event_id = site.event_id()
        site.cloud.command("event", event_id=event_id, shed_kw=7.5, duration_sec=600)
        assert open_coils(site) != []
        pid = site.pid(VEN)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            tried.struck()
            wait_for(lambda: open_coils(site) == [], "the device ends the shed by itself")
            tried.normal(last_change_ts(site))
        finally:
            os.kill(pid, signal.SIGCONT)
        ack = site.cloud.ack(event_id=event_id, status="adjusted")
        assert "by themselves" in ack["reason"]
        assert site.open_contactors() == {"heater1", "dryer1"}


def test_stopped_in_order_with_leave_to_resume_the_event_goes_on_at_the_next_start(
    site: Site, attempt: int
) -> None:
    config = copy.deepcopy(site.config)
    config["event"]["on_stop"] = "resume"
    site.store(VEN, "config", config)
    site.wait_for_health("GOOD")
    with fault("orderly stop in mid-event, on_stop: resume") as tried:
        event_id = site.event_id()
        accepted = site.cloud.command("event", event_id=event_id, shed_kw=7.5, duration_sec=12)
        site.stop(VEN)
        assert site.open_contactors() == {"heater1", "dryer1"}
        site.start(VEN)
        tried.struck()
        tried.ends(accepted["end_ts"])
        completed = site.cloud.ack(60.0, event_id=event_id, status="completed")
        site.wait_until_normal()
        tried.normal(last_change_ts(site))
        assert completed["summary"]["end_ts"] >= accepted["end_ts"]


def damage(site: Site) -> Path:
    """Overwrite bytes of the agent's journal, its log too, while the agent cannot write."""
    (journal,) = Path(site.volttron.volttron_home).rglob("journal.sqlite")
    for name in (journal.name, f"{journal.name}-wal"):
        file = journal.with_name(name)
        if file.exists():
            size = file.stat().st_size
            with file.open("r+b") as raw:
                raw.write(b"\xa5" * min(size, 20_000))
    return journal


def test_with_a_damaged_journal_the_site_goes_back_to_normal_and_it_is_told(
    site: Site, attempt: int
) -> None:
    with fault("agent killed and its journal damaged in mid-event") as tried:
        event_id = site.event_id()
        site.cloud.command("event", event_id=event_id, shed_kw=7.5, duration_sec=600)
        assert open_coils(site) != []
        pid = site.pid(VEN)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        journal = damage(site)
        site.kill(VEN)
        tried.struck()
        site.wait_for_successor(VEN, pid)
        wait_for(lambda: open_coils(site) == [], "the circuits are closed again")
        tried.normal(last_change_ts(site))
        site.wait_until_normal()
        aside = list(journal.parent.glob("journal.sqlite.damaged-*"))
        assert [name for name in aside if not name.name.endswith("-wal")]
        site.wait_for_health("BAD", "damaged", "put aside")
        alert = wait_for(
            lambda: [
                body
                for body in site.cloud.messages(f"ven/alerts/{VEN_ID}")
                if body["code"] == "journal.damaged"
            ],
            "an alert",
        )[0]
        assert alert["severity"] == "critical"
        # Dated: without its journal the agent does not know how long it was away.
        ack = site.cloud.command(
            "event",
            event_id=site.event_id(),
            shed_kw=7.5,
            duration_sec=2,
            issued_ts=time.time(),
        )
        assert ack["status"] == "accepted", ack.get("reason")
        site.wait_until_normal()
    for name in aside:
        name.unlink()
    site.stop(VEN)
    site.start(VEN)  # the finding is told until the next start


def test_a_scheduled_event_starts_on_time_without_the_cloud(site: Site, attempt: int) -> None:
    with fault("broker gone before a scheduled start (time: late by)") as tried:
        start_ts, event_id = time.time() + 6.0, site.event_id()
        ack = site.cloud.command(
            "event", event_id=event_id, shed_kw=7.5, duration_sec=600, start_ts=start_ts
        )
        assert ack["status"] == "scheduled"
        with site.broker_silent():
            tried.ends(start_ts)
            wait_for(lambda: site.open_contactors() == {"heater1", "dryer1"}, "it is shed")
            tried.normal(last_change_ts(site))
            assert last_change_ts(site) >= start_ts
        site.cloud.ack(event_id=event_id, status="accepted")


def test_killed_in_mid_event_it_goes_on_as_soon_as_its_journal_can_be_opened(site: Site) -> None:
    """A full disk, or the lock of a process that is still ending."""
    (path,) = Path(site.volttron.volttron_home).rglob("journal.sqlite")
    event_id = site.event_id()
    site.cloud.command("event", event_id=event_id, shed_kw=7.5, duration_sec=600)
    site.kill(VEN)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        site.wait_for_health("BAD", "cannot be opened", "trying again")
    site.wait_for_health("GOOD")
    site.cloud.command("restore", event_id=event_id)
    site.wait_until_normal()
