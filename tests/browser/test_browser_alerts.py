"""Alerts, audit and accounts in a real Chromium; and what a role may not do is not offered."""

from __future__ import annotations

import json
import re
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from backend.store.schema_migration import upgrade_schema
from tests.browser.chromium import picture
from tests.browser.operators_side import OperatorsSide, operators_side

expect.set_options(timeout=30_000)
Visit = Callable[..., Page]
_A_TIME_WITH_ITS_ZONE = re.compile(r"\d\d:\d\d (UTC|GMT|[A-Z]{2,5})")
ROOT = Path(__file__).resolve().parents[2]
VIEWS = (("alerts", "tbody tr"), ("audit", ".card"), ("accounts", "h2"))


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorsSide]:
    """Behind a proxy on this machine, with 10,000 VENs of which 9,998 are offline."""
    folder = tmp_path_factory.mktemp("side")
    url = f"sqlite:///{folder / 'backend.sqlite'}"
    upgrade_schema(url)
    since = "2026-01-01 00:00:00.000000"
    with sqlite3.connect(folder / "backend.sqlite") as connection:
        connection.executemany(
            "INSERT INTO vens (id, name, status, status_since, created_at, trusted)"
            " VALUES (?, ?, 'offline', ?, ?, 1)",
            [(f"site-{n:05}", f"Site {n:05}", since, since) for n in range(9_998)],
        )
    variables = {
        "API_TRUSTED_PROXIES": "127.0.0.1",
        "API_ROLES": "dispatchers=operate,admins=admin,viewers=read",
        "ALERT_INTERVAL_SEC": "0.5",
    }
    with operators_side(folder, vens=2, **variables) as side:
        yield side


def person(name: str, group: str) -> dict[str, str]:
    return {"X-Forwarded-Email": f"{name}@x.example", "X-Forwarded-Groups": group}


def as_person(visit: Visit, side: OperatorsSide, group: str, view: str = "", **more: Any) -> Page:
    """The console as somebody sees it whom the proxy let through."""
    headers = person("anna", group)
    page = visit(f"{side.url}/console/#/{view}", live=False, extra_http_headers=headers, **more)
    expect(page.locator("#link")).to_have_text("live")
    return page


def ask(side: OperatorsSide, path: str, body: dict[str, Any] | None = None) -> Any:
    headers = {"Content-Type": "application/json", **person("boss", "admins")}
    content = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(
        urllib.request.Request(f"{side.url}{path}", content, headers), timeout=30
    ) as answer:
        return json.load(answer)


def test_ten_thousand_silent_vens_are_one_row_and_acknowledged_by_name(
    side: OperatorsSide, visit: Visit
) -> None:
    page = as_person(visit, side, "dispatchers", "alerts")
    cause = page.locator("section").filter(has=page.get_by_role("heading", name="Causes"))
    expect(cause.locator("tbody tr")).to_have_count(1)
    expect(cause).to_contain_text("ven_offline")
    expect(cause).to_contain_text("9,998")
    expect(page.locator("#open-alerts")).to_have_text("999+")
    page.get_by_label("Find an alert").fill("site-00042")
    listed = page.locator("section").filter(has=page.get_by_role("columnheader", name="Code"))
    expect(listed.locator("tbody tr")).to_have_count(1)
    picture(page, "console-alerts")
    cause.get_by_role("button", name="Acknowledge").click()
    page.get_by_label("Note (optional)").fill("a storm")
    page.locator("dialog").get_by_role("button", name="Acknowledge").click()
    expect(page.locator("#toast")).to_contain_text("9,998 acknowledged")
    expect(listed).to_contain_text("seen by anna@x.example")
    expect(page.locator("#open-alerts")).to_be_hidden()


