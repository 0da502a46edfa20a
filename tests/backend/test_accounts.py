"""People behind an authenticating proxy, keys beside them, and what a role may not do."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from backend.api.api_keys import ApiKeyRole
from backend.config.api_settings import ApiSettings
from backend.config.settings_block import SettingsBlockError
from backend.store.access_tables import AuditEntryRow, PersonRow
from backend.store.database import Database
from backend.store.schema_migration import upgrade_schema

from .api_client import api
from .dispatching import add_vens, rows
from .test_api_access import make_key

ROOT = Path(__file__).parents[2]
PROXY = "10.1.2.3"
VARIABLES = {
    "API_TRUSTED_PROXIES": "10.1.0.0/16, fd00::7",
    "API_ROLES": "ops-admins=admin,dispatchers=operate,role:realm:staff=read,boss@x.example=admin",
}
ANNA = {
    "X-Forwarded-User": "4711",
    "X-Forwarded-Email": "anna@x.example",
    "X-Forwarded-Groups": "staff,dispatchers",
}


@asynccontextmanager
async def behind(
    database: Database, peer: str = PROXY, **variables: str
) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose requests come from `peer`."""
    async with api(database, **{**VARIABLES, **variables}) as client:
        app = client._transport.app  # type: ignore[attr-defined]
        transport = httpx.ASGITransport(app, client=(peer, 4_711))
        async with httpx.AsyncClient(transport=transport, base_url="http://ops.example") as other:
            yield other


@pytest.mark.asyncio
async def test_a_person_has_the_highest_role_of_their_groups(database: Database) -> None:
    await add_vens(database, {"v": 1.0})
    people: dict[str, tuple[dict[str, str], list[int]]] = {
        "operate": (ANNA, [200, 200, 403]),
        "read": ({**ANNA, "X-Forwarded-Groups": "role:realm:staff"}, [200, 403, 403]),
        "admin": ({**ANNA, "X-Forwarded-Groups": "dispatchers, ops-admins"}, [200, 200, 200]),
        "admin by name": ({**ANNA, "X-Forwarded-Email": "boss@x.example"}, [200, 200, 200]),
        "none": ({**ANNA, "X-Forwarded-Groups": "staff"}, [403, 403, 403]),
    }
    async with behind(database) as client:
        for who, (headers, expected) in people.items():
            answers = [
                await client.get("/api/vens/v", headers=headers),
                await client.patch("/api/vens/v", headers=headers, json={"name": "w"}),
                await client.get("/api/audit/", headers=headers),
            ]
            assert [answer.status_code for answer in answers] == expected, who
            if who == "read":
                reason = answers[1].json()["detail"]
                assert reason == "anna@x.example may read; this needs operate"
            if who == "none":
                assert "anna@x.example has no role here" in answers[0].json()["detail"]
        me = (await client.get("/api/me", headers=ANNA)).json()
        assert (me["name"], me["displayName"], me["kind"]) == ("anna@x.example", "4711", "person")
        assert me["role"] == "operate"
        assert "event.create" in me["may"]
        assert "audit.read" not in me["may"]
    seen = {row.name: row.role for row in await rows(database, PersonRow.__table__)}
    assert seen["boss@x.example"] == "admin"
    entries = await rows(database, AuditEntryRow.__table__)
    assert {(e.actor, e.actor_kind, e.action) for e in entries} == {
        ("anna@x.example", "person", "ven.change"),
        ("boss@x.example", "person", "ven.change"),
    }


