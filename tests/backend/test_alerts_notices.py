"""Notices as their receivers get them: over HTTP and SMTP, from several instances, once each."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, update

from backend.alerts.alert_service import AlertService
from backend.alerts.alert_store import (
    ALERTS,
    AlertChange,
    store_alert_changes,
    store_alerts_of_conditions,
)
from backend.alerts.event_notices import (
    EVENT_NOTICES_BEGIN,
    put_event_notices,
    sweep_alert_notices,
)
from backend.alerts.group_notices import put_group_notices
from backend.alerts.notice_channels import NoticeChannelError, NoticeChannels
from backend.alerts.notice_outbox import NOTICES, NoticeOutbox, put_into_notice_outbox
from backend.alerts.system_conditions import SystemCondition
from backend.alerts.webhook_signature import webhook_signature_headers
from backend.config.alert_settings import AlertSettings
from backend.config.alert_targets import AlertTarget, AlertTargetRouting
from backend.config.backend_settings import BackendSettings
from backend.dispatch.event_lifecycle import activate_dispatched_event, stop_dispatched_event
from backend.measure.event_measurement import measure_next_event
from backend.store.database import Database
from backend.store.instance_report import InstanceReport, store_instance_report
from backend.store.tables import EVENTS, VENS
from backend.store.transaction import in_transaction
from backend.store.utc_time import utc_now

from .alert_receivers import is_signed, mail_receiver, text_of, web_receiver
from .api_client import api
from .dispatching import add_event, add_vens, eventually, quick, rows
from .test_alerts_store import Delivered

pytestmark = pytest.mark.asyncio
SECRET = "whsec_c2VjcmV0LW9mLXRoZS1jb250cm9sLXJvb20="
KEY = b"secret-of-the-control-room"


def routing(**target: Any) -> AlertTargetRouting:
    return AlertTargetRouting.model_validate(
        {"groupWaitSec": 0, "groupIntervalSec": 1, "targets": [{"name": "room", **target}]}
    )


async def put(database: Database, message: str | None, targets: AlertTargetRouting) -> None:
    """A trouble that is there (or is over), looked at."""
    trouble = SystemCondition("broker_away", "critical", message or "")
    now = utc_now()
    async with database.engine.begin() as connection:
        await store_alerts_of_conditions(
            connection, ("broker_away",), [trouble] if message else [], now
        )
        await put_group_notices(connection, targets, now)


async def send(database: Database, targets: AlertTargetRouting, instance: str = "i") -> int:
    channels = NoticeChannels(300.0)
    try:
        return await NoticeOutbox(database.engine, channels, targets.targets, instance).send_due()
    finally:
        await channels.close()


async def make_due(database: Database, **values: Any) -> None:
    """What waits for its next attempt need not wait any more."""
    async with database.engine.begin() as connection:
        now = utc_now() - timedelta(seconds=1)
        await connection.execute(update(NOTICES).values(not_before=now, **values))


async def test_a_webhook_is_signed_and_dated(database: Database) -> None:
    with web_receiver() as receiver:
        targets = routing(webhook=f"{receiver.url}/hook", secret=SECRET)
        begun = time.time()
        await put(database, "the broker is away", targets)
        assert await send(database, targets) == 1
        await put(database, None, targets)
        await make_due(database)
        async with database.engine.begin() as connection:
            later = utc_now() + timedelta(seconds=5)
            await put_group_notices(connection, targets, later)
        await make_due(database)
        await send(database, targets)
    (path, headers, body), _ = receiver.posts
    assert (path, headers["content-type"]) == ("/hook", "application/json")
    assert is_signed(KEY, headers, body)
    assert not is_signed(KEY, headers, body.replace(b"away", b"well"))
    assert not is_signed(KEY, {**headers, "webhook-timestamp": "1"}, body)
    assert abs(int(headers["webhook-timestamp"]) - begun) < 60
    first, last = receiver.bodies()
    assert first["type"] == "alert.firing"
    assert first["data"]["summary"] == "the broker is away"
    assert first["data"]["severity"] == "critical"
    assert (last["type"], last["data"]["count"]) == ("alert.resolved", 0)
    assert receiver.posts[1][1]["webhook-id"] != headers["webhook-id"]


async def test_the_standards_own_example_has_its_signature() -> None:
    """Standard Webhooks 1.0.0, "Verifying signatures": what its libraries make of these."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = webhook_signature_headers(
        secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_receiver_that_fails_gets_it_again_under_the_same_id(database: Database) -> None:
    with web_receiver() as receiver:
        receiver.status = 500
        targets = routing(webhook=receiver.url, secret="plain words")
        await put(database, "the broker is away", targets)
        pauses = []
        for _ in range(3):
            assert await send(database, targets) == 1
            assert await send(database, targets) == 0  # not at once
            (row,) = await rows(database, NOTICES)
            assert (row.state, row.error) == ("pending", "HTTP 500")
            pauses.append(row.not_before - utc_now())
            await make_due(database)
        assert pauses == sorted(pauses)
        receiver.status = 204
        assert await send(database, targets) == 1
        (row,) = await rows(database, NOTICES)
        assert (row.state, row.attempts, row.error) == ("sent", 4, None)
    assert len({headers["webhook-id"] for _, headers, _ in receiver.posts}) == 1
    assert all(is_signed(b"plain words", headers, body) for _, headers, body in receiver.posts)


