"""A flood at a real ingest: garbage, invented VENs and clocks years off harm none of the others."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import psycopg

from ops.host.condition import wait_for_condition

from .builders import payload, telemetry
from .conftest import Broker
from .processes import Fleet, ingest, stored

KNOWN, EACH = 20, 30
GARBAGE, GARBAGE_PER_SEC, INVENTED = 6_000, 2_000, 1_500
FAR = {"1970": 3_600.0, "2001": 978_307_200.0, "2050": 2_524_608_000.0, "2199": 7_226_582_400.0}
"""Clocks that are years off, in epoch seconds."""


def test_a_flood_is_bounded_and_the_others_are_unharmed(
    postgresql_url: str, broker: Broker, tmp_path: Path
) -> None:
    variables = {"INGEST_NEW_VENS_AT_ONCE": str(KNOWN + 50), "INGEST_NEW_VENS_PER_MINUTE": "1"}
    topics = {"MQTT_TOPIC_METERING": "flood/metering", "MQTT_SHARE_GROUP": "flood"}
    names = [f"known-{n}" for n in range(KNOWN)]
    with ingest(tmp_path, broker, postgresql_url, **variables, **topics) as process:
        fleet, flood = Fleet(broker), Fleet(broker)
        try:
            fleet.send((payload(name) for name in names), "flood/metering")
            assert wait_for_condition(lambda: stored(postgresql_url) == KNOWN, 60)
            flooding = threading.Thread(target=_flood, args=(flood,))
            flooding.start()
            for seq in range(2, EACH + 1):
                fleet.send((payload(name, seq) for name in names), "flood/metering")
            flooding.join()
            count = "SELECT count(*) FROM ven_telemetry WHERE ven_id LIKE 'known-%'"
            assert wait_for_condition(lambda: stored(postgresql_url, count) == KNOWN * EACH, 60)
            refused = 'venagent_ingest_messages_total{outcome="refused"'
            sent = GARBAGE + INVENTED + len(FAR)
            assert wait_for_condition(lambda: process.metric(refused) >= sent - 60, 60)
            assert process.readiness() == (200, [])
        finally:
            fleet.close()
            flood.close()
    with psycopg.connect(postgresql_url) as connection:
        vens = connection.execute("SELECT count(*) FROM vens").fetchone()
        letters = connection.execute("SELECT count(*) FROM dead_letters").fetchone()
        partitions = connection.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'ven_telemetry'::regclass"
        ).fetchone()
        far = connection.execute(
            "SELECT count(*) FROM ven_telemetry WHERE ven_id LIKE 'far-%'"
        ).fetchone()
    assert vens is not None
    assert letters is not None
    assert partitions is not None
    assert vens[0] <= KNOWN + 60
    assert letters[0] < 1_000
    assert partitions[0] < 15
    assert far == (0,)


def _flood(fleet: Fleet) -> None:
    """At 2,000 messages a second, as far as the machine lets it."""
    begun = time.monotonic()
    for at in range(0, GARBAGE, 200):
        fleet.send((_garbage(number) for number in range(at, at + 200)), "flood/metering")
        time.sleep(max(begun + at / GARBAGE_PER_SEC - time.monotonic(), 0.0))
    fleet.send((payload(f"invented-{n}") for n in range(INVENTED)), "flood/metering")
    far = (telemetry(f"far-{year}", timestamp=int(moment)) for year, moment in FAR.items())
    fleet.send((json.dumps(one).encode() for one in far), "flood/metering")


def _garbage(number: int) -> bytes:
    kinds = (b"\xff\xfe\x00", b"{", b"[]", b'{"venId": 7}', b"x" * 2_000, b"null")
    return kinds[number % len(kinds)] + str(number).encode()
