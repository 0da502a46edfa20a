"""The block `web` of the configuration."""

from __future__ import annotations

import json

from tests.config.builders import MINIMAL, findings, load, with_field
from tests.support.each_case import each_case

TOKEN = "a-token-of-more-than-16"


def test_without_the_block_the_page_is_for_this_machine_alone() -> None:
    web = load().web
    assert (web.enabled, web.host, web.port, web.secret) == (True, "127.0.0.1", 8080, None)
    assert web.read_only is False


def test_elsewhere_it_demands_a_token() -> None:
    said = findings(with_field("web", {"host": "0.0.0.0"}))
    assert said == [
        "web: host 0.0.0.0 can be reached from other machines: set a token of at least 16 "
        "characters, or the host 127.0.0.1"
    ]
    assert load(with_field("web", {"host": "0.0.0.0", "token": TOKEN})).web.secret == TOKEN
    assert load(with_field("web", {"host": "0.0.0.0", "enabled": False})).web.enabled is False


@each_case("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_on_this_machine_it_does_not(host: str) -> None:
    assert load(with_field("web.host", host)).web.host == host


def test_a_token_is_never_told() -> None:
    said = findings(with_field("web.token", "short-secret"))
    assert said[0].startswith("web.token: ")
    assert "at least 16" in said[0]
    assert "short-secret" not in said[0]
    config = load(with_field("web.token", TOKEN))
    assert TOKEN not in config.model_dump_json()
    assert TOKEN not in repr(config)
    assert json.loads(config.model_dump_json())["web"]["token"] == "**********"


@each_case(
    ("name", "value"),
    [("port", 65536), ("port", True), ("port", "http"), ("max_clients", 0), ("host", "a b")],
)
def test_what_cannot_be_meant_is_refused(name: str, value: object) -> None:
    assert findings(with_field(f"web.{name}", value))[0].startswith(f"web.{name}: ")


def test_the_variable_wins_over_the_port() -> None:
    assert load(with_field("web.port", 9000), WEB_PORT="9001").web.port == 9001
    assert load(MINIMAL, WEB_PORT="9001").web.port == 9001
    assert findings(MINIMAL, WEB_PORT="many")[0].startswith("web.port: ")
