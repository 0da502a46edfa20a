"""Who may ask the local page, and who may change something through it."""

from __future__ import annotations

from tests.support.each_case import each_case
from tests.web.caller import TOKEN, Caller
from VenAgent.config.web_config import _is_loopback
from VenAgent.web.access_guard import (
    CHANGES_AT_ONCE,
    CHANGES_OF_ALL,
    CLIENTS_REMEMBERED,
    SESSION_SEC,
    TRIES_PER_MINUTE,
)

SHED = {"shed_kw": 5.0}


@each_case("host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "192.168.1.7:8080"])
def test_an_address_or_localhost_names_this_page(host: str) -> None:
    assert Caller().get("/api/status", Host=host).status == 200


@each_case(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "",
        "a@127.0.0.1",
        "[::1",
        "x:y",
    ],
)
def test_a_name_pointed_at_us_from_outside_is_refused(host: str) -> None:
    page = Caller()
    for answer in (page.get("/", Host=host), page.post("/api/events", SHED, Host=host)):
        assert answer.status == 421
        assert "web.names" in answer.reason
    assert page.site.commands == []


def test_a_name_of_the_configuration_is_ours() -> None:
    page = Caller(names=["Panel.Example"])
    assert page.get("/", Host="panel.example:8080").status == 200
    assert page.get("/", Host="panel.example.:8080").status == 200


@each_case(
    ("headers", "reason"),
    [
        ({"X_CSRF_Token": ""}, "X-CSRF-Token is missing or old"),
        ({"X_CSRF_Token": "wrong"}, "X-CSRF-Token is missing or old"),
        ({"Origin": "http://evil.example"}, "another site's page"),
        ({"Origin": "http://127.0.0.1:9999"}, "another site's page"),
        ({"Origin": "null"}, "another site's page"),
        ({"Origin": "http://["}, "another site's page"),
        ({"Origin": "127.0.0.1:8080"}, "another site's page"),
        ({"Sec_Fetch_Site": "cross-site"}, "another site's page"),
        ({"Sec_Fetch_Site": "same-site"}, "another site's page"),
    ],
)
@each_case(
    "path", ["/api/events", "/api/restore", "/api/circuits/ev1", "/api/opt-out", "/api/opt-in"]
)
def test_a_change_from_elsewhere_is_refused(
    path: str, headers: dict[str, str], reason: str
) -> None:
    page = Caller()
    answer = page.post(path, {**SHED, "enabled": True}, **headers)
    assert answer.status == 403
    assert reason in answer.reason
    assert page.site.commands == []


def test_a_script_without_an_origin_needs_the_csrf_token_too() -> None:
    page = Caller()
    token = page.get("/api/session").json()["csrf_token"]
    assert page.post("/api/events", SHED, Origin="", X_CSRF_Token=token).status == 200


def test_behind_a_tls_proxy_the_origin_is_the_proxys_name() -> None:
    page = Caller(names=["ven.example"])
    answer = page.post("/api/events", SHED, Host="ven.example", Origin="https://ven.example")
    assert answer.status == 200


def test_without_control_everything_is_shown_and_nothing_changed() -> None:
    page = Caller(read_only=True)
    assert page.get("/api/session").json()["read_only"] is True
    assert page.get("/api/circuits").status == 200
    for path in ("/api/events", "/api/restore", "/api/circuits/ev1", "/api/opt-out", "/api/opt-in"):
        answer = page.post(path, SHED)
        assert answer.status == 403
        assert "web.read_only" in answer.reason
    assert page.site.commands == []


def test_with_a_token_nothing_is_shown_without_it() -> None:
    page = Caller(token=TOKEN)
    for path in ("/api/status", "/api/session", "/api/stream", "/metrics", "/api/nothing"):
        answer = page.get(path)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert page.post("/api/events", SHED).status == 401
    assert b"<main" in page.get("/").body
    assert page.get("/").body == page.get("/login").body
    assert page.get("/healthz").json() == {"health": "GOOD"}
    assert page.site.commands == []


def test_a_bearer_header_with_the_token_is_let_in() -> None:
    page = Caller(token=TOKEN)
    assert page.get("/metrics", Authorization=f"Bearer {TOKEN}").status == 200
    assert page.get("/metrics", Authorization=f"bearer  {TOKEN}").status == 200
    for wrong in (f"Basic {TOKEN}", "Bearer", "Bearer x", f"Bearer {TOKEN}x", "Bearer é"):
        assert page.get("/metrics", Authorization=wrong).status == 401


def test_logging_in_gives_a_session_that_ends() -> None:
    page = Caller(token=TOKEN)
    answer = page.post("/login", {"token": TOKEN})
    assert answer.status == 204
    cookie, *attributes = answer.headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict"} <= set(attributes)
    assert TOKEN not in cookie
    assert page.get("/api/status", Cookie=f"other=1; {cookie}").status == 200
    assert page.get("/", Cookie=cookie).body != page.get("/login").body
    assert page.get("/api/status", Cookie=cookie + "0").status == 401
    page.clock.now += SESSION_SEC + 1.0
    assert page.get("/api/status", Cookie=cookie).status == 401