async def test_a_receiver_that_is_away_keeps_no_other_waiting(database: Database) -> None:
    with web_receiver() as receiver:
        away = {"name": "away", "webhook": "http://127.0.0.1:9", "secret": "s"}
        here = {"name": "here", "webhook": receiver.url, "secret": "s"}
        targets = AlertTargetRouting.model_validate({"groupWaitSec": 0, "targets": [away, here]})
        now = utc_now()
        async with database.engine.begin() as connection:
            for number in range(3):
                for name in ("away", "here"):
                    body = {"type": "alert.firing", "data": {"number": number}}
                    await put_into_notice_outbox(connection, name, f"k{number}", body, now)
        await send(database, targets)
        assert [body["data"]["number"] for body in receiver.bodies()] == [0, 1, 2]
        waiting = sorted(await rows(database, NOTICES, NOTICES.c.state == "pending"))
        assert [(row.target, row.attempts) for row in waiting] == [
            *(("away", 1), ("away", 0), ("away", 0))
        ]
        assert "ConnectError" in waiting[0].error
        # What nobody takes for a day is given up, and a person can see it.
        old = utc_now() - timedelta(days=2)
        await make_due(database, created_at=old)
        await send(database, targets)
        states = [row.state for row in await rows(database, NOTICES, NOTICES.c.target == "away")]
        assert "given_up" in states


async def test_two_instances_send_nothing_twice(postgresql_url: str) -> None:
    first, second = Database(postgresql_url), Database(postgresql_url)
    with web_receiver() as receiver:
        names = [f"t{n}" for n in range(4)]
        targets = AlertTargetRouting.model_validate(
            {
                "groupWaitSec": 0,
                "targets": [{"name": n, "webhook": receiver.url, "secret": "s"} for n in names],
            }
        )
        delivered = Delivered()
        alerts = AlertSettings().model_copy(update={"look_every_sec": 0.01, "broker_away_sec": 0.0})
        settings = BackendSettings.from_environment({})
        services = [
            AlertService(database, settings, alerts, targets, delivered)
            for database in (first, second)
        ]
        running = [asyncio.create_task(service.run()) for service in services]
        for number in range(10):
            async with first.engine.begin() as connection:
                trouble = InstanceReport("dispatch", f"d{number}", "dispatch_fails", "why")
                await store_instance_report(connection, trouble)
        await eventually(lambda: len(receiver.posts) >= 40)

        async def all_sent() -> bool:
            found = await rows(first, NOTICES)
            return len(found) >= 40 and {row.state for row in found} == {"sent"}

        await eventually(all_sent)
        for service in services:
            service.close()
        await asyncio.gather(*running)
    keys = [headers["webhook-id"] for _, headers, _ in receiver.posts]
    causes = [body["data"]["cause"] for body in receiver.bodies()]
    assert len(keys) == len(set(keys)) == 40
    assert {causes.count(f"dispatch_fails:d{n}") for n in range(10)} == {4}
    await first.close()
    await second.close()


async def test_one_that_was_killed_between_sending_and_marking_sends_it_again(
    database: Database,
) -> None:
    with web_receiver() as receiver:
        targets = routing(webhook=receiver.url, secret="s")
        await put(database, "the broker is away", targets)
        channels = NoticeChannels(300.0)
        outbox = NoticeOutbox(database.engine, channels, targets.targets, "killed")
        claimed = await in_transaction(database.engine, lambda c: outbox._claim(c, set()))
        assert claimed is not None
        await channels.close()
        assert await send(database, targets) == 0  # its lease holds
        await make_due(database, claimed_until=utc_now() - timedelta(seconds=1))
        assert await send(database, targets) == 1
    assert receiver.posts[0][1]["webhook-id"] == claimed.message_id


