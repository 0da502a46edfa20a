"""As a new user, without a document open: from an empty console to a settled programme.

With a real site beside the simulated ones where one is named, as after `ven_control.sh start
--steady`:

    VENAGENT_REAL_SITE=volttron_thing@1883 scripts/test.sh browser -- -k walkthrough
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import picture
from tests.browser.operators_side import OperatorsSide, operators_side, simulated_sites

expect.set_options(timeout=60_000)
Visit = Callable[..., Page]
SITES = 1_000
REAL_SITE, _, BROKER_PORT = os.environ.get("VENAGENT_REAL_SITE", "").partition("@")
"""A VEN's id and its broker's port on this machine."""
EVENT = f"walk-{os.getpid()}" if REAL_SITE else "first"
"""A real site knows the events that it has been in."""


@pytest.fixture
def side(tmp_path: Path) -> Iterator[OperatorsSide]:
    broker_port = int(BROKER_PORT) if REAL_SITE else None
    with operators_side(tmp_path, vens=0, broker_port=broker_port, MEASURE_AFTER_SEC="1") as side:
        yield side


def step(page: Page, number: int, name: str) -> None:
    picture(page, f"walkthrough-{number}-{name}", whole=False)


def test_from_an_empty_console_to_a_settled_programme(side: OperatorsSide, visit: Visit) -> None:
    page = visit(f"{side.url}/console/", live=False)
    known = "of [01] VENs" if REAL_SITE else "of 0 VENs"
    expect(page.locator(".figure").first).to_contain_text(re.compile(known))
    expect(page.locator("main")).to_contain_text("No event is running")
    step(page, 1, "empty")
    page.get_by_role("link", name="Fleet").click()
    if REAL_SITE:
        expect(page.locator("tbody")).to_contain_text(REAL_SITE)
        step(page, 1, "the-real-site-appears")
    else:
        expect(page.locator("main")).to_contain_text("One appears with its first telemetry")

    with simulated_sites(side, SITES, interval_sec=5.0):
        expect(page.locator("h1 + .soft")).to_have_text("1,001" if REAL_SITE else "1,000")
        step(page, 2, "fleet")

        page.get_by_role("link", name="Programmes").click()
        expect(page.locator("main")).to_contain_text("There is no programme yet")
        page.get_by_role("button", name="New programme").click()
        page.get_by_label("Name").fill("Evening peak")
        page.get_by_label("kW", exact=True).fill("500")
        page.get_by_label("Minutes").fill("0.4")
        step(page, 3, "new-programme")
        page.get_by_role("button", name="Create").click()
        expect(page.locator("tbody")).to_contain_text("Evening peak")
        step(page, 4, "programme")

        page.get_by_role("link", name="Now").click()
        page.get_by_role("button", name="New event").click()
        page.get_by_label("Programme").select_option("Evening peak")
        page.get_by_label("Name (optional)").fill(EVENT)
        expect(page.locator("dialog")).to_contain_text("VENs would be asked")
        step(page, 5, "new-event")
        page.get_by_role("button", name="Create event").click()
        card = page.locator(f'section[data-event="{EVENT}"]')
        expect(card).to_contain_text(re.compile(r"Of the request(9\d|1\d\d) %"))
        step(page, 6, "event-runs")
        card.get_by_role("link", name=EVENT).click()
        expect(page.get_by_role("heading", name="Participation")).to_be_visible()
        expect(page.locator("h1 + .pill")).to_have_text("completed")
        expect(page.get_by_role("heading", name="What it brought")).to_be_visible()
        participation = page.locator("section").filter(
            has=page.get_by_role("heading", name="Participation")
        )
        expect(participation.get_by_role("button", name=re.compile("^completed"))).to_be_visible()
        step(page, 7, "event-over")

        page.get_by_role("link", name="Settlement").click()
        heading = page.get_by_role("heading", name="By programme")
        totals = page.locator("section").filter(has=heading)
        expect(totals.locator("tbody tr")).to_have_count(1)
        expect(totals).to_contain_text("Evening peak")
        expect(totals.locator("tbody tr")).to_contain_text(re.compile(r"[1-9]"))
        with page.expect_download() as taken:
            page.get_by_role("button", name="CSV", exact=True).click()
        lines = taken.value.path().read_text().splitlines()
        assert len(lines) > 100, lines[:3]
        step(page, 8, "settled")
        if REAL_SITE:
            (real,) = (line for line in csv.DictReader(lines) if line["ven_id"] == REAL_SITE)
            assert float(real["delivered_kwh"]) > 0.0, real
            look_at_the_real_site(page)

        page.get_by_role("link", name="Audit").click()
        expect(page.locator("tbody")).to_have_count(1)  # the page before has two
        for action in ("programme", "event.create"):
            expect(page.locator("tbody")).to_contain_text(action)
        step(page, 9, "audit")


def look_at_the_real_site(page: Page) -> None:
    page.get_by_role("link", name="Fleet").click()
    page.get_by_role("searchbox").first.fill(REAL_SITE)
    page.get_by_role("link", name=REAL_SITE).click()
    expect(page.get_by_role("link", name=EVENT).first).to_be_visible()
    step(page, 8, "the-real-site")
