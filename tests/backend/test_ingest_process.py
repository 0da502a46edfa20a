"""The ingest as a process, between a real broker and a real PostgreSQL: nothing is lost."""

from __future__ import annotations

import random
import shutil
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ops.host.condition import wait_for_condition
from ops.services import postgres_server as postgres
from tests.backend.builders import payload
from tests.backend.conftest import Broker, fresh_database, mosquitto
from tests.backend.processes import Fleet, IngestProcess, ingest, stored
from tests.support.ports import free_port
from VenAgent.contract.json_codec import encode_json


@pytest.fixture
def fleet(broker: Broker) -> Iterator[Fleet]:
    fleet = Fleet(broker)
    yield fleet
    fleet.close()


@pytest.fixture
def own() -> dict[str, str]:
    """A share and a topic of the test's own: the broker is everybody's."""
    name = uuid.uuid4().hex[:8]
    return {
        "MQTT_SHARE_GROUP": f"g-{name}",
        "MQTT_TOPIC_METERING": f"metering/{name}",
        "MQTT_TOPIC_RESPONSES": f"{name}/ack/+",
        "MQTT_TOPIC_STATUS": f"{name}/status/+",
        "MQTT_TOPIC_ALERTS": f"{name}/alerts/+",
        "INGEST_INSTANCE": "one",
    }


def all_stored(url: str, expected: int) -> bool:
    return wait_for_condition(lambda: stored(url) >= expected, 90, 0.2)


def test_killed_at_random_moments_under_load_it_loses_nothing_and_doubles_nothing(
    tmp_path: Path, broker: Broker, fleet: Fleet, postgresql_url: str, own: dict[str, str]
) -> None:
    chance = random.Random(7)
    topic = own["MQTT_TOPIC_METERING"]
    sent = 0
    with ingest(tmp_path, broker, postgresql_url, INGEST_BATCH_MAX="50", **own) as process:
        for round_number in range(5):
            batch = [payload(f"ven-{n % 40}", 1_000 * round_number + n) for n in range(600)]
            sending = threading.Thread(target=fleet.send, args=(batch, topic))
            sending.start()
            at_least = sent + chance.randrange(1, 500)
            wait_for_condition(lambda least=at_least: stored(postgresql_url) >= least, 60, 0.001)
            process.kill()
            sending.join()
            sent += len(batch)
            process.start()
        assert all_stored(postgresql_url, sent), process.log()
        process.wait_until_ready()
    assert stored(postgresql_url) == sent
    assert stored(postgresql_url, "SELECT count(*) FROM dead_letters") == 0


def test_two_instances_share_the_messages_and_one_may_be_killed(
    tmp_path: Path, broker: Broker, fleet: Fleet, postgresql_url: str, own: dict[str, str]
) -> None:
    topic = own["MQTT_TOPIC_METERING"]
    two = {**own, "INGEST_INSTANCE": "two"}
    with (
        ingest(tmp_path, broker, postgresql_url, **own) as first,
        ingest(tmp_path, broker, postgresql_url, **two) as second,
    ):
        sent = fleet.send([payload(f"ven-{n % 50}", n) for n in range(1_000)], topic)
        assert all_stored(postgresql_url, sent)
        done = 'venagent_ingest_messages_total{outcome="stored"'
        assert wait_for_condition(lambda: first.metric(done) + second.metric(done) == sent, 60)
        assert min(first.metric(done), second.metric(done)) > 0
        first.kill()
        sent += fleet.send([payload(f"ven-{n % 50}", 5_000 + n) for n in range(500)], topic)
        first.start()
        assert all_stored(postgresql_url, sent), first.log()
    assert stored(postgresql_url) == sent


def test_of_a_shadow_the_newest_report_stands_though_an_instance_hears_of_it_later(
    tmp_path: Path, broker: Broker, fleet: Fleet, postgresql_url: str, own: dict[str, str]
) -> None:
    ven_id, now = f"ven-{uuid.uuid4().hex[:8]}", round(time.time())
    reports = [encode_json({"state": {"reported": {"timestamp": now - 9 + n}}}) for n in range(10)]
    said = "(SELECT (reported->>'timestamp')::bigint FROM ven_shadows)"
    # What each instance makes of it, in the order in which it stands in the table.
    history = (
        "CREATE TABLE history (number serial, said bigint);"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO history (said) VALUES ((NEW.reported->>'timestamp')::bigint); RETURN NEW; "
        "END $$;"
        "CREATE TRIGGER note AFTER INSERT OR UPDATE ON ven_shadows "
        "FOR EACH ROW EXECUTE FUNCTION note()"
    )
    two = {**own, "INGEST_INSTANCE": "two", "INGEST_BATCH_MAX": "1"}
    with (
        ingest(tmp_path, broker, postgresql_url, **own) as first,
        ingest(tmp_path, broker, postgresql_url, **two) as second,
    ):
        with psycopg.connect(postgresql_url) as connection:
            connection.execute(history)
        fleet.send([payload(ven_id, 1)], own["MQTT_TOPIC_METERING"])
        assert all_stored(postgresql_url, 1)
        second.kill()
        fleet.send(reports, f"$aws/things/{ven_id}/shadow/update")
        newest = f"SELECT count(*) FROM history WHERE said = {now}"
        assert wait_for_condition(lambda: stored(postgresql_url, newest) > 0, 60), first.log()
        second.start()
        second.wait_until_ready()
        done = 'venagent_ingest_messages_total{outcome="stored"'
        assert wait_for_condition(lambda: second.metric(done) >= len(reports), 60), second.log()
    back = (
        "SELECT count(*) FROM history a JOIN history b ON a.number < b.number AND a.said > b.said"
    )
    assert stored(postgresql_url, back) == 0
    assert stored(postgresql_url, f"SELECT {said}") == now