async def test_an_e_mail_is_sent_by_smtp(database: Database) -> None:
    with mail_receiver() as (port, taken):
        address = (
            f"mailto://127.0.0.1:{port}?from=venagent@operator.example"
            "&to=on-call@operator.example&mode=insecure"
        )
        targets = routing(apprise=address)
        await put(database, "the broker is away", targets)
        assert await send(database, targets) == 1
        (row,) = await rows(database, NOTICES)
        assert (row.state, row.error) == ("sent", None)
    (mail,) = taken
    assert mail["Subject"] == "[critical] the broker is away"
    assert "on-call@operator.example" in mail["To"]
    assert "code: broker_away" in text_of(mail)
    # Nobody listens there any more: it says so, and tries again.
    await put(database, None, targets)
    async with database.engine.begin() as connection:
        await put_group_notices(connection, targets, utc_now() + timedelta(seconds=5))
    await make_due(database)
    await send(database, targets)
    last = (await rows(database, NOTICES, NOTICES.c.state == "pending"))[0]
    assert "127.0.0.1" in (last.error or "")


async def test_alertmanager_gets_alerts_in_its_own_form(database: Database) -> None:
    with web_receiver() as receiver:
        targets = routing(alertmanager=f"{receiver.url}/am/")
        await put(database, "the broker is away", targets)
        await send(database, targets)
        await put(database, None, targets)
        async with database.engine.begin() as connection:
            await put_group_notices(connection, targets, utc_now() + timedelta(seconds=5))
        await make_due(database)
        await send(database, targets)
    assert [path for path, _, _ in receiver.posts] == ["/am/api/v2/alerts"] * 2
    ((firing,), (over,)) = receiver.bodies()
    labels = {"alertname": "broker_away", "cause": "broker_away", "service": "venagent"}
    assert firing["labels"] == over["labels"] == labels  # else it takes them for two
    assert firing["annotations"]["summary"] == "the broker is away"
    assert firing["startsAt"] == over["startsAt"]
    assert firing["endsAt"] > utc_now().isoformat()
    assert over["endsAt"] < (utc_now() + timedelta(seconds=30)).isoformat()


async def test_an_events_life_is_told_once_each(database: Database) -> None:
    await add_vens(database, {"v": 5.0})
    with web_receiver() as receiver:
        targets = routing(webhook=receiver.url, secret="s", events=True, alerts=False)

        async def tell() -> None:
            for _ in range(2):
                async with database.engine.begin() as connection:
                    await put_event_notices(connection, targets.targets, utc_now())
                await make_due(database)
                await send(database, targets)

        await tell()  # the target is new: what was before would not be told
        await add_event(database, 4.0)
        await tell()
        await in_transaction(database.engine, lambda c: activate_dispatched_event(c, quick()))
        await tell()
        async with database.engine.begin() as connection:
            await connection.execute(update(EVENTS).values(modification=1))
        await tell()
        await in_transaction(
            database.engine,
            lambda c: stop_dispatched_event(c, "e1", status="completed", reason="stopped"),
        )
        await tell()
        settings = BackendSettings.from_environment({"MEASURE_AFTER_SEC": "0"})
        assert await measure_next_event(database, settings, utc_now()) == "e1"
        async with database.engine.begin() as connection:
            await connection.execute(update(EVENTS).values(actual_reduction_kw=3.5))
        await tell()
    kinds = [body["type"] for body in receiver.bodies()]
    words = ("created", "started", "modified", "ended", "measured")
    assert kinds == [f"event.{word}" for word in words]
    ended, measured = (body["data"] for body in receiver.bodies()[-2:])
    assert (ended["id"], ended["status"], ended["endReason"]) == ("e1", "completed", "stopped")
    assert (ended["kind"], ended["test"], ended["dryRun"]) == ("event", False, False)
    assert (ended["actualReductionKw"], ended["actualReductionKnown"]) == (0.0, False)
    assert (measured["actualReductionKw"], measured["actualReductionKnown"]) == (3.5, True)
    assert all(is_signed(b"s", headers, body) for _, headers, body in receiver.posts)
    assert json.loads(receiver.posts[0][2])["data"]["requestedReductionKw"] == 4.0
    assert await rows(database, ALERTS) == []


