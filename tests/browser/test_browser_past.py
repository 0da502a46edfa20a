"""The page's past in a real Chromium: energy by day, an event and a circuit opened, tables."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import picture
from tests.browser.conftest import Fake
from tests.browser.test_browser_manners import PHONE, serious
from tests.browser.test_browser_page import Visit, begin_event

Serve = Callable[..., Fake]
LOOKS = [{}, {"color_scheme": "dark"}, PHONE]


def chosen(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_days_and_weeks_are_shown_with_their_energy(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    words = page.locator("#energy-sum")
    for button, text in (
        ("Day", "The last 24 hours: "),
        ("Week", "The last 7 days: "),
        ("By day", "The last 30 days: "),
        ("By week", "The last 60 days: "),
    ):
        chosen(page, button)
        expect(words).to_contain_text(text)
        expect(words).to_contain_text("kWh, highest ")
        expect(page.locator("#energy canvas")).to_have_count(1)
        picture(page, f"past-{button.lower().replace(' ', '-')}")
    label = page.locator("#energy").get_attribute("aria-label") or ""
    assert label.count("week of") >= 5
    box = page.locator("#energy .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 50)
    expect(words).to_contain_text("week of")
    chosen(page, "Hour")
    expect(page.locator("#curve canvas")).to_be_visible()
    expect(page.locator("#energy")).to_be_hidden()
    assert page.evaluate("window.shifted") == []


@pytest.mark.parametrize("look", LOOKS, ids=["light", "dark", "phone"])
def test_an_event_is_opened_with_its_curve_circuits_and_reports(
    fake: Fake, visit: Visit, look: dict, request: pytest.FixtureRequest
) -> None:
    page = visit(fake.url, **look)
    page.locator("#events button.open").nth(1).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("h2")).to_have_text("5.0 kW less")
    expect(dialog).to_contain_text("From the operator")
    expect(dialog.locator("#open-plot canvas")).to_have_count(1)
    expect(dialog).to_contain_text("Water Heater")
    expect(dialog).to_contain_text("Measured (event)")
    expect(dialog).to_contain_text("evt-2")
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    picture(page, f"event-opened-{request.node.callspec.id}", whole=False)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("#events button.open").nth(1)).to_be_focused()


def test_an_event_that_runs_is_opened_too(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    begin_event(page)
    expect(page.locator("#event-state")).to_have_text("Running")
    page.locator("#events button.open").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("Running")
    expect(page.get_by_role("dialog").locator("#open-plot canvas")).to_have_count(1)
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="End now and restore").click()  # the page is as before
    expect(page.locator("#live")).to_have_text("Restoring")


def test_the_oddest_record_is_opened(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    fake.fault(extreme=True)
    expect(page.locator("#events tr").nth(1)).to_contain_text("of another version")
    for row in (0, 1):
        page.locator("#events button.open").nth(row).click()
        expect(page.get_by_role("dialog")).to_contain_text("Accepted")
        expect(page.locator("#open-plot")).to_contain_text("No curve is kept of that time.")
        page.get_by_role("button", name="Close").click()


def test_a_circuits_curve_is_opened_by_the_keyboard(serve: Serve, visit: Visit) -> None:
    page = visit(serve("--house", "large").url)
    page.get_by_role("button", name="Floor 3 ev 33", exact=True).press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("h2")).to_have_text("Floor 3 ev 33")
    expect(dialog.locator("#open-plot canvas")).to_have_count(1)
    expect(dialog).to_contain_text("kWh")
    assert serious(page) == []
    picture(page, "circuit-opened", whole=False)


def test_tables_are_downloaded(fake: Fake, visit: Visit, tmp_path: Path) -> None:
    page = visit(fake.url)
    for link, column in (("60 days as a table", "energy_kwh"), ("All events as a table", "origin")):
        with page.expect_download() as download:
            page.get_by_role("link", name=link).click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        rows = list(csv.DictReader(path.read_text().splitlines()))
        assert len(rows) > 3
        assert column in rows[0]


def test_the_sites_name_stands_at_the_top(serve: Serve, visit: Visit) -> None:
    page = visit(serve("--site-name", "Bakery, Mill Street 4 <b>").url)
    expect(page.locator("h1")).to_have_text("Bakery, Mill Street 4 <b>")
    expect(page.locator("#kind")).to_contain_text("fake_site")
    assert "Bakery, Mill Street 4" in page.title()


def test_a_site_without_a_past_is_small_and_says_so(serve: Serve, visit: Visit) -> None:
    page = visit(serve("--empty").url)
    expect(page.locator("#events")).to_contain_text("No event yet.")
    for card, most in (("alerts", 110), ("events", 200)):
        box = page.locator(f"section.{card}").bounding_box()
        assert box is not None
        assert box["height"] < most
    picture(page, "empty")


def test_an_agent_that_is_gone_says_so_where_something_was_to_be_opened(
    fake: Fake, visit: Visit
) -> None:
    page = visit(fake.url)
    fake.stop()
    chosen(page, "Week")
    expect(page.locator("#energy-sum")).to_contain_text("Not read: The agent does not answer.")
    page.locator("#events button.open").first.click()
    expect(page.locator("#open-plot")).to_contain_text("The agent does not answer.")
    page.get_by_role("button", name="Close").click()
    fake.start()
    expect(page.locator("#live")).to_have_text("All is well", timeout=60_000)
    chosen(page, "By day")
    expect(page.locator("#energy canvas")).to_have_count(1)