@pytest.mark.asyncio
async def test_a_role_follows_from_whole_names_however_many_there_are(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    long = "g," * 1_995 + "ops-admins-former"  # its 4,000th character is behind ops-admins
    groups = {long: 403, "g," * 3_000 + "ops-admins": 200, "x" * 200 + "ops-admins": 403}
    apart = "group:ops-admins=admin,user:eve=read"
    async with behind(database) as client:
        for text, status in groups.items():
            answer = await client.get("/api/me", headers={**ANNA, "X-Forwarded-Groups": text})
            assert answer.status_code == status, text[-30:]
        too_long = {**ANNA, "X-Forwarded-Email": "boss@x.example" + "x" * 200}
        assert (await client.get("/api/me", headers=too_long)).status_code == 401
    async with behind(database, API_ROLES=apart) as client:
        for headers, status in (
            ({"X-Forwarded-User": "ops-admins", "X-Forwarded-Groups": "x"}, 403),
            ({"X-Forwarded-User": "a", "X-Forwarded-Groups": "eve"}, 403),
            ({"X-Forwarded-User": "a", "X-Forwarded-Groups": "ops-admins"}, 200),
            ({"X-Forwarded-User": "eve"}, 200),
        ):
            assert (await client.get("/api/me", headers=headers)).status_code == status, headers
    await database.close()


@pytest.mark.asyncio
async def test_a_proxys_own_token_is_no_api_key(sqlite_url: str) -> None:
    """As oauth2-proxy adds it with pass_authorization_header."""
    database = Database(sqlite_url)
    token = {"Authorization": "Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln"}
    async with behind(database) as client:
        person = await client.get("/api/me", headers={**ANNA, **token})
        nobody = await client.get("/api/me", headers=token)
        wrong = await client.get("/api/me", headers={**ANNA, "Authorization": "Bearer ven_wrong"})
    assert (person.status_code, person.json()["name"]) == (200, "anna@x.example")
    assert (nobody.status_code, wrong.status_code) == (401, 401)
    await database.close()


@pytest.mark.asyncio
async def test_only_the_trusted_proxy_is_believed(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    spoofed = {**ANNA, "X-Forwarded-Groups": "ops-admins", "X-Forwarded-For": PROXY}
    believed = {PROXY: 200, "10.1.255.255": 200, "::ffff:10.1.2.3": 200, "fd00::7": 200}
    strangers = {"10.2.0.1": 401, "203.0.113.9": 401, "127.0.0.1": 401, "fd00::8": 401}
    for peer, status in {**believed, **strangers}.items():
        async with behind(database, peer) as client:
            with capture_logs() as logs:
                answer = await client.get("/api/vens/", headers=spoofed)
            assert answer.status_code == status, peer
            ignored = [one for one in logs if "are ignored" in one["event"]]
            assert bool(ignored) == (status == 401), peer
            if ignored:
                assert ignored[0]["peer"] == peer
    # Where no proxy is named, nobody is believed, the proxy's address neither.
    async with behind(database, API_TRUSTED_PROXIES="", API_KEYS_REQUIRED="true") as client:
        assert (await client.get("/api/vens/", headers=ANNA)).status_code == 401
    # Neither are headers of another kind of proxy than the one that is there.
    async with behind(database) as client:
        other = {"Remote-User": "anna", "Remote-Groups": "ops-admins"}
        assert (await client.get("/api/vens/", headers=other)).status_code == 401
        assert (await client.get("/api/vens/")).status_code == 401
        # One that somebody before the proxy has added to.
        twice = [*ANNA.items(), ("X-Forwarded-Groups", "ops-admins")]
        assert (await client.get("/api/vens/", headers=twice)).status_code == 401
    await database.close()


@pytest.mark.asyncio
async def test_headers_as_several_proxies_have_them(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    kinds: dict[str, dict[str, str]] = {
        "auth-request": {
            "X-Auth-Request-User": "anna",
            "X-Auth-Request-Email": "anna@x.example",
            "X-Auth-Request-Groups": "dispatchers",
        },
        "remote": {"Remote-User": "anna", "Remote-Groups": "a,dispatchers"},
        "authentik": {"X-authentik-username": "anna", "X-authentik-groups": "a|dispatchers"},
        "cloudflare": {"Cf-Access-Authenticated-User-Email": "boss@x.example"},
    }
    for kind, headers in kinds.items():
        async with behind(database, API_PROXY_HEADERS=kind) as client:
            answer = await client.get("/api/me", headers=headers)
            assert answer.status_code == 200, kind
            assert answer.json()["role"] in ("operate", "admin")
    async with behind(database, API_ROLES="*=read") as client:
        name = {**ANNA, "X-Forwarded-Email": "", "X-Forwarded-User": "Jürgen".encode()}
        me = (await client.get("/api/me", headers=name)).json()  # type: ignore[arg-type]
        assert (me["name"], me["role"]) == ("Jürgen", "read")
    await database.close()


@pytest.mark.asyncio
async def test_a_key_goes_beside_a_person(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    admin = await make_key(database, ApiKeyRole.ADMIN)
    async with behind(database) as client:
        assert (await client.get("/api/audit/", headers={**ANNA, **admin})).status_code == 200
    async with behind(database, "203.0.113.9") as client:
        me = (await client.get("/api/me", headers={**ANNA, **admin})).json()
        assert (me["name"], me["kind"], me["role"]) == ("admin", "key", "admin")
    await database.close()


@pytest.mark.asyncio
async def test_a_page_of_another_site_asks_nothing_in_a_persons_name(sqlite_url: str) -> None:
    """The proxy's cookie goes with any page's request."""
    database = Database(sqlite_url)
    async with behind(database) as client:
        asked: list[tuple[dict[str, str], int]] = [
            ({"Origin": "https://evil.example"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": "https://ops.example", "Sec-Fetch-Site": "same-origin"}, 200),
            ({"Origin": "https://front.example", "X-Forwarded-Host": "front.example"}, 200),
        ]
        for headers, status in asked:
            answer = await client.get("/api/me", headers={**ANNA, **headers})
            assert answer.status_code == status, headers
    await database.close()


@pytest.mark.asyncio
async def test_keys_are_made_and_ended_by_an_admin(database: Database) -> None:
    headers = {**ANNA, "X-Forwarded-Groups": "ops-admins"}
    async with behind(database) as client:
        body = {"name": "dashboard", "role": "read"}
        refused = await client.post("/api/accounts/keys", headers=ANNA, json=body)
        made = await client.post("/api/accounts/keys", headers=headers, json=body)
        twice = await client.post("/api/accounts/keys", headers=headers, json=body)
        assert [each.status_code for each in (refused, made, twice)] == [403, 201, 409]
        key = {"X-API-Key": made.json()["key"]}
        assert (await client.get("/api/vens/", headers=key)).status_code == 200
        accounts = (await client.get("/api/accounts/", headers=headers)).json()
        assert [one["name"] for one in accounts["keys"]] == ["dashboard"]
        assert made.json()["key"] not in str(accounts)
        assert {"who": "role:realm:staff", "role": "read"} in accounts["roles"]
        assert [one["name"] for one in accounts["people"]] == ["anna@x.example"]
        ended = await client.delete("/api/accounts/keys/dashboard", headers=headers)
        again = await client.delete("/api/accounts/keys/dashboard", headers=headers)
        assert [ended.status_code, again.status_code] == [204, 404]
    entries = await rows(database, AuditEntryRow.__table__)
    assert [e.action for e in entries] == ["key.add", "key.revoke"]


@pytest.mark.asyncio
async def test_the_audit_is_searched(database: Database) -> None:
    await add_vens(database, {"v1": 1.0, "v2": 1.0})
    admin = {**ANNA, "X-Forwarded-Groups": "ops-admins"}
    async with behind(database) as client:
        for ven_id, headers in (("v1", ANNA), ("v2", ANNA), ("v2", admin)):
            await client.patch(f"/api/vens/{ven_id}", headers=headers, json={"name": "n"})
        event = {"requestedReductionKw": 1.0, "durationSec": 600}
        await client.post("/api/events/", headers=admin, json=event)

        async def found(**query: Any) -> list[str]:
            answer = await client.get("/api/audit/", headers=admin, params=query)
            return [f"{e['action']} {e['object']}" for e in answer.json()["entries"]]

        assert len(await found()) == 4
        assert await found(object="v1") == ["ven.change v1"]
        assert len(await found(action="event.create")) == 1
        assert len(await found(search="VEN.CH")) == 3
        assert len(await found(actor="anna@x.example")) == 4
        assert await found(search="nobody") == []
        assert await found(start="2199-01-01T00:00:00Z") == []
        assert len(await found(limit=1)) == 1


def test_settings_that_cannot_be_used_are_named() -> None:
    mistakes = {
        ("API_TRUSTED_PROXIES", "proxy.example"): "no network",
        ("API_ROLES", "dispatchers"): "gives no role",
        ("API_ROLES", "a=king"): "gives no role",
        ("API_ROLES", "a=admin;b=read"): "gives several roles",
        ("API_ROLES", "a=admin b=read"): "gives several roles",
        ("API_TRUSTED_PROXIES", "::ffff:10.0.0.0/104"): "write it like 10.0.0.0/8",
        ("API_TRUSTED_PROXIES", "::ffff:10.0.0.7"): "write it like 10.0.0.7/32",
        ("API_CORS_ORIGINS", "https://a.example/"): "is no origin",
        ("API_CORS_ORIGINS", "a.example"): "is no origin",
        ("API_CORS_ORIGINS", "https://A.example"): "is no origin",
        ("API_CORS_ORIGINS", "https://a.example:443"): "is no origin",
        ("API_CORS_ORIGINS", "https://a.example, http://b:80"): "is no origin",
        ("API_PROXY_HEADERS", "some"): "forwarded",
    }
    for (name, value), words in mistakes.items():
        with pytest.raises(SettingsBlockError, match=words):
            ApiSettings.from_environment({name: value})
    assert ApiSettings.from_environment({"API_TRUSTED_PROXIES": "10.0.0.1"}).needs_keys


@pytest.fixture
def anybodys_folder() -> Iterator[Path]:
    """A folder that another user reaches too."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_the_key_command_makes_no_file_of_its_own(anybodys_folder: Path) -> None:
    """It speaks to the database the backend runs on, as whoever owns that."""
    folder = anybodys_folder

    def key(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "backend", "key", *arguments],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    missing = key("add", "room", "--role", "read")
    assert missing.returncode == 1
    assert "start the backend first" in missing.stderr
    assert list(folder.iterdir()) == []
    file = folder / "backend.sqlite"
    url = f"sqlite:///{file}"
    upgrade_schema(url)
    made = key("add", "room", "--role", "read", DATABASE_URL=url)
    assert made.stdout.startswith("ven_"), made.stderr
    if os.geteuid() == 0:  # as root it does as the backend's own user
        for path in (folder, file):
            os.chown(path, 65_534, 65_534)
        owned = key("add", "other", "--role", "read", DATABASE_URL=url)
        assert owned.stdout.startswith("ven_"), owned.stderr
        assert {path.stat().st_uid for path in folder.iterdir()} == {65_534}
