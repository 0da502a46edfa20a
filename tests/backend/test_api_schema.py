"""Whatever is sent to the API, the answer is one that its OpenAPI document tells."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, note, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from backend.api.api_app import make_api_app
from backend.config.api_settings import ApiSettings
from backend.config.backend_settings import BackendSettings
from backend.store.database import Database

from .api_client import add_ack, add_house
from .dispatching import add_event

CALLS = {
    ("GET", "/api/events/{event_id}/curve"),
    ("GET", "/api/settlement"),
    ("GET", "/api/programmes/"),
    ("POST", "/api/programmes/"),
    ("GET", "/api/programmes/{programme_id}"),
    ("PUT", "/api/programmes/{programme_id}"),
    ("DELETE", "/api/programmes/{programme_id}"),
    ("GET", "/api/groups/"),
    ("POST", "/api/groups/"),
    ("DELETE", "/api/groups/{name}"),
    ("POST", "/api/events/preview"),
    ("GET", "/api/vens/"),
    ("POST", "/api/vens/"),
    ("GET", "/api/vens/summary"),
    ("GET", "/api/vens/{ven_id}"),
    ("PATCH", "/api/vens/{ven_id}"),
    ("DELETE", "/api/vens/{ven_id}"),
    ("POST", "/api/vens/{ven_id}/commands/status"),
    ("GET", "/api/vens/{ven_id}/loads"),
    ("GET", "/api/vens/{ven_id}/loads/{load_id}"),
    ("PATCH", "/api/vens/{ven_id}/loads/{load_id}"),
    ("POST", "/api/vens/{ven_id}/loads/{load_id}/commands/shed"),
    ("GET", "/api/vens/{ven_id}/telemetry"),
    ("GET", "/api/vens/{ven_id}/circuits/history"),
    ("GET", "/api/vens/{ven_id}/history"),
    ("GET", "/api/vens/{ven_id}/loads/{load_id}/history"),
    ("GET", "/api/vens/{ven_id}/events"),
    ("GET", "/api/vens/{ven_id}/shadow"),
    ("POST", "/api/vens/{ven_id}/send-event"),
    ("GET", "/api/events/"),
    ("POST", "/api/events/"),
    ("GET", "/api/events/current"),
    ("GET", "/api/events/history"),
    ("GET", "/api/events/{event_id}"),
    ("DELETE", "/api/events/{event_id}"),
    ("POST", "/api/events/{event_id}/stop"),
    ("GET", "/api/events/{event_id}/metrics"),
    ("GET", "/api/events/{event_id}/acks"),
    ("GET", "/api/events/{event_id}/performance"),
    ("GET", "/api/stats/network"),
    ("GET", "/api/stats/loads"),
    ("GET", "/api/stats/network/history"),
    ("GET", "/api/me"),
    ("GET", "/api/accounts/"),
    ("POST", "/api/accounts/keys"),
    ("DELETE", "/api/accounts/keys/{key_name}"),
    ("GET", "/api/alerts/"),
    ("GET", "/api/alerts/causes"),
    ("GET", "/api/alerts/notices"),
    ("GET", "/api/alerts/{alert_id}"),
    ("POST", "/api/alerts/acknowledge"),
    ("GET", "/api/audit/"),
    ("GET", "/api/openadr/"),
    ("GET", "/health"),
    ("GET", "/health/db-check"),
    ("GET", "/health/demo-status"),
    ("GET", "/metrics"),
}
"""The calls of docs/rest-api.md, and audit and metrics."""


CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


async def _fill(url: str) -> None:
    """A house and an event, so that some of what is asked is there."""
    database = Database(url)
    await add_house(database, "house", samples=5)
    await add_ack(database, "house", "e1")
    await add_event(database, 2.0)
    await database.close()


def _app_on(url: str) -> Any:
    asyncio.run(_fill(url))
    return make_api_app(
        BackendSettings.from_environment({}),
        ApiSettings.from_environment(
            {"API_REQUESTS_PER_SEC": "100000", "API_KEYS_REQUIRED": "false"}
        ),
        _LoopFree(url),
    )


class _OneOfSeveral:
    """The application that is asked next: to think up a request costs more than to answer it, so
    each is asked of all."""

    def __init__(self, **apps: Any) -> None:
        self.apps = apps
        self._asked = next(iter(apps.values()))

    def ask(self, name: str) -> None:
        note(f"of the application on {name}")
        self._asked = self.apps[name]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Without keys only this machine may ask."""
        await self._asked({**scope, "client": ("127.0.0.1", 1)}, receive, send)


class _LoopFree(Database):
    """schemathesis runs each request in a loop of its own: connections are not kept over them."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        options: dict[str, Any] = {} if self.is_postgresql else {"connect_args": {"timeout": 10}}
        self.engine = create_async_engine(self.url, poolclass=NullPool, **options)


def test_every_answer_is_as_the_document_says_on_both_databases(
    postgresql_url: str, sqlite_url: str
) -> None:
    several = _OneOfSeveral(postgresql=_app_on(postgresql_url), sqlite=_app_on(sqlite_url))
    schema = schemathesis.openapi.from_asgi("/openapi.json", several)
    answered: dict[str, set[int]] = defaultdict(set)
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=15,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def check(case: Any) -> None:
            label = case.operation.label
            if "ven_id" in case.path_parameters and label.split()[0] != "DELETE":
                case.path_parameters["ven_id"] = "house"
            for name in several.apps:
                several.ask(name)
                response = case.call(headers={"Host": "localhost"}, timeout=120)
                case.validate_response(response, checks=CHECKS)
                answered[label].add(response.status_code)

        check()
    assert len(answered) == len(CALLS)
    succeeded = {label for label, codes in answered.items() if any(c < 300 for c in codes)}
    assert len(succeeded) > len(CALLS) / 2, sorted(answered.keys() - succeeded)


def test_every_call_of_the_contract_is_there() -> None:
    app = make_api_app(
        BackendSettings.from_environment({}),
        ApiSettings.from_environment({}),
        Database("sqlite:///never-opened.sqlite"),
    )
    paths = app.openapi()["paths"]
    assert {(m.upper(), path) for path, methods in paths.items() for m in methods} == CALLS
    bodies = [c["requestBody"] for p in paths.values() for c in p.values() if "requestBody" in c]
    names = {
        body["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1] for body in bodies
    }
    shapes = app.openapi()["components"]["schemas"]
    assert all(shapes[name]["examples"] for name in names)
