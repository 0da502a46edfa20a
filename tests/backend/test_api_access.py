"""Who may use the API, how often, and what it says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import update

from backend.api.api_keys import ApiKeyRole, add_api_key, find_api_key, revoke_api_key
from backend.api.request_rate import RequestRateLimit
from backend.config.api_settings import ApiSettings
from backend.config.settings_block import SettingsBlockError
from backend.process.timeouts import happens_within_timeout
from backend.store.database import Database
from backend.store.schema_migration import downgrade_schema
from backend.store.tables import COMMANDS
from backend.store.utc_time import utc_now

from .api_client import api, services_of
from .dispatching import LIMIT_SEC, NEVER_SEC, Clock, Wire, add_vens, eventually, quick

pytestmark = pytest.mark.asyncio
KEYS = {"API_KEYS_REQUIRED": "true"}


async def make_key(database: Database, role: ApiKeyRole) -> dict[str, str]:
    async with database.engine.begin() as connection:
        return {"X-API-Key": await add_api_key(connection, role.label, role)}


async def test_without_a_key_nothing_is_told(database: Database) -> None:
    async with api(database, **KEYS) as client:
        answers = [
            await client.get("/api/vens/"),
            await client.get("/metrics"),
            await client.get("/console/stream"),
            await client.get("/api/vens/", headers={"X-API-Key": "ven_wrong"}),
            await client.get("/api/vens/", headers={"Authorization": "Bearer ven_wrong"}),
        ]
        assert [answer.status_code for answer in answers] == [401] * 5
        assert answers[0].headers["WWW-Authenticate"] == "Bearer"
        assert (await client.get("/health")).status_code == 200


async def test_a_role_reaches_as_far_as_it_says(database: Database) -> None:
    await add_vens(database, {"v": 1.0})
    async with api(database, **KEYS) as client:
        reached = {}
        for role in ApiKeyRole:
            headers = await make_key(database, role)
            answers = [
                await client.get("/api/vens/v", headers=headers),
                await client.patch("/api/vens/v", headers=headers, json={"name": "w"}),
                await client.get("/api/audit/", headers=headers),
            ]
            reached[role] = [answer.status_code for answer in answers]
    assert reached == {
        ApiKeyRole.READ: [200, 403, 403],
        ApiKeyRole.OPERATE: [200, 200, 403],
        ApiKeyRole.ADMIN: [200, 200, 200],
    }


async def test_a_key_is_kept_as_a_hash_and_can_be_revoked(database: Database) -> None:
    async with database.engine.begin() as connection:
        key = await add_api_key(connection, "grid", ApiKeyRole.READ)
        with pytest.raises(ValueError, match="already"):
            async with connection.begin_nested():
                await add_api_key(connection, "grid", ApiKeyRole.ADMIN)
    async with database.engine.begin() as connection:
        assert await find_api_key(connection, key) == ("grid", ApiKeyRole.READ)
        stored = (await connection.exec_driver_sql("SELECT * FROM api_keys")).all()
        assert key not in str(stored)
        assert await revoke_api_key(connection, "grid")
        assert await find_api_key(connection, key) is None
        assert not await revoke_api_key(connection, "grid")


async def test_on_loopback_no_foreign_page_gets_in(sqlite_url: str) -> None:
    """A page of another site in a browser on this machine: by its origin, or by a name of its own
    that it lets point here."""
    database = Database(sqlite_url)
    async with api(database) as client:
        own = await client.get("/api/vens/", headers={"Origin": "http://localhost"})
        foreign = await client.get("/api/vens/", headers={"Origin": "http://evil.example"})
        rebound = await client.get("/api/vens/", headers={"Host": "evil.example"})
    await database.close()
    assert [own.status_code, foreign.status_code, rebound.status_code] == [200, 403, 403]


async def test_without_keys_a_proxy_on_this_machine_lets_nobody_in(sqlite_url: str) -> None:
    """uvicorn takes the caller's address from the proxy's header."""
    database = Database(sqlite_url)
    async with api(database) as client:
        app = client._transport.app  # type: ignore[attr-defined]
        outside = httpx.ASGITransport(app, client=("203.0.113.7", 4_711))
        async with httpx.AsyncClient(transport=outside, base_url="http://localhost") as stranger:
            answer = await stranger.get("/api/vens/")
    await database.close()
    assert answer.status_code == 403


async def test_a_request_larger_than_any_of_ours_is_not_read(sqlite_url: str) -> None:
    """Its body would be read before anybody knows who sends it."""
    database = Database(sqlite_url)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"[" * 100_000

    async with api(database, **KEYS) as client:
        announced = await client.post("/api/events/", content=b"[" * 5_000_000)
        streamed = await client.post("/api/events/", content=endless())
        large = await client.post(
            "/api/events/", json={"venIds": [f"{n:0100d}" for n in range(20_000)]}
        )
    await database.close()
    assert [announced.status_code, streamed.status_code] == [413, 413]
    assert "4,000,000 bytes" in announced.json()["detail"]
    assert large.status_code == 401


def stand_still(client: httpx.AsyncClient, per_sec: float) -> None:
    """No time passes for the limit of requests: nothing fills its buckets again."""
    services_of(client).rate = RequestRateLimit(per_sec, clock=lambda: 0.0)


async def test_too_many_requests_are_told_to_wait(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    async with api(database) as client:
        stand_still(client, per_sec=1.0)
        answers = [await client.get("/api/vens/") for _ in range(8)]
    await database.close()
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 4
    assert int(answers[-1].headers["Retry-After"]) >= 1


async def test_who_tries_keys_is_told_to_wait(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    good = await make_key(database, ApiKeyRole.READ)
    async with api(database, **KEYS) as client:
        stand_still(client, per_sec=1.0)
        tried = [
            (await client.get("/api/vens/", headers={"X-API-Key": f"ven_{n}"})).status_code
            for n in range(8)
        ]
    async with api(database, **KEYS) as client:
        stand_still(client, per_sec=2.0)
        known = [(await client.get("/api/vens/", headers=good)).status_code for _ in range(8)]
    await database.close()
    assert tried == [401] * 4 + [429] * 4
    assert known == [200] * 8


async def test_a_bucket_fills_again_with_time() -> None:
    now = 100.0
    limit = RequestRateLimit(2.0, clock=lambda: now)
    assert [limit.wait_sec("a") for _ in range(8)] == [0.0] * 8
    assert limit.wait_sec("a") == 0.5
    assert limit.wait_sec("b") == 0.0
    now += 0.5
    assert limit.wait_sec("a") == 0.0
    assert limit.wait_sec("a") > 0


async def test_keys_are_needed_wherever_others_can_reach() -> None:
    def needs(**variables: str) -> bool:
        return ApiSettings.from_environment(variables).needs_keys

    assert not needs()
    assert not needs(API_HOST="localhost")
    assert not needs(API_HOST="::1")
    assert needs(API_HOST="0.0.0.0")
    assert needs(API_HOST="backend.example")
    assert needs(API_KEYS_REQUIRED="true")
    with pytest.raises(SettingsBlockError, match="API_PORT"):
        needs(API_PORT="many")


async def test_other_origins_are_let_in_only_when_named(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    origin = {"Origin": "https://ops.example"}
    async with api(database) as client:
        closed = await client.get("/health", headers=origin)
    async with api(database, API_CORS_ORIGINS="https://ops.example") as client:
        opened = await client.get("/health", headers=origin)
    await database.close()
    assert "access-control-allow-origin" not in closed.headers
    assert opened.headers["access-control-allow-origin"] == "https://ops.example"


async def test_readiness_tells_what_is_wrong(database: Database) -> None:
    wire = Wire()
    async with api(database, wire) as client:
        assert (await client.get("/health/db-check")).json() == {"status": "ok", "reasons": []}
        wire.away = "the broker is away"
        answer = await client.get("/health/db-check")
        assert (answer.status_code, answer.json()["reasons"]) == (503, ["the broker is away"])
        assert (await client.get("/health")).status_code == 200
        wire.away = None
        await asyncio.to_thread(
            downgrade_schema, database.url.render_as_string(hide_password=False), "-1"
        )
        answer = await client.get("/health/db-check")
        assert "this program needs" in answer.json()["reasons"][0]


async def test_a_database_that_is_gone_is_told_not_hidden() -> None:
    database = Database("postgresql://nobody@127.0.0.1:9/none")
    async with api(database) as client:
        assert (await client.get("/health")).status_code == 200
        ready = await client.get("/health/db-check")
        asked = await client.get("/api/vens/")
    await database.close()
    assert (ready.status_code, asked.status_code) == (503, 503)
    assert "cannot be reached" in ready.json()["reasons"][0]


async def test_readiness_gives_up_on_a_database_without_breaking_it_off(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query of SQLite that is cancelled may hang for ever."""
    answers, ended = asyncio.Event(), asyncio.Event()

    async def slow(_database: Database) -> None:
        await answers.wait()
        ended.set()

    monkeypatch.setattr("backend.api.health_routes._revision", slow)
    monkeypatch.setattr("backend.api.health_routes.DATABASE_TIMEOUT_SEC", 0.01)
    database = Database(sqlite_url)
    async with api(database) as client:
        answer = await client.get("/health/db-check")
        assert answer.status_code == 503
        assert "did not answer within" in answer.json()["reasons"][0]
        answers.set()
        assert await happens_within_timeout(ended, LIMIT_SEC)
    await database.close()


