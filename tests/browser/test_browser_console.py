"""The operators' console in a real Chromium, on the operator's side as it runs."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from paho.mqtt import publish
from playwright.sync_api import Page, Route, expect

from tests.backend.builders import telemetry
from tests.browser.chromium import picture
from tests.browser.operators_side import OperatorsSide, operators_side
from tests.openadr import vtn3

expect.set_options(timeout=30_000)
Visit = Callable[..., Page]
VIEWS = (
    ("", ".figure"),
    ("fleet", "tbody tr"),
    ("ven/demo-00001", "tbody tr"),
    ("programmes", ".empty"),
    ("settlement", "form"),
)


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorsSide]:
    with operators_side(tmp_path_factory.mktemp("side")) as side:
        yield side


@pytest.fixture
def console(side: OperatorsSide, visit: Visit) -> Page:
    page = visit(f"{side.url}/console/", live=False)
    expect(page.locator("#link")).to_have_text("live")
    return page


def create(page: Page, name: str, *, kw: float = 20, minutes: float = 10) -> None:
    page.get_by_role("button", name="New event").click()
    page.get_by_label("Reduce by, kW").fill(str(kw))
    page.get_by_label("Minutes").fill(str(minutes))
    page.get_by_label("Name (optional)").fill(name)
    page.get_by_role("button", name="Create event").click()


def test_an_event_is_created_followed_and_stopped(console: Page) -> None:
    expect(console.locator(".figure").first).to_contain_text("12of 12 VENs")
    create(console, "evening")
    card = console.locator('section[data-event="evening"]')
    expect(card).to_contain_text("Responding12 of 12")
    expect(card).to_contain_text(re.compile(r"Of the request(9\d|10\d) %"))
    drawn = "() => document.querySelector('.u-over canvas, .uplot canvas').width > 100"
    console.wait_for_function(drawn)
    picture(console, "console-now")
    card.get_by_role("link", name="evening").click()
    expect(console.get_by_role("heading", name="Participation")).to_be_visible()
    expect(console.locator("tbody tr")).to_have_count(12)
    expect(console.locator("tbody")).to_contain_text("measured")
    picture(console, "console-event")
    console.get_by_role("button", name="Stop").click()
    console.get_by_role("button", name="Stop it").click()
    expect(console.locator("h1 + .pill")).to_have_text("completed")
    console.get_by_role("link", name="Events").click()
    expect(console.locator("tbody")).to_have_count(1)  # the page before may have more
    expect(console.locator("tbody")).to_contain_text("evening")
    console.get_by_role("link", name="Now").click()
    expect(console.locator("main")).to_contain_text("No event is running")


def test_a_mistake_is_said_in_the_dialog(console: Page) -> None:
    create(console, "twice", kw=1, minutes=1)
    expect(console.locator('section[data-event="twice"]')).to_be_visible()
    create(console, "twice", kw=1, minutes=1)
    expect(console.get_by_role("alert")).to_contain_text("there is an event 'twice' already")
    console.get_by_role("button", name="Cancel").click()
    console.get_by_role("button", name="Stop").click()
    console.get_by_role("button", name="Stop it").click()


def test_the_fleet_is_searched_and_a_ven_looked_at(console: Page) -> None:
    console.get_by_role("link", name="Fleet").click()
    expect(console.locator("tbody tr")).to_have_count(12)
    console.get_by_label("Find a VEN").fill("00007")
    expect(console.locator("tbody tr")).to_have_count(1)
    console.locator("tbody tr").click()
    expect(console.get_by_role("heading", name="demo-00007")).to_be_visible()
    expect(console.get_by_role("heading", name="Circuits")).to_be_visible()
    console.get_by_role("button", name="EV charger").click()
    expect(console.get_by_role("heading", name="EV charger")).to_be_visible()
    expect(console.locator(".uplot")).to_have_count(2)
    expect(console.locator("table").first).to_contain_text("critical")
    picture(console, "console-ven")


def test_a_site_that_has_opted_out_says_until_when_by_whom_and_why(
    side: OperatorsSide, console: Page
) -> None:
    expect(console.locator(".figure").first).to_contain_text("12of 12 VENs")  # ingest hears
    until_ts = datetime(2031, 7, 1, 15, 30, tzinfo=timezone.utc).timestamp()
    out = {"state": "opted_out", "until_ts": until_ts, "reason_code": "opt_schedule"}
    ago = round(time.time()) - 3_600
    port = int(side.variables["MQTT_PORT"])
    for body in (telemetry("out", availability=out), telemetry("late", timestamp=ago)):
        message = json.dumps(body)
        publish.single("volttron/metering", message, qos=1, hostname="127.0.0.1", port=port)
    try:
        for ven_id, told in (
            ("out", r"opted out until .*15:30.*, by the site \(opt_schedule\)"),
            ("late", r"stale \(readings_late\)"),
        ):
            console.goto(f"{side.url}/console/#/fleet")
            expect(console.locator("tbody")).to_contain_text(ven_id)
            console.goto(f"{side.url}/console/#/ven/{ven_id}")
            takes_part = console.get_by_role("term").filter(has_text="Takes part")
            expect(takes_part.locator("+ dd")).to_have_text(re.compile(told))
    finally:
        for ven_id in ("out", "late"):
            request = urllib.request.Request(f"{side.url}/api/vens/{ven_id}", method="DELETE")
            urllib.request.urlopen(request).close()


def test_a_ven_cannot_speak_to_the_operators_browser(side: OperatorsSide, console: Page) -> None:
    """Whoever may register a VEN chooses its name."""
    name = "<img src=x onerror='window.hit=1'><script>window.hit=1</script>"
    body = json.dumps({"name": name, "registrationId": "demo-00002"}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{side.url}/api/vens/", body, headers)
    urllib.request.urlopen(request).close()
    create(console, "safe", kw=20, minutes=10)
    console.locator('section[data-event="safe"]').get_by_role("link", name="safe").click()
    expect(console.locator("tbody")).to_contain_text(name)
    console.get_by_role("button", name="Stop").click()
    console.get_by_role("button", name="Stop it").click()
    console.get_by_role("link", name="Fleet").click()
    console.get_by_label("Find a VEN").fill("onerror")
    expect(console.locator("tbody tr")).to_have_count(1)
    console.locator("tbody tr").click()
    expect(console.get_by_role("heading", name=name)).to_be_visible()
    assert console.evaluate("window.hit") is None


def test_figures_that_are_not_live_any_more_say_so(side: OperatorsSide, console: Page) -> None:
    """Nothing breaks: the stream is just silent, as behind a network that is gone."""
    assert side.api is not None
    expect(console.locator(".figure").first).to_contain_text("of 12 VENs")
    side.api.send_signal(signal.SIGSTOP)
    try:
        expect(console.locator("#since")).to_be_visible()
        expect(console.locator("#since")).to_contain_text("Not live. What is shown was so at")
        picture(console, "console-not-live")
    finally:
        side.api.send_signal(signal.SIGCONT)
    expect(console.locator("#link")).to_have_text("live")
    expect(console.locator("#since")).to_be_hidden()


def test_a_view_that_cannot_be_read_can_be_tried_again(console: Page) -> None:
    console.context.set_offline(True)
    console.get_by_role("link", name="Fleet").click()
    expect(console.get_by_role("alert")).to_contain_text("The backend does not answer")
    console.context.set_offline(False)
    console.get_by_role("button", name="Try again").click()
    expect(console.locator("tbody tr")).to_have_count(12)


def test_the_apis_document_is_a_page_of_ours(side: OperatorsSide, visit: Visit) -> None:
    page = visit(f"{side.url}/docs", live=False)
    page.get_by_text("POST /api/events/", exact=True).click()
    expect(page.locator("details[open]")).to_contain_text("requestedReductionKw")
    expect(page.locator("details[open] pre")).to_contain_text('"requestedReductionKw": 250')
    picture(page, "console-docs", whole=False)
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


def test_below_a_path_of_a_proxy_all_is_the_same(side: OperatorsSide, visit: Visit) -> None:
    page = visit(f"{side.url}/docs", live=False)
    asked = []

    def take_the_path_away(route: Route) -> None:
        asked.append(route.request.url)
        route.continue_(url=route.request.url.replace("/grid/east/", "/", 1))

    page.route("**/grid/east/**", take_the_path_away)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{side.url}/grid/east/console/")
    expect(page.locator("#link")).to_have_text("live")
    page.goto(f"{side.url}/grid/east/console/#/programmes")
    expect(page.locator(".empty").first).to_be_visible()
    page.goto(f"{side.url}/grid/east/docs")
    expect(page.get_by_text("POST /api/events/", exact=True)).to_be_visible()
    outside = [url for url in asked if url.startswith(side.url) and "/grid/east/" not in url]
    assert outside == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_console_is_accessible(side: OperatorsSide, visit: Visit, scheme: str) -> None:
    for view, there in VIEWS:
        page = visit(f"{side.url}/console/#/{view}", live=False, color_scheme=scheme)
        page.wait_for_selector(there)
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


def test_on_a_phone_nothing_is_wider_than_the_screen(side: OperatorsSide, visit: Visit) -> None:
    for view, there in VIEWS:
        size = {"width": 375, "height": 700}
        page = visit(f"{side.url}/console/#/{view}", live=False, viewport=size)
        page.wait_for_selector(there)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        picture(page, f"console-phone-{view.split('/')[0] or 'now'}")


@pytest.fixture
def utility(side: OperatorsSide) -> Iterator[vtn3.Vtn]:
    """A VTN with an event that is done and one that cannot be; the VEN's process speaks to it."""
    with vtn3.running(is_checked=False) as vtn:
        later = datetime.now(timezone.utc) + timedelta(days=2)
        vtn.event("done", start=later, kws=[-5.0], eventName="Heat wave")
        body = vtn3.event_body(start=later)
        body["intervals"][0]["payloads"] = [{"type": "CHARGE_STATE_SETPOINT", "values": [7]}]
        vtn.add("events", body, object_id="not-done")
        variables = {
            "OPENADR_VTN_URL": vtn.url,
            "OPENADR_CLIENT_ID": "ven-client",
            "OPENADR_CLIENT_SECRET": "secret",
            "OPENADR_POLL_SEC": "1",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "backend", "openadr"],
            env={**side.variables, **variables},
            stdout=subprocess.DEVNULL,
        )
        try:
            yield vtn
        finally:
            process.terminate()
            process.wait(60)


