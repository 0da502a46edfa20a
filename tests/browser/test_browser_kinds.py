"""The local page in a real Chromium: limits, failsafe and more load are told as what they are."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.chromium import picture
from tests.browser.conftest import Fake
from tests.browser.test_browser_page import Visit, circuit


def test_a_limit_tells_what_is_allowed_and_what_else_is_in_force(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    fake.fault(limited=True)
    expect(page.locator("#live")).to_have_text("Failsafe")
    expect(page.locator("#sentence")).to_contain_text("at or under 14.0 kW until further notice")
    expect(page.locator("#sentence")).to_contain_text("nothing is heard of its sender")
    expect(page.locator("#banners")).to_contain_text(
        "Also in force: at most 30.0 kW until further notice."
    )
    expect(page.locator("#left")).to_have_text("∞")
    running = page.locator("#running")
    expect(running).to_contain_text("Allowed")
    expect(running).to_contain_text("Held back")
    expect(running).not_to_contain_text("Requested")
    expect(page.locator("#requested")).to_contain_text("14.0")
    row = page.locator("#events tr").first
    expect(row).to_contain_text("At most 14.0 kW")
    expect(row).to_contain_text("5.0 kW less")
    expect(row).not_to_contain_text("of 0.0 kW")
    # Only its sender ends it; one that was asked for at the site is ended there.
    end = page.locator("#restore")
    expect(end).to_be_visible()
    expect(end).to_be_disabled()
    picture(page, "failsafe")
    fake.fault(asked_here=True)
    expect(running).to_contain_text("From this site")
    expect(end).to_be_enabled()


def test_more_load_counts_upwards(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    fake.fault(raised=True)
    expect(page.locator("#live")).to_have_text("More load")
    expect(page.locator("#carried")).to_have_text("Drawing more: EV Charger.")
    expect(page.locator("#predicted")).to_have_text("3.0 kW")
    expect(page.locator("#measured")).to_have_text("2.9 kW")
    expect(page.locator("#shed-word")).to_have_text("More now")
    expect(circuit(page, "EV Charger")).to_contain_text("Raised")
    expect(circuit(page, "EV Charger")).to_contain_text("was 3.6")
    picture(page, "more-load")


def test_a_time_without_participation_is_told_ahead(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    expect(page.locator("#part")).to_have_text("This site takes part in events.")
    fake.fault(calendar=True)
    expect(page.locator("#part")).to_contain_text("takes part in events until")
