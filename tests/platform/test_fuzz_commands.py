"""5,000 commands gone wrong over MQTT: none stops the agent, none goes unanswered.

The seed is in the name of each command; `VENAGENT_FUZZ_SEED=7` makes the same ones again.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from typing import Any

import gevent

from tests.platform.fuzzing import Fuzzed, commands
from tests.platform.ledger import fault
from tests.platform.site import VEN, Site

COUNT = 5_000
ON_THE_WAY = 200
"""Sent and not answered: mosquitto keeps a thousand for a client, and drops the next."""
FOLLOW_UPS = {"measured", "adjusted", "completed", "scheduled"}
LIMIT_SEC = 60.0


def unanswered(site: Site, fuzzed: list[Fuzzed]) -> list[bytes]:
    """Those of these without an answer yet; garbage is answered under no name, so it is counted."""
    acks = site.cloud.acks()
    named = {ack["correlationId"] for ack in acks}
    refused = sum(ack["correlationId"] is None and not ack["ok"] for ack in acks)
    garbage = [one.payload for one in fuzzed if one.correlation_id is None]
    return [
        *(one.payload for one in fuzzed if one.correlation_id and one.correlation_id not in named),
        *garbage[refused:],
    ]


def send_all(site: Site, fuzzed: list[Fuzzed]) -> None:
    """As fast as they are answered."""
    half = ON_THE_WAY // 2
    for start in range(0, len(fuzzed), half):
        for one in fuzzed[start : start + half]:
            site.cloud.publish(one.payload)
        wait_for_answers(site, fuzzed[:start])
    wait_for_answers(site, fuzzed)


def wait_for_answers(site: Site, fuzzed: list[Fuzzed]) -> None:
    deadline = time.monotonic() + LIMIT_SEC
    while True:
        silent = unanswered(site, fuzzed)
        if not silent:
            return
        assert time.monotonic() < deadline, f"{len(silent)} unanswered: {silent[:5]!r:.2000}"
        gevent.sleep(0.05)


def _undated(ack: dict[str, Any]) -> dict[str, Any]:
    """Without its times: what is not read is refused anew each time it comes."""
    return {name: value for name, value in ack.items() if name not in ("ts", "ts_ms")}


def check_answers(site: Site, fuzzed: list[Fuzzed]) -> None:
    by_command: dict[str | None, list[dict[str, Any]]] = {}
    for ack in site.cloud.acks():
        by_command.setdefault(ack["correlationId"], []).append(ack)
    times = Counter(one.correlation_id for one in fuzzed)
    for one in fuzzed:
        if one.correlation_id is None:
            continue
        acks = by_command[one.correlation_id]
        statuses = [ack["status"] for ack in acks]
        answers = [ack for ack in acks if ack["status"] not in FOLLOW_UPS]
        if one.sheds:
            assert acks, one
            assert {"accepted", "rejected"} - set(statuses), (one, acks)
        else:
            assert 1 <= len(answers) <= times[one.correlation_id], (one, acks)
            assert all(_undated(a) == _undated(answers[0]) for a in answers), (one, acks)
        assert all(ack["ok"] or ack["reason"] for ack in acks), (one, acks)


def end_all(site: Site) -> None:
    """What was accepted on the way is withdrawn."""
    for _ in range(20):  # each time a page of them
        for event in site.status()["scheduled_events"]:
            site.cloud.command("cancel", event_id=event["event_id"])
    site.cloud.command("restore")
    site.wait_until_normal()


def test_no_command_stops_the_agent_and_none_goes_unanswered(site: Site, attempt: int) -> None:
    seed = int(os.environ.get("VENAGENT_FUZZ_SEED", random.randrange(10_000)))
    fuzzed = commands(seed, COUNT)
    garbage = sum(one.correlation_id is None for one in fuzzed)
    pid = site.pid(VEN)
    site.cloud.forget()
    with fault(f"{COUNT:,} fuzzed commands") as tried:
        try:
            send_all(site, fuzzed)
            tried.struck()
        finally:
            print(f"seed {seed}")
            end_all(site)
        tried.normal()
        check_answers(site, fuzzed)
        assert len(site.cloud.acks(correlationId=None, status="rejected")) == garbage
        assert site.pid(VEN) == pid
        ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=7.5, duration_sec=600)
        assert ack["status"] == "accepted"
        assert site.open_contactors() == {"heater1", "dryer1"}
        assert site.status()["refused"]["command.not_json"] > 0