def test_a_utilitys_events_and_its_vtn_are_seen(
    side: OperatorsSide, utility: vtn3.Vtn, visit: Visit
) -> None:
    for scheme, width in (("light", 1200), ("dark", 1200), ("light", 375)):
        page = visit(
            f"{side.url}/console/#/openadr",
            live=False,
            color_scheme=scheme,
            viewport={"width": width, "height": 800},
        )
        links, events = page.locator("section.card").nth(0), page.locator("section.card").nth(1)
        expect(links).to_contain_text(utility.url)
        expect(events).to_contain_text("Heat wave")
        expect(events).to_contain_text("opted in")
        expect(events).to_contain_text("opted out")
        expect(events).to_contain_text("CHARGE_STATE_SETPOINT")
        expect(events.locator("a[href*='openadr-done']")).to_have_count(1)
        picture(page, f"console-openadr-{scheme}-{width}", whole=False)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


def test_where_keys_are_needed_the_console_asks_for_one(tmp_path: Path, visit: Visit) -> None:
    with operators_side(tmp_path, vens=2, API_KEYS_REQUIRED="true") as side:
        key = side.run("key", "add", "operator", "--role", "operate")
        page = visit(f"{side.url}/console/", live=False)
        page.get_by_label("API key").fill("ven_wrong")
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("dialog")).to_contain_text("That key is not in force")
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#link")).to_have_text("live")
        expect(page.locator(".figure").first).to_contain_text("of 2 VENs")