def test_poisoned_messages_between_good_ones_stop_nothing(
    tmp_path: Path, broker: Broker, fleet: Fleet, postgresql_url: str, own: dict[str, str]
) -> None:
    topic = own["MQTT_TOPIC_METERING"]
    poison = [
        b"",
        b"{",
        b"\xff" * 10,
        b'{"venId":"v"}',
        encode_json({"venId": "v", "timestamp": "x"}),
    ]
    mixed = [payload("ven-1", n) if n % 5 else poison[n // 5 % 5] for n in range(200)]
    with ingest(tmp_path, broker, postgresql_url, **own):
        fleet.send(mixed, topic)
        assert all_stored(postgresql_url, 160)
        count = "SELECT count(*) FROM dead_letters WHERE reason <> ''"
        assert wait_for_condition(lambda: stored(postgresql_url, count) == 40, 60)
        # The state is that of the last, though nothing comes after it.
        last = "SELECT max(seq) FROM ven_state"
        assert wait_for_condition(lambda: stored(postgresql_url, last) == 199, 60)
        # A broker shares no topics of its own: shadows come there all the same.
        shadow = encode_json({"state": {"reported": {"power_kw": 1.5}}})
        fleet.send([shadow], "$aws/things/ven-1/shadow/update")
        shadows = "SELECT count(*) FROM ven_shadows WHERE ven_id = 'ven-1'"
        assert wait_for_condition(lambda: stored(postgresql_url, shadows) == 1, 60)


def test_a_database_that_is_away_costs_time_and_no_message(
    tmp_path: Path, broker: Broker, fleet: Fleet, own: dict[str, str]
) -> None:
    port, topic = free_port(), own["MQTT_TOPIC_METERING"]
    kept = Path(tempfile.mkdtemp(prefix="pg."))  # pytest's folders are closed to the plain user
    own = {**own, "MQTT_RECEIVE_MAXIMUM": "100", "INGEST_BATCH_MAX": "40"}
    with postgres.postgres_server(port, ["fsync=off"], keep=kept) as url:
        with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE fleet")
        process = IngestProcess(
            tmp_path, MQTT_PORT=str(broker.port), DATABASE_URL=f"{url}/fleet", **own
        )
        process.start()
        process.wait_until_ready()
        sent = fleet.send([payload("ven-1", n) for n in range(300)], topic)
        assert all_stored(f"{url}/fleet", sent)
    try:
        sent += fleet.send([payload("ven-1", 1_000 + n) for n in range(1_000)], topic)
        assert wait_for_condition(lambda: "cannot be reached" in str(process.readiness()), 60)
        assert process.readiness()[0] == 503
        # Back-pressure: no more than what the broker may have under way waits in the process.
        assert process.metric("venagent_ingest_waiting_messages") <= 100
        with postgres.postgres_server(port, ["fsync=off"], keep=kept) as url:
            assert all_stored(f"{url}/fleet", sent), process.log()
            process.wait_until_ready()
            process.stop()
            assert stored(f"{url}/fleet") == sent
    finally:
        process.stop()
        shutil.rmtree(kept)


def test_it_waits_for_a_broker_and_comes_back_to_one_that_was_restarted(
    tmp_path: Path, postgresql_url: str, own: dict[str, str]
) -> None:
    port = free_port()
    persistent = ["persistence true", f"persistence_location {tmp_path}/"]
    process = IngestProcess(tmp_path, MQTT_PORT=str(port), DATABASE_URL=postgresql_url, **own)
    process.start()
    try:
        assert wait_for_condition(lambda: "the broker" in str(process.readiness()[1]), 60)
        sent = 0
        for round_number in range(2):
            with mosquitto(tmp_path, port, *persistent) as broker:
                process.wait_until_ready()
                fleet = Fleet(broker)
                numbers = range(100 * round_number, 100 * round_number + 100)
                sent += fleet.send([payload("v", n) for n in numbers], own["MQTT_TOPIC_METERING"])
                fleet.close()
                assert all_stored(postgresql_url, sent)
    finally:
        process.stop()


def test_asked_to_end_it_stores_what_has_arrived_and_ends_well(
    tmp_path: Path, broker: Broker, fleet: Fleet, postgresql_url: str, own: dict[str, str]
) -> None:
    slow = {**own, "INGEST_BATCH_WAIT_SEC": "10"}
    with ingest(tmp_path, broker, postgresql_url, **slow) as process:
        sent = fleet.send([payload("v", n) for n in range(50)], own["MQTT_TOPIC_METERING"])
        waiting = "venagent_ingest_waiting_messages"
        assert wait_for_condition(lambda: process.metric(waiting) == sent, 60)
        assert stored(postgresql_url) == 0
        assert process.signal(signal.SIGTERM) == 0, process.log()
        assert "Traceback" not in process.log()
    assert stored(postgresql_url) == sent


def test_a_newer_schema_is_made_at_the_start(
    tmp_path: Path, broker: Broker, postgresql_server: str, own: dict[str, str]
) -> None:
    with (
        fresh_database(postgresql_server, "template0") as url,
        ingest(tmp_path, broker, url, **own),
    ):
        assert stored(url, "SELECT count(*) FROM alembic_version") == 1
