"""What the page answers of the past: energy, an event in full, a circuit's curve; JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

import pytest

from tests.web.caller import TOKEN, Caller, OneReader
from VenAgent.contract import MAX_TEXT_CHARACTERS
from VenAgent.web.http_messages import HttpError
from VenAgent.web.power_pages import INTERVALS_OF_A_PAGE, MINUTES_OF_A_PAGE, PowerPages

NOW = 1_800_000_000.0


@pytest.fixture
def page() -> Caller:
    page = Caller()
    page.site.live_an_hour()
    return page


def table(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode())))


def test_weeks_of_power_come_in_columns(page: Caller) -> None:
    power = page.get("/api/power?days=60").json()
    assert power["interval_sec"] == 900
    count = len(power["ts"])
    assert count > 35 * 90
    assert all(len(power[name]) == count for name in ("power_kw", "covered_sec", "in_event"))
    assert power["ts"] == sorted(set(power["ts"]))
    week = page.get("/api/power").json()["ts"]
    assert week == [ts for ts in power["ts"] if ts >= page.clock.now - 7 * 86_400]
    assert len(page.get("/api/power?days=1").json()["ts"]) <= 97


@pytest.mark.parametrize(
    "query",
    [
        "days=0",
        "days=61",
        "days=1e9",
        "days=-1",
        "days=",
        "days=7&days=8",
        "days=\uff17",
        "days=1_0",
    ],
)
def test_a_range_that_is_none_is_refused_by_name(page: Caller, query: str) -> None:
    for path in ("/api/power", "/api/power.csv"):
        answer = page.get(f"{path}?{query}")
        assert answer.status == 400
        assert "days" in answer.reason


def test_the_power_is_downloaded_as_a_table(page: Caller) -> None:
    answer = page.get("/api/power.csv?days=2")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="power.csv"'
    rows = table(answer.body)
    assert list(rows[0]) == ["time", "power_kw", "energy_kwh", "covered_sec", "in_event"]
    first = rows[0]
    assert float(first["energy_kwh"]) == pytest.approx(float(first["power_kw"]) / 4, abs=1e-3)
    when = datetime.fromisoformat(first["time"].replace("Z", "+00:00"))
    assert page.clock.now - when.timestamp() <= 2 * 86_400


def test_an_event_is_opened(page: Caller) -> None:
    event = page.get("/api/event?id=evt-3").json()
    assert event["circuits"][0]["name"]
    assert [ack["status"] for ack in event["acks"]] == ["accepted", "measured", "completed"]
    curve = page.get("/api/event/power?id=evt-3").json()
    assert curve["point_sec"] == 60
    assert curve["ts"][0] == pytest.approx(event["start_ts"] - 900, abs=60)
    assert curve["ts"][-1] == pytest.approx(event["end_ts"] + 900, abs=61)
    assert set(curve) == {"point_sec", "ts", "power_kw", "baseline_kw", "target_kw"}


def test_an_event_that_lasts_for_ever_does_not_read_for_ever(page: Caller) -> None:
    """The worst record that can be stored: what it costs is bounded."""
    page.site.extreme = True
    for start, end in (
        (0.0, None),
        (NOW, None),
        (None, None),
        (0.0, 1e15),
        (-1e15, 1e15),
        (1e15, -1e15),
        (1e15, 1e15),
    ):
        page.site.past[0].update(event_id="long", start_ts=start, end_ts=end)
        page.site.archive.asked = 0
        answer = page.get("/api/event/power?id=long")
        assert (answer.status, len(answer.json())) == (200, 5)
        assert page.site.archive.asked <= 26 // 4 + 3


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("id=", 400),
        ("id=" + "x" * 257, 400),
        ("id=evt-3&id=evt-2", 400),
        ("id=nothing", 404),
        ("id=%00", 404),
        ("id=%ff%fe", 404),
        ("id=../../etc/passwd", 404),
        ("&".join(f"a{n}=1" for n in range(30)), 400),
    ],
)
def test_an_event_that_is_none_is_said_to_be_none(page: Caller, query: str, status: int) -> None:
    for path in ("/api/event", "/api/event/power"):
        answer = page.get(f"{path}?{query}")
        assert (answer.status, bool(answer.reason)) == (status, True)


def test_an_event_with_the_longest_id_of_a_command_is_found_and_ended() -> None:
    page = Caller()
    event_id = "\u20ac" * MAX_TEXT_CHARACTERS
    wanted = {"shed_kw": 1.0, "event_id": event_id}
    assert page.post("/api/events", wanted).status == 200
    found = page.get(f"/api/event?id={quote(event_id)}")
    assert (found.status, found.json()["event_id"]) == (200, event_id)
    assert page.get(f"/api/event/power?id={quote(event_id)}").status == 200
    assert page.post("/api/restore", {"event_id": event_id}).status == 200


def test_events_are_downloaded_and_no_id_is_a_formula(page: Caller) -> None:
    page.site.past[0].update(event_id='=HYPERLINK("http://x")', reason="+1\n2,3", end_ts=1e15)
    page.site.past[1].update(kind="limit", test=True, import_kw=15.0, ended_from="site")
    rows = table(page.get("/api/events.csv").body)
    assert len(rows) == 4
    assert rows[0]["event_id"] == '\'=HYPERLINK("http://x")'
    assert rows[0]["reason"] == "'+1\n2,3"
    assert rows[0]["end"] == ""
    assert rows[1]["circuits"] == "heater1"
    told = [rows[1][name] for name in ("kind", "test", "import_kw", "ended_from")]
    assert told == ["limit", "True", "15.0", "site"]
    assert float(rows[1]["delivered_kwh"]) > 0
    moment = datetime.fromisoformat(rows[1]["start"].replace("Z", "+00:00"))
    assert moment.astimezone(timezone.utc).timestamp() == page.site.past[1]["start_ts"]


def test_a_circuits_curve(page: Caller) -> None:
    curve = page.get("/api/circuits/ev1/power").json()
    assert curve["point_sec"] == 60
    assert len(curve["ts"]) == len(curve["power_kw"]) == 1440
    assert len(page.get("/api/circuits/ev1/power?hours=1").json()["ts"]) == 60
    answer = page.get("/api/circuits/ev1/power.csv?hours=2")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="ev1.csv"'
    assert len(table(answer.body)) == 120
    assert page.get("/api/circuits/nothing/power").status == 404
    assert page.get("/api/circuits/ev1/power?hours=337").status == 400
    assert page.get("/api/circuits/ev1/power.exe").status == 404


def test_the_past_needs_the_token_as_all_else() -> None:
    page = Caller(token=TOKEN)
    for path in ("/api/power", "/api/power.csv", "/api/event?id=e", "/api/events.csv"):
        assert page.get(path).status == 401
    assert page.get("/api/circuits/ev1/power").status == 401
    assert page.get("/api/power", Authorization=f"Bearer {TOKEN}").status == 200


def test_a_slip_in_a_query_is_refused_by_name(page: Caller) -> None:
    for path, words in (
        ("/api/events?limt=5", "do you mean limit?"),
        ("/api/event?ID=evt-3", "do you mean id?"),
        ("/api/power?day=7", "do you mean days?"),
        ("/api/history?limit=5", "limit: is no field of this query"),
        ("/api/status?%00=1", "is no field of this query"),
        ("/api/circuits/ev1/power?hour=1", "do you mean hours?"),
        ("/api/circuits/ev1/power.csv?hour=1", "do you mean hours?"),
        ("/api/power?days=7&Days=8", "do you mean days?"),
    ):
        answer = page.get(path)
        assert answer.status == 400, path
        assert words in answer.reason
    for path in ("/api/status?x_now=1", "/api/events?limit=5&x_=", "/?anything=1", "/metrics?a=b"):
        assert page.get(path).status == 200, path


def test_a_reason_of_spaces_is_none(page: Caller) -> None:
    assert page.post("/api/opt-out", {"reason": " \t "}).status == 422
    assert page.post("/api/opt-out", {"reason": "  guests "}).status == 200
    assert page.site.refused_reason == "guests"


def test_what_is_over_is_asked_of_the_agent_once(page: Caller) -> None:
    archive = page.site.archive
    page.get("/api/power?days=60")
    pages = archive.asked
    assert pages <= 60 * 96 // INTERVALS_OF_A_PAGE + 2
    page.get("/api/power.csv?days=60")
    assert archive.asked - pages <= 2  # the one that is open, and one that ended just now
    archive.asked = 0
    page.get("/api/circuits/ev1/power?hours=336")
    assert archive.asked <= 336 * 60 // MINUTES_OF_A_PAGE + 2
    page.clock.now += 1_000.0
    archive.asked = 0
    page.get("/api/circuits/ev1/power?hours=336")
    assert archive.asked > 50  # the clock may have been set back meanwhile


def test_one_reader_of_the_past_at_a_time() -> None:
    """However many ask, the agent is asked one page after the other."""
    lock, refused = OneReader(), []

    class Asked:
        def interval_power(self, start_ts: float, count: int) -> dict[str, Any]:
            with pytest.raises(HttpError, match="try again") as caught:  # another one meanwhile
                pages.intervals(NOW - 1_000.0)
            refused.append(caught.value.status)
            return {"ts": [start_ts], "power_kw": [1.0]}

    pages = PowerPages(Asked(), lock, lambda: None, lambda: NOW)  # type: ignore[arg-type]
    assert pages.intervals(NOW - 1_000.0).keys() == {"ts", "power_kw"}
    assert refused == [503]


def test_a_page_that_fails_lets_the_next_reader_in() -> None:
    lock = OneReader()

    class Broken:
        def interval_power(self, start_ts: float, count: int) -> dict[str, Any]:
            raise ValueError("the agent could not answer")

    pages = PowerPages(Broken(), lock, lambda: None, lambda: NOW)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="could not"):
        pages.intervals(NOW - 1_000.0)
    assert lock.held is False


@pytest.fixture(autouse=True)
def no_error(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that is asked here is a fault of the page."""
    yield
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
