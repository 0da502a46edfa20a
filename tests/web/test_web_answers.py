"""What the page's JSON API answers."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.each_case import each_case
from tests.web.caller import Caller
from VenAgent.web.http_messages import MAX_BODY_BYTES, SECURITY_HEADERS


def begun(page: Caller, **fields: object) -> dict:
    answer = page.post("/api/events", {"shed_kw": 5.0, "duration_sec": 60, **fields})
    assert answer.status == 200, answer.body
    page.clock.now += 1.0
    page.site.step()
    return answer.json()


def test_the_page_and_its_parts_are_there() -> None:
    page = Caller()
    frame = page.get("/")
    assert (frame.status, frame.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"<main" in frame.body
    script = page.get("/static/page.js")
    assert script.headers["Content-Type"].startswith("text/javascript")
    tag = script.headers["ETag"]
    assert page.get("/static/page.js", If_None_Match=tag).status == 304
    packed = page.get("/static/page.js", Accept_Encoding="gzip, br")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.body.startswith(b"\x1f\x8b")


@each_case(
    "path", ["/static/../app.py", "/static/app.py", "/static/", "/nothing", "/api/", "//etc/passwd"]
)
def test_nothing_else_is_there(path: str) -> None:
    assert Caller().get(path).status == 404


def test_every_answer_carries_the_security_headers() -> None:
    page = Caller()
    answers = [page.get("/"), page.get("/api/status"), page.get("/nothing"), page.post("/api/x")]
    for answer in answers:
        assert dict(SECURITY_HEADERS).items() <= answer.headers.items()
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


def test_status_has_power_event_connection_and_meter() -> None:
    page = Caller()
    status = page.get("/api/status").json()
    assert status["event"] is None
    assert status["quality"] == "good"
    assert status["cloud"]["online"] is True
    assert page.get("/api/status").headers["Cache-Control"] == "no-store"
    begun(page)
    event = page.get("/api/status").json()["event"]
    assert (event["state"], event["requested_kw"]) == ("active", 5.0)


def test_circuits_say_why_they_were_shed_or_spared() -> None:
    page = Caller()
    begun(page)
    by_id = {circuit["id"]: circuit for circuit in page.get("/api/circuits").json()["circuits"]}
    assert by_id["heater1"]["state"] == "shed"
    assert by_id["heater1"]["shed"]["shed_kw"] > 4.0
    assert "spared: critical" in by_id["fridge1"]["reason"]


def test_events_come_newest_first_and_as_many_as_asked_for() -> None:
    page = Caller()
    page.site.live_an_hour()
    events = page.get("/api/events?limit=2").json()["events"]
    assert [event["event_id"] for event in events] == ["evt-3", "evt-2"]
    assert events[0]["summary"]["delivered_kwh"] > 1.0


@each_case("limit", ["0", "-1", "501", "many", "1e3", "²", "9" * 5000])
def test_a_limit_that_is_none_is_refused(limit: str) -> None:
    answer = Caller().get(f"/api/events?limit={limit}")
    assert (answer.status, answer.reason) == (
        400,
        "limit must be a whole number from 1 to 500",
    )


def test_a_query_of_many_fields_is_refused() -> None:
    answer = Caller().get("/api/events?" + "&".join("a=1" for _ in range(21)))
    assert (answer.status, answer.reason) == (400, "the query has too many fields")


def test_history_alerts_and_health() -> None:
    page = Caller()
    page.site.live_an_hour()
    history = page.get("/api/history").json()
    assert len(history["ts"]) == len(history["power_kw"]) == len(history["target_kw"]) == 719
    assert page.get("/api/alerts").json() == {"active": [], "recent": []}
    assert page.get("/healthz").json() == {"health": "GOOD"}
    page.site.offline = True
    assert page.get("/healthz").status == 503
    assert page.get("/api/alerts").json()["active"][0]["code"] == "offline"


def test_what_peers_call_live_health_and_config() -> None:
    page = Caller()
    assert page.get("/health").json() == {"health": "GOOD"}
    config = page.get("/config").json()
    assert (config["venId"], config["panelAmperageRating"], config["panelMaxKw"]) == (
        *("fake_site", 200.0),
        48.0,
    )
    page.site.offline = True
    assert page.get("/health").status == 503
    assert (page.get("/live").status, page.get("/live").json()) == (200, {"status": "live"})
    guarded = Caller(token="a-long-enough-token")
    assert (guarded.get("/live").status, guarded.get("/config").status) == (200, 401)


def test_metrics_are_what_prometheus_reads() -> None:
    page = Caller()
    page.site.house[0].name = 'a "name"\\\n'
    begun(page)
    answer = page.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = {f.name: f for f in text_string_to_metric_families(answer.body.decode())}
    assert families["venagent_event_requested_kw"].samples[0].value == 5.0
    assert families["venagent_commands_dropped"].type == "counter"
    circuits = {s.labels["circuit"]: s for s in families["venagent_circuit_power_kw"].samples}
    assert circuits["hvac1"].labels["name"] == 'a "name"\\\n'
    page.site.stale = True
    assert b"venagent_power_kw " not in page.get("/metrics").body


def test_a_name_that_was_looked_for_and_not_found_is_not_whatever_there_is() -> None:
    """Null is no name: it must not end whatever runs, nor shed from the whole panel."""
    page = Caller()
    for path, body, field in (
        ("/api/restore", {"event_id": None}, "event_id"),
        ("/api/events", {"shed_kw": 1, "circuit_id": None}, "circuit_id"),
    ):
        answer = page.post(path, body)
        assert (answer.status, answer.json()["error"].split(":")[0]) == (422, field), path
    assert page.site.commands == []


def test_an_event_is_triggered_and_restored() -> None:
    page = Caller()
    assert begun(page, event_id="mine")["event_id"] == "mine"
    assert page.post("/api/restore", {"event_id": "mine"}).json()["ok"] is True
    assert page.site.commands == [
        {"op": "event", "shed_kw": 5.0, "duration_sec": 60.0, "event_id": "mine"},
        {"op": "restore", "event_id": "mine"},
    ]


def test_an_event_without_a_name_gets_a_short_one() -> None:
    page = Caller()
    first = begun(page)["event_id"]
    page.post("/api/restore")
    page.clock.now += 1.0
    page.site.step()
    second = begun(page)["event_id"]
    assert first.startswith("page-")
    assert len(first) < 16
    assert first != second


def test_one_circuit_alone_can_be_shed() -> None:
    page = Caller()
    begun(page, circuit_id="ev1")
    assert page.site.commands[0]["op"] == "shedLoad"
    assert page.site.commands[0]["loadId"] == "ev1"


def test_a_refused_command_is_a_conflict_with_the_ack_as_its_body() -> None:
    page = Caller()
    answer = page.post("/api/events", {"shed_kw": 500})
    assert answer.status == 409
    assert "more than the panel's rating" in answer.json()["reason"]


def test_a_circuit_is_switched_and_its_priority_changed() -> None:
    page = Caller()
    assert page.post("/api/circuits/dryer1", {"enabled": False}).status == 200
    assert page.post("/api/circuits/dryer1", {"priority": 2}).status == 200
    dryer = next(c for c in page.get("/api/circuits").json()["circuits"] if c["id"] == "dryer1")
    assert (dryer["state"], dryer["priority"]) == ("off", 2)
    assert page.post("/api/circuits/pool", {"enabled": True}).status == 409


def test_opting_out_ends_the_event_and_refuses_the_next() -> None:
    page = Caller()
    begun(page)
    assert page.post("/api/opt-out", {"reason": "guests"}).status == 200
    assert page.get("/api/status").json()["event"]["state"] == "restoring"
    page.clock.now += 1.0
    page.site.step()
    refused = page.post("/api/events", {"shed_kw": 1})
    assert (refused.status, refused.json()["reason"]) == (503, "guests")
    assert page.post("/api/opt-in").status == 200
    begun(page)


@each_case(
    ("path", "value", "reason"),
    [
        ("/api/events", {}, "shed_kw: is missing"),
        ("/api/events", {"shed_kw": -1}, "shed_kw: must be greater than 0"),
        ("/api/events", {"shed_kw": 1, "op": "get"}, "op: is no field of this request"),
        ("/api/events", b'{"shed_kw": NaN}', "shed_kw: NaN is not JSON"),
        ("/api/events", b'{"shed_kw": 1e999}', "shed_kw: 1e999 must be finite"),
        ("/api/events", {"shed_kw": True}, "shed_kw: must be a number"),
        ("/api/events", {"shed_kw": "1_0"}, "shed_kw: must be a number"),
        ("/api/events", b'{"shed_kw": 1, "shed_kw": 2}', "the key 'shed_kw' stands twice"),
        ("/api/events", {"shed_kw": 1, "durationsec": 5}, "do you mean duration_sec?"),
        ("/api/circuits/ev1", {"priority": True}, "priority: must be a whole number"),
        (
            "/api/opt-out",
            {"duration_sec": 1e9},
            "duration_sec: must be less than or equal to 31622400",
        ),
        ("/api/circuits/ev1", {}, "enabled or priority"),
        ("/api/circuits/ev1", {"enabled": 0}, "enabled: must be true or false"),
        ("/api/circuits/ev1", {"priority": 6}, "priority: must be less than or equal to 5"),
        ("/api/opt-out", {"reason": "x" * 201}, "reason: may have at most 200 characters"),
        ("/api/opt-in", {"a": 1}, "a: is no field of this request"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_field(path: str, value: object, reason: str) -> None:
    page = Caller()
    answer = page.post(path, value)
    assert answer.status == 422
    assert reason in answer.reason
    assert page.site.commands == []


def test_a_body_that_is_not_json_too_large_or_of_unknown_size_is_refused() -> None:
    page = Caller()
    assert page.post("/api/events", b"{").status == 400
    assert page.post("/api/events", b"[]").reason == "not a JSON object"
    assert page.post("/api/events", b"[" * 10_000).status == 400
    assert page.post("/api/events", b" " * (MAX_BODY_BYTES + 1)).status == 413
    assert page.post("/api/events", Content_Length="many").status == 411
    assert page.post("/api/events", Transfer_Encoding="chunked").status == 411
    assert page.post("/api/events", b"shed_kw=5", Content_Type="text/plain").status == 415
    assert page.site.commands == []


def test_other_methods_are_refused() -> None:
    page = Caller()
    assert page.ask("DELETE", "/api/events", b"").status == 405
    assert page.ask("HEAD", "/api/status", b"").body == b""


def test_a_fault_of_the_page_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    page = Caller()
    page.site.house = None  # type: ignore[assignment]
    answer = page.get("/api/circuits")
    assert answer.status == 500
    assert "its log says why" in answer.reason
    assert "GET /api/circuits" in caplog.text


def test_the_live_view_is_for_so_many_at_a_time() -> None:
    page = Caller(streams=1)
    assert page.get("/api/stream").headers["Content-Type"] == "text/event-stream"
    refused = page.get("/api/stream")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