async def test_a_fault_of_dispatch_fails_the_health_until_what_failed_was_tried_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("backend.dispatch.dispatcher.time", clock)

    class Broken(Wire):
        tries = 0

        async def publish(self, messages):  # type: ignore[no-untyped-def]
            self.tries += 1
            if self.tries == 1:
                clock.now += NEVER_SEC  # a slow turn: it was claimed long after it began
                raise RuntimeError("unforeseen")
            return await super().publish(messages)

    wire = Broken()
    await add_vens(database, {"first": 1.0, "second": 1.0})
    async with api(database, wire, dispatch=quick(lease_sec=NEVER_SEC)) as client:
        await ask(client, "first")
        await eventually(lambda: wire.tries)
        # A turn that has nothing to do with it is no cure.
        clock.now += 10.0
        await ask(client, "second")
        await eventually(lambda: wire.to("second"))
        answer = await client.get("/health")
        assert answer.status_code == 503
        assert "unforeseen" in answer.json()["reasons"][0]

        # The claim of what failed runs out.
        async with database.engine.begin() as connection:
            await connection.execute(update(COMMANDS).values(claimed_until=utc_now()))
        clock.now += NEVER_SEC
        services_of(client).wake()
        await eventually(lambda: wire.to("first"))

        async def well() -> bool:
            return (await client.get("/health")).status_code == 200

        await eventually(well)


