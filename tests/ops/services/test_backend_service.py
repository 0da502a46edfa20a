"""Where `backend start|status` looks for what it has started."""

from __future__ import annotations

import pytest

from ops.host.paths import Paths
from ops.services import backend_service as backend
from tests.support.each_case import each_case


@each_case(
    ("host", "url"),
    [
        (None, "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("192.168.1.5", "http://192.168.1.5:8000"),
        ("fd00::5", "http://[fd00::5]:8000"),
    ],
)
def test_the_api_is_asked_where_it_listens(host: str | None, url: str) -> None:
    environment = {"API_PORT": "8000", "INGEST_HEALTH_PORT": "9108"}
    if host is not None:
        environment["API_HOST"] = host
    assert backend._health_urls(environment)[backend.API] == f"{url}/health/db-check"


def test_an_ingest_without_a_health_port_is_not_asked() -> None:
    urls = backend._health_urls({"API_PORT": "8000", "INGEST_HEALTH_PORT": "0"})
    assert backend._process_health(urls[backend.INGEST]) == []


def test_a_vtn_that_is_named_is_spoken_to() -> None:
    assert not backend.backend_service_speaks_openadr({})
    assert not backend.backend_service_speaks_openadr({"OPENADR_VTN_URL": " "})
    assert backend.backend_service_speaks_openadr({"OPENADR_VTN_URL": "https://utility.example"})


def test_keys_go_into_the_database_of_the_backend_that_runs(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = {"API_PORT": "8000", "DATABASE_URL": "sqlite:///file"}
    running = {"DB_HOST": "db", "DB_SSLMODE": "require"}
    monkeypatch.setattr(backend, "running_backend_service_database", lambda _paths: running)
    found = backend.with_running_backend_service_database(paths, shell)
    assert found == {"API_PORT": "8000", **running}
    running.clear()
    assert backend.with_running_backend_service_database(paths, shell) == shell