async def test_a_new_target_is_not_told_what_was_before(database: Database) -> None:
    """Nor is any target told anew when old notices are swept, or when it was told by a version
    that noted no beginning."""
    old = AlertTarget(name="old", webhook="http://x.example", secret="s", events=True)
    new = AlertTarget(name="new", webhook="http://y.example", secret="s", events=True)

    async def tell(*targets: AlertTarget) -> None:
        async with database.engine.begin() as connection:
            await put_event_notices(connection, targets, utc_now())

    async def told(name: str) -> list[str]:
        kept = (NOTICES.c.target == name) & (NOTICES.c.state == "pending")
        found = sorted(await rows(database, NOTICES, kept), key=lambda row: row.id)
        return [row.key for row in found]

    async def end(event_id: str) -> None:
        await in_transaction(
            database.engine,
            lambda c: stop_dispatched_event(c, event_id, status="completed", reason="stopped"),
        )

    await add_vens(database, {"v": 5.0})
    await tell(old)
    for event_id in ("z_first", "a_second"):
        await add_event(database, 4.0, event_id=event_id)
    await in_transaction(database.engine, lambda c: activate_dispatched_event(c, quick()))
    await end("z_first")
    await tell(old, new)
    assert (await told("old"))[:2] == ["event/z_first/created", "event/a_second/created"]
    assert len(await told("old")) == 4
    assert await told("new") == []
    # From here on both are told the same; sweeping what is old changes nothing.
    async with database.engine.begin() as connection:
        long_ago = utc_now() - timedelta(days=400)
        await connection.execute(update(NOTICES).values(created_at=long_ago))
        now = utc_now()
        await put_into_notice_outbox(connection, "old", "event/gone/ended", {"type": "t"}, now)
        await sweep_alert_notices(connection, now + timedelta(seconds=1), now)
        await connection.execute(
            delete(NOTICES).where(NOTICES.c.target == "old", NOTICES.c.kind == EVENT_NOTICES_BEGIN)
        )
    before = await told("old")
    assert len(before) == 4
    await end("a_second")
    await add_event(database, 4.0, event_id="third")
    for _ in range(2):
        await tell(old, new)
    happened = ["event/a_second/ended", "event/third/created"]
    assert (await told("old"))[len(before) :] == happened
    assert await told("new") == happened
    async with api(database) as client:
        listed = (await client.get("/api/alerts/notices")).json()["notices"]
    assert {one["kind"] for one in listed} == {"event.created", "event.started", "event.ended"}


async def test_a_target_is_told_of_its_groups(database: Database) -> None:
    """Of tags, feeders and zones."""
    await add_vens(database, {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0})
    async with database.engine.begin() as connection:
        await connection.execute(
            update(VENS).where(VENS.c.id == "a").values(tags=["north", "schools"])
        )
        await connection.execute(update(VENS).where(VENS.c.id == "b").values(feeder="north"))
        await connection.execute(update(VENS).where(VENS.c.id == "c").values(zone="south"))
        now = utc_now()
        changes = [AlertChange(v, "meter_stale", "warning", "silent", now) for v in "abcd"]
        await store_alert_changes(connection, changes, now)
        targets = routing(webhook="http://x.example", secret="s", groups=["north"])
        await put_group_notices(connection, targets, now)
    (notice,) = await rows(database, NOTICES)
    assert notice.payload["data"]["venIds"] == ["a", "b"]


async def test_what_is_secret_in_an_address_is_not_told_again(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of a library, and an answer that repeats the path, are stored and shown to all who
    may read."""
    said = {
        "webhook": ("https://u:s3cret@hooks.example:8443/services/T0/t0ken?k=k3y", "hooks.example"),
        "alertmanager": ("http://u:s3cret@am.example/t0ken/k3y", "am.example"),
        "apprise": ("slack://s3cret/t0ken/k3y", "slack"),
    }

    class Failing(NoticeChannels):
        async def send(self, target: AlertTarget, message_id: str, payload: dict[str, Any]) -> None:
            address = target.webhook or target.alertmanager or target.apprise or ""
            text = f"no {address}: s3cret at hooks.example am.example slack /services/T0/t0ken k3y"
            raise NoticeChannelError(text) if is_ours else RuntimeError(text)

    caplog.set_level("INFO")
    for is_ours in (True, False):
        for kind, (address, host) in said.items():
            more = {"secret": "whsec_s3cret"} if kind == "webhook" else {}
            targets = routing(**{kind: address}, **more)
            async with database.engine.begin() as connection:
                await connection.execute(delete(NOTICES))
            await put(database, f"{kind} {is_ours}", targets)
            async with database.engine.begin() as connection:
                payload = {"type": "event.created", "data": {"id": "e1"}}
                await put_into_notice_outbox(connection, "room", "k", payload, utc_now())
            channels = Failing(300.0)
            await NoticeOutbox(database.engine, channels, targets.targets, "i").send_due()
            await channels.close()
            (error,) = {row.error for row in await rows(database, NOTICES) if row.error}
            assert host in error, error
            for secret in ("s3cret", "t0ken", "k3y"):
                assert secret not in error, (kind, error)
                assert secret not in caplog.text, kind