async def test_a_dispatcher_that_has_nothing_to_do_has_not_stalled(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("backend.dispatch.dispatcher.time", clock)
    wire = Wire()
    await add_vens(database, {"v": 1.0})
    async with api(database, wire) as client:
        await ask(client, "v")
        await eventually(lambda: wire.sent)
        clock.now += NEVER_SEC / 2  # its next look is later
        assert (await client.get("/health/db-check")).status_code == 200


async def ask(client: httpx.AsyncClient, ven_id: str) -> None:
    """An event for that VEN alone."""
    event = {"requestedReductionKw": 1, "durationSec": 3_600, "venIds": [ven_id]}
    assert (await client.post("/api/events/", json=event)).status_code == 201


async def test_metrics_are_for_prometheus(database: Database) -> None:
    await add_vens(database, {"v": 1.5})
    async with api(database) as client:
        text = (await client.get("/metrics")).text
    assert "venagent_vens_online 1.0" in text
    assert "venagent_load_reduction_potential_kw 1.5" in text
    assert "venagent_commands_total" in text


async def test_a_page_that_is_named_may_ask_on_loopback_and_no_other(database: Database) -> None:
    ours, foreign = "https://dashboard.example", "https://elsewhere.example"
    async with api(database, API_CORS_ORIGINS=ours) as client:
        asked = {"Origin": ours, "Access-Control-Request-Method": "GET"}
        preflight = await client.options("/api/vens/", headers=asked)
        allowed = await client.get("/api/vens/", headers={"Origin": ours})
        refused = await client.get("/api/vens/", headers={"Origin": foreign})
    assert (preflight.status_code, allowed.status_code, refused.status_code) == (200, 200, 403)
    assert preflight.headers["Access-Control-Allow-Origin"] == ours
    assert allowed.headers["Access-Control-Allow-Origin"] == ours
    assert "Access-Control-Allow-Origin" not in refused.headers