def test_on_a_phone_each_kind_is_asked_for_and_told_as_what_it_is(
    side: OperatorsSide, visit: Visit
) -> None:
    page = visit(f"{side.url}/console/", live=False, viewport={"width": 390, "height": 844})
    expect(page.locator(".figure").first).to_contain_text("12of 12 VENs")
    create(page, "by-phone", kw=1)
    card = page.locator('section[data-event="by-phone"]')
    expect(card).to_contain_text("Requested1.00 kW")
    post(f"{side.url}/api/events/by-phone/stop", {})
    expect(card).to_have_count(0)
    page.get_by_role("button", name="New event").click()
    page.get_by_label("until it is stopped").check()
    expect(page.get_by_label("Minutes")).to_be_disabled()
    page.get_by_label("Reduce by, kW").fill("1")
    page.get_by_label("Name (optional)").fill("unended")
    page.get_by_role("button", name="Create event").click()
    card = page.locator('section[data-event="unended"]')
    expect(card).to_contain_text("until it is stopped")
    expect(card).to_contain_text("at the latest")
    picture(page, "console-phone-unended")
    post(f"{side.url}/api/events/unended/stop", {})
    expect(card).to_have_count(0)
    asked = {
        "grid": {"kind": "limit", "importKw": 40.0, "failsafeKw": 9.0, "heartbeatSec": 120.0},
        "sun": {"kind": "limit", "exportKw": 3.0, "durationSec": 600.0},
        "more": {"kind": "loadUp", "raiseKw": 3.0, "durationSec": 600.0},
        "try": {"shedKw": 1.0, "durationSec": 600.0, "dryRun": True, "test": True},
    }
    told = {
        "grid": ("limit", "until further notice", "Limit40.0 kW"),
        "sun": ("limit", "9 min", "Limit of feed-in3.00 kW"),
        "more": ("draw more", "Requested3.00 kW"),
        "try": ("test", "dry run"),
    }
    for number, (name, body) in enumerate(asked.items()):
        post(f"{side.url}/api/vens/demo-0000{number}/send-event", {**body, "eventId": name})
    for name, words in told.items():
        card = page.locator(f'section[data-event="{name}"]')
        for word in words:
            expect(card).to_contain_text(word)
        if asked[name].get("kind") == "limit":
            expect(card).not_to_contain_text("Of the request")
    picture(page, "console-phone-kinds")
    page.get_by_role("link", name="Events").click()
    row = page.locator("tbody tr").filter(has_text="grid")
    expect(row).to_contain_text("≤ 40.0")
    expect(page.locator("tbody tr").filter(has_text="more")).to_contain_text("3.00")
    row.get_by_role("link", name="grid").click()
    expect(page.locator("main")).to_contain_text("until further notice")
    expect(page.locator("main")).to_contain_text("Failsafe: 9.00 kW")
    for name in ("grid", "sun", "more"):  # a dry run is over when it is answered
        post(f"{side.url}/api/events/{name}/stop", {})


def post(url: str, body: dict[str, object]) -> None:
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        assert answer.status < 300