def test_a_live_view_ends_with_its_session() -> None:
    page = Caller(token=TOKEN, streams=3)
    cookie = page.post("/login", {"token": TOKEN}).headers["Set-Cookie"]
    page.clock.now += 60.0
    assert page.get("/api/stream", Cookie=cookie).status == 200
    assert page.stream_until_ts == page.clock.now - 60.0 + SESSION_SEC
    assert page.get("/api/stream", Authorization=f"Bearer {TOKEN}").status == 200
    assert page.stream_until_ts is None


def test_a_session_outlives_the_agent_but_not_the_token() -> None:
    cookie = Caller(token=TOKEN).post("/login", {"token": TOKEN}).headers["Set-Cookie"]
    assert Caller(token=TOKEN).get("/api/status", Cookie=cookie).status == 200
    assert Caller(token=TOKEN + "2").get("/api/status", Cookie=cookie).status == 401


def test_a_session_alone_is_not_enough_for_a_change() -> None:
    page = Caller(token=TOKEN)
    cookie = page.post("/login", {"token": TOKEN}).headers["Set-Cookie"]
    assert page.post("/api/events", SHED, Cookie=cookie, X_CSRF_Token="").status == 403
    assert page.post("/api/events", SHED, Cookie=cookie).status == 200


def test_logging_out_takes_the_cookie_away() -> None:
    page = Caller(token=TOKEN)
    cookie = page.post("/login", {"token": TOKEN}).headers["Set-Cookie"]
    answer = page.post("/logout", Cookie=cookie)
    assert answer.status == 204
    assert "Max-Age=0" in answer.headers["Set-Cookie"]


@each_case("token", ["", "wrong", "é", "\ud800", None, 5])
def test_a_wrong_token_is_refused(token: object) -> None:
    answer = Caller(token=TOKEN).post("/login", {"token": token})
    assert answer.status in (403, 422)
    assert "Set-Cookie" not in answer.headers


def test_nobody_logs_in_from_another_sites_page_or_where_no_token_is_set() -> None:
    page = Caller(token=TOKEN)
    evil = page.post("/login", {"token": TOKEN}, Origin="http://evil.example")
    assert evil.status == 403
    assert Caller().post("/login", {"token": ""}).status == 403


def test_after_many_wrong_tokens_a_client_has_to_wait() -> None:
    page = Caller(token=TOKEN)
    for _ in range(TRIES_PER_MINUTE):
        assert page.post("/login", {"token": "wrong"}).status == 403
    refused = page.post("/login", {"token": TOKEN})
    assert (refused.status, refused.headers["Retry-After"]) == (429, "60")
    assert page.get("/metrics", Authorization=f"Bearer {TOKEN}").status == 429
    page.clock.now += 61.0
    assert page.post("/login", {"token": TOKEN}).status == 204


def test_the_clients_remembered_are_bounded() -> None:
    page = Caller(token=TOKEN)
    for number in range(CLIENTS_REMEMBERED + 20):
        page.guard._failures.add(f"client-{number}")
    assert len(page.guard._failures._by_client) == CLIENTS_REMEMBERED


