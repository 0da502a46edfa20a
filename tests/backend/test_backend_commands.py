"""`python -m backend` as an operator types it."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from backend.__main__ import application

RUNNER = CliRunner()


@pytest.fixture
def typed(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    return RUNNER


def test_keys_are_made_listed_and_revoked(typed: CliRunner) -> None:
    made = typed.invoke(application, ["key", "add", "control-room", "--role", "operate"])
    again = typed.invoke(application, ["key", "add", "control-room", "--role", "read"])
    wrong = typed.invoke(application, ["key", "add", "other", "--role", "king"])
    listed = typed.invoke(application, ["key", "list"])
    revoked = typed.invoke(application, ["key", "revoke", "control-room"])
    twice = typed.invoke(application, ["key", "revoke", "control-room"])
    after = typed.invoke(application, ["key", "list"])
    assert made.stdout.startswith("ven_")
    assert (again.exit_code, wrong.exit_code, twice.exit_code) == (1, 1, 1)
    assert "there is a key named 'control-room' already" in again.output
    assert "use read, operate or admin" in wrong.output
    assert "operate  in force" in listed.stdout
    assert made.stdout.strip() not in listed.stdout
    assert revoked.exit_code == 0
    assert "revoked" in after.stdout


@pytest.mark.parametrize(
    ("command", "variable", "value"),
    [
        ("serve", "API_PORT", "many"),
        ("serve", "DISPATCH_LEASE_SEC", "soon"),
        ("dispatch", "DISPATCH_BATCH", "0"),
        ("ingest", "INGEST_BATCH_MAX", "-1"),
        ("migrate", "DATABASE_URL", "mysql://nowhere/none"),
        ("serve", "DATABASE_URL", "nonsense"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    typed: CliRunner, monkeypatch: pytest.MonkeyPatch, command: str, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    result = typed.invoke(application, [command])
    assert result.exit_code == 2
    assert variable in result.output or "URL" in result.output


@pytest.mark.parametrize("command", [["migrate"], ["serve"], ["key", "list"]])
def test_a_database_that_is_not_there_is_told_in_a_line(
    typed: CliRunner, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    result = typed.invoke(application, command)
    assert result.exit_code == 1
    assert result.output.count("error: the database cannot be used") == 1
    assert "Traceback" not in result.output
