"""`events`: the page's list on a terminal."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.cli import ven_control as cli
from ops.host import site_settings as settings
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.site_settings import SiteSettings
from tests.support.ports import free_port

TOKEN = "a-token-of-the-test"
OVER = {
    "event_id": "evt-1",
    "state": "completed",
    "start_ts": 20_000_000.0,  # another day: with its date
    "requested_kw": 5.0,
    "measured_kw": 4.9,
    "circuits": ["heater1", "ev1"],
    "summary": {"achieved_shed_kw": 4.957, "shed_percent": 99.1, "delivered_kwh": 0.0412},
}
RUNNING = {**OVER, "event_id": "evt-2", "state": "active", "summary": None}


class Page(BaseHTTPRequestHandler):
    """Answers as the local page does, to who has the token."""

    events: list[dict[str, Any]] = []
    scheduled: list[dict[str, Any]] = []
    scheduled_count = 0
    opted_out: dict[str, Any] | None = None

    def do_GET(self) -> None:
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        self.send_response(200 if known else 401)
        self.end_headers()
        answer: dict[str, Any] = {"events": self.events, "asked": self.path}
        if self.path == "/api/status":
            answer = {
                "scheduled": self.scheduled,
                "scheduled_count": self.scheduled_count,
                "opted_out": self.opted_out,
            }
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def page(
    paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HTTPServer]:
    monkeypatch.setattr(Paths, "from_environment", lambda: paths)
    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    _started_with(paths, settings, {"port": server.server_port, "token": TOKEN})
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _started_with(paths: Paths, begun: SiteSettings, web: dict[str, Any]) -> None:
    begun.agent_config["web"] = web
    settings.save_site_settings(paths, begun)


def events(*options: str) -> str:
    result = CliRunner().invoke(cli.app, ["events", *options], env={"COLUMNS": "120"})
    if result.exception is not None:
        raise result.exception
    return result.output


def test_the_running_event_and_what_the_last_one_delivered(
    page: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Page, "events", [RUNNING, OVER])
    running, over = events().splitlines()[1:3]
    assert running.split()[2:8] == ["evt-2", "active", "5.00", "kW", "4.90", "kW"]
    assert over.split()[2:] == [
        "evt-1",
        "completed",
        "5.00",
        "kW",
        "4.96",
        "kW",
        "99",
        "0.041",
        "heater1,",
        "ev1",
    ]


def test_those_that_wait_come_first(page: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = {**RUNNING, "event_id": "evt-3", "state": "scheduled", "measured_kw": None}
    monkeypatch.setattr(Page, "scheduled", [waiting])
    monkeypatch.setattr(Page, "events", [OVER])
    monkeypatch.setattr(Page, "scheduled_count", 1)
    assert [line.split()[2:4] for line in events().splitlines()[1:]] == [
        ["evt-3", "scheduled"],
        ["evt-1", "completed"],
    ]
    monkeypatch.setattr(Page, "scheduled_count", 180)
    assert "179 more events wait" in events()


def test_why_an_event_went_otherwise_and_who_ended_it_stands_below_the_table(
    page: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = {**OVER, "event_id": "evt-4", "state": "rejected", "reason": "guests in the house"}
    ended = {"reason": "ended by command", "ended_by": "restore", "ended_from": "site"}
    cut_short = {**OVER, "event_id": "evt-5", **ended}
    monkeypatch.setattr(Page, "events", [refused, cut_short, OVER])
    out = {"reason": "guests in the house", "until_ts": 20_000_000.0}
    monkeypatch.setattr(Page, "opted_out", out)
    shown = events()
    assert "evt-4: rejected, guests in the house\n" in shown
    assert "evt-5: completed, ended by restore (site): ended by command\n" in shown
    assert "evt-1:" not in shown
    assert "the site takes part in no events, until 20-Aug-1970" in shown


def test_what_kind_of_event_it_is_stands_where_its_power_does(
    page: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = {"kind": "limit", "requested_kw": 0.0, "export_kw": None}
    kinds = (
        ({**limit, "import_kw": 15.0}, "≤ 15.00 kW"),
        ({**limit, "import_kw": None, "export_kw": 4.2}, "out ≤ 4.20 kW"),
        ({**limit, "import_kw": 0.0, "export_kw": 0.0}, "≤ 0.00 kW, out ≤ 0.00 kW"),
        ({"kind": "load_up", "requested_kw": 1.0}, "+1.00 kW"),
        ({"kind": "shed", "test": True}, "completed (test)"),
    )
    for fields, shown in kinds:
        monkeypatch.setattr(Page, "events", [{**OVER, **fields}])
        assert shown in events(), fields
    monkeypatch.setattr(Page, "events", [OVER])
    assert "test" not in events()


def test_a_long_id_leaves_room_for_the_figures(
    page: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Page, "events", [{**OVER, "event_id": "e" * 256}])
    result = CliRunner().invoke(cli.app, ["events"], env={"COLUMNS": "80"})
    for figure in ("eee", "completed", "5.00 kW", "4.96 kW", "99"):
        assert figure in result.output


@pytest.mark.parametrize(
    "worst",
    [
        {"start_ts": 1e15, "end_ts": 1e300},
        {"start_ts": float("inf")},
        {"start_ts": float("nan")},
        {"start_ts": -1e15},
        {"start_ts": None},
        {"start_ts": "soon"},
        {"event_id": "x" * 300, "requested_kw": 1e308, "measured_kw": "much"},
        {"circuits": None, "summary": {"shed_percent": "?", "delivered_kwh": None}},
        {"event_id": "[red]\x1b[31mevil"},
    ],
)
def test_no_record_breaks_the_list(
    page: HTTPServer, monkeypatch: pytest.MonkeyPatch, worst: dict[str, Any]
) -> None:
    monkeypatch.setattr(Page, "events", [{**RUNNING, **worst}, OVER])
    shown = events()
    assert "evt-1" in shown
    assert "\x1b" not in shown


def test_before_the_first_event(page: HTTPServer) -> None:
    assert "no event yet" in events()


def test_as_json(page: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Page, "events", [OVER])
    assert json.loads(events("--json")) == [OVER]


def test_a_page_that_does_not_answer_is_named(
    paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Paths, "from_environment", lambda: paths)
    _started_with(paths, settings, {"port": 1})
    with pytest.raises(Exception, match="does not answer"):
        events()


def test_a_page_whose_port_nobody_named_is_asked_for_where_the_ven_says(
    page: HTTPServer, paths: Paths, settings: SiteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Page, "events", [OVER])
    _started_with(paths, settings, {"token": TOKEN})
    told: dict[str, Any] = {"page_url": f"http://127.0.0.1:{page.server_port}"}
    monkeypatch.setattr(
        "ops.cli.events_command.send_command_to_own_ven", lambda *_: {"ok": True, "data": told}
    )
    assert "evt-1" in events()
    told["page_url"] = None
    with pytest.raises(Exception, match="switched off"):
        events()


def test_a_page_that_cannot_be_asked_is_told_in_plain_words(
    page: HTTPServer, paths: Paths, settings: SiteSettings
) -> None:
    """In no word of Python's for it."""
    _started_with(paths, settings, {"port": page.server_port, "token": TOKEN[::-1]})
    with pytest.raises(OpsError, match=r"does not answer: HTTP 401 Unauthorized$"):
        events()
    _started_with(paths, settings, {"port": free_port(), "token": TOKEN})
    with pytest.raises(OpsError, match=r"does not answer: Connection refused$"):
        events()