def test_what_only_this_machine_reaches() -> None:
    assert all(map(_is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(_is_loopback, ("0.0.0.0", "::", "192.168.1.7", "panel.example")))


PROXY = "192.0.2.7"
"""Whom the requests of these tests come from."""


def test_below_a_path_of_a_proxy_that_leaves_it_in() -> None:
    page = Caller(token=TOKEN, prefix="/site-1")
    assert page.get("/site-1/healthz").json() == {"health": "GOOD"}
    assert page.get("/healthz").status == 200  # a proxy that takes it away
    moved = page.get("/site-1")
    assert (moved.status, moved.headers["Location"]) == (308, "/site-1/")
    cookie = page.post("/site-1/login", {"token": TOKEN}).headers["Set-Cookie"]
    assert "Path=/site-1/;" in cookie
    assert page.get("/site-12/healthz").status == 401


def test_a_proxy_that_is_known_says_who_asks_and_where() -> None:
    page = Caller(token=TOKEN, names=["ven.example"], proxies=[PROXY])
    asked = {"X_Forwarded_For": "198.51.100.9, 203.0.113.4", "X_Forwarded_Host": "ven.example"}
    answer = page.post(
        "/login",
        {"token": TOKEN},
        Origin="https://ven.example",
        X_Forwarded_Prefix="/site-1",
        **asked,
    )
    assert answer.status == 204
    assert "Path=/site-1/;" in answer.headers["Set-Cookie"]
    for _ in range(TRIES_PER_MINUTE):
        page.get("/metrics", Authorization="Bearer wrong", **asked)
    assert page.get("/metrics", Authorization=f"Bearer {TOKEN}", **asked).status == 429
    other = {**asked, "X_Forwarded_For": "203.0.113.5"}
    assert page.get("/metrics", Authorization=f"Bearer {TOKEN}", **other).status == 200


def test_a_stranger_that_calls_itself_a_proxy_is_not_believed() -> None:
    page = Caller(token=TOKEN, names=["ven.example"], proxies=["192.0.2.99"])
    asked = {"X_Forwarded_Prefix": "/site-1", "X_Forwarded_Host": "evil.example"}
    answer = page.post("/login", {"token": TOKEN}, **asked)
    assert "Path=/;" in answer.headers["Set-Cookie"]
    for number in range(TRIES_PER_MINUTE):
        spoken = {"Authorization": "Bearer wrong", "X_Forwarded_For": f"203.0.113.{number}"}
        page.get("/metrics", **spoken)
    assert page.get("/metrics", Authorization=f"Bearer {TOKEN}").status == 429


@each_case("prefix", ["//evil.example", "/a b", "/a;Path=/", "javascript:", "/a/../b"])
def test_a_prefix_that_is_no_path_is_none(prefix: str) -> None:
    page = Caller(token=TOKEN, proxies=[PROXY])
    answer = page.post("/login", {"token": TOKEN}, X_Forwarded_Prefix=prefix)
    assert answer.headers["Set-Cookie"].count("Path=") == 1
    assert "evil" not in answer.headers["Set-Cookie"]


# ---- how many changes ------------------------------------------------------------------------

CHANGES = {
    "/api/events": SHED,
    "/api/circuits/ev1": {"priority": 4},
    "/api/circuits/nobody": {"enabled": True},
    "/api/opt-in": {},
}
BACK = {"/api/restore": {}, "/api/opt-out": {"reason": "no", "duration_sec": 60}}


@each_case("token", [None, TOKEN])
def test_so_many_changes_of_one_address_and_then_as_many_as_time_allows(token: str | None) -> None:
    page = Caller(token=token)
    own = {} if token is None else {"Authorization": f"Bearer {token}"}
    for path, body in CHANGES.items():
        page.clock.now += 1000.0
        before = len(page.site.commands)
        refused = []
        for _ in range(200):
            answer = page.post(path, body, **own)
            if answer.status == 429:
                refused.append(answer)
        made = len(page.site.commands) - before
        assert len(refused) == 200 - CHANGES_AT_ONCE, path
        assert made <= CHANGES_AT_ONCE, "none of the others reached the site"
        assert refused[-1].headers["Retry-After"] == "1"
        assert "nothing was done, try again in 1 s" in refused[-1].reason
        # What gives back is counted by itself: a script that runs wild holds nobody from it.
        for other, fields in BACK.items():
            assert page.post(other, fields, **own).status == 200
        page.clock.now += 3.0
        assert [page.post(path, body, **own).status == 429 for _ in range(4)][2:] == [False, True]


def test_a_change_that_is_none_is_not_counted() -> None:
    page = Caller()
    for _ in range(100):
        assert page.post("/api/events", SHED, X_CSRF_Token="wrong").status == 403
        assert page.post("/api/events", b"shed", Content_Type="text/plain").status == 415
        assert page.post("/api/nothing", SHED).status == 404
    assert page.post("/api/events", SHED).status == 200


@each_case(
    "addresses",
    [
        [f"127.0.0.{n}" for n in range(1, 100)] + ["::1"],
        [f"2001:db8::{n:x}" for n in range(100)],
    ],
)
def test_all_addresses_of_one_machine_are_one(addresses: list[str]) -> None:
    page = Caller(proxies=["192.0.2.7"])
    codes = [
        page.post("/api/circuits/ev1", {"priority": 4}, X_Forwarded_For=each).status
        for each in addresses
    ]
    assert codes.count(200) == CHANGES_AT_ONCE


def test_all_addresses_together_have_a_bound_and_one_leaves_room_for_another() -> None:
    page = Caller(proxies=["192.0.2.7"])

    def status(address: str) -> int:
        return page.post("/api/opt-in", {}, X_Forwarded_For=address).status

    assert [status("10.0.0.1") for _ in range(100)].count(200) == CHANGES_AT_ONCE
    assert status("10.0.0.2") == 200
    codes = [status(f"10.1.{n // 250}.{n % 250}") for n in range(1000)]
    assert codes.count(200) == CHANGES_AT_ONCE * CHANGES_OF_ALL - CHANGES_AT_ONCE - 1
    page.clock.now += 600.0
    assert status("10.0.0.1") == 200


def test_a_clock_that_is_set_back_keeps_nobody_out_for_long() -> None:
    page = Caller()
    for _ in range(30):
        page.post("/api/opt-in", {})
    page.clock.now -= 3600.0
    assert page.post("/api/opt-in", {}).status == 429
    page.clock.now += 2.0
    assert page.post("/api/opt-in", {}).status == 200