def test_what_a_role_may_not_do_is_not_offered_and_refused(
    side: OperatorsSide, visit: Visit
) -> None:
    offered = {
        "viewers": (0, 0, "anna@x.example · read"),
        "dispatchers": (1, 0, "anna@x.example · operate"),
        "admins": (1, 2, "anna@x.example · admin"),
    }
    for group, (buttons, admins_links, who) in offered.items():
        page = as_person(visit, side, group)
        expect(page.locator(".figure").first).to_contain_text("VENs")
        expect(page.locator("#account")).to_have_text(who)
        expect(page.get_by_role("button", name="New event")).to_have_count(buttons)
        links = page.locator("nav a[data-may]:visible")
        expect(links).to_have_count(admins_links)
    request = urllib.request.Request(
        f"{side.url}/api/events/",
        b'{"requestedReductionKw": 1, "durationSec": 60}',
        {"Content-Type": "application/json", **person("anna", "viewers")},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert refused.value.code == 403
    assert json.load(refused.value)["detail"] == "anna@x.example may read; this needs operate"
    page = visit(f"{side.url}/console/", live=False, extra_http_headers=person("anna", "none"))
    expect(page.get_by_role("alert")).to_contain_text("anna@x.example has no role here")


def test_every_word_that_is_used_is_in_the_file_of_words(side: OperatorsSide, visit: Visit) -> None:
    """Of another language too: a name that is missing there would show as "undefined"."""
    used = {
        path
        for file in (ROOT / "backend/console/static").glob("*.js")
        if file.name not in ("texts.js", "uPlot.iife.min.js")
        for path in re.findall(r"\bT\.(\w+(?:\.\w+)*)", file.read_text())
    }
    page = as_person(visit, side, "viewers")
    there = page.evaluate(
        """async () => {
          const { T } = await import("/console/static/texts.js");
          const walk = (value, path) => value && typeof value === "object"
            ? Object.entries(value).flatMap(([name, one]) => [path.concat(name).join("."),
                ...walk(one, path.concat(name))]) : [];
          return walk(T, []);
        }"""
    )
    missing = {path for path in used if path not in there and path.rpartition(".")[0] not in there}
    assert missing == set()
    assert len(used) > 100


def test_the_audit_is_searched_and_keys_are_managed(side: OperatorsSide, visit: Visit) -> None:
    for number in range(3):
        ask(side, "/api/vens/", {"name": f"House {number}", "registrationId": f"house-{number}"})
    page = as_person(visit, side, "admins", "audit")
    expect(page.locator("tbody")).to_contain_text("ven.register")
    page.get_by_label("Find in the audit").fill("house-1")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody")).to_contain_text("boss@x.example")
    expect(page.locator("tbody td").first).to_have_text(_A_TIME_WITH_ITS_ZONE)
    picture(page, "console-audit")
    page.get_by_role("link", name="Accounts").click()
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Whose key it is").fill("dashboard")
    page.get_by_role("button", name="Make key").click()
    shown = page.locator("dialog pre")
    expect(shown).to_contain_text("ven_")
    key = shown.text_content() or ""
    page.get_by_role("button", name="Done").click()
    assert _status_with(side, key) == 200
    picture(page, "console-accounts")
    page.get_by_role("row", name="dashboard").get_by_role("button", name="Revoke").click()
    page.locator("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("row", name="dashboard")).to_contain_text("revoked")
    assert key not in page.content()


def _status_with(side: OperatorsSide, key: str) -> int:
    request = urllib.request.Request(f"{side.url}/api/vens/", headers={"X-API-Key": key})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return int(answer.status)


def test_ten_thousand_rows_are_sorted_and_filtered_by_keys_too(
    side: OperatorsSide, visit: Visit
) -> None:
    """By the backend: what is in the page stays small."""
    page = as_person(visit, side, "viewers", "fleet")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(200)
    state = page.get_by_role("button", name="State", exact=True)
    state.click()
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("State")
    expect(rows.first).to_contain_text("offline")
    state.click()
    expect(rows.first).to_contain_text("online")
    page.get_by_label("Find a VEN").fill("Site 0777")
    expect(rows).to_have_count(10)
    page.get_by_label("Find a VEN").fill("")
    expect(rows).to_have_count(200)
    # By keys alone; and what is drawn anew takes nobody's place away.
    page.get_by_role("button", name="VEN", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("VEN")
    assert page.evaluate("document.activeElement.textContent") == "VEN"
    page.keyboard.press("Enter")
    expect(page.locator("th[aria-sort=descending]")).to_have_text("VEN")
    expect(rows.first).to_contain_text("demo-00001")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_these_views_are_accessible(side: OperatorsSide, visit: Visit, scheme: str) -> None:
    for view, there in VIEWS:
        page = as_person(visit, side, "admins", view, color_scheme=scheme)
        page.wait_for_selector(there)
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        assert [(view, one["id"], one["nodes"][0]["html"]) for one in found] == []
        if scheme == "dark":
            picture(page, f"console-dark-{view}")


def test_on_a_phone_these_views_fit(side: OperatorsSide, visit: Visit) -> None:
    for view, there in VIEWS:
        page = as_person(visit, side, "admins", view, viewport={"width": 375, "height": 700})
        page.wait_for_selector(there)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, view
        picture(page, f"console-phone-{view}")
