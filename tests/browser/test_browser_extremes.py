"""The local page in a real Chromium: large panels, hostile names, an agent that stands still."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import picture
from tests.browser.conftest import Fake
from tests.browser.test_browser_manners import PHONE, serious
from tests.browser.test_browser_page import Visit
from tests.web.fake_house import HOSTILE

Serve = Callable[..., Fake]


def test_a_panel_of_80_circuits_scrolls_in_its_card_and_is_searched(
    serve: Serve, visit: Visit
) -> None:
    page = visit(serve("--house", "large").url)
    expect(page.locator("#circuits tr")).to_have_count(80)
    expect(page.locator("#circuits-sum")).to_contain_text("80 circuits, ")
    card = page.locator("section.circuits").bounding_box()
    assert card is not None
    assert card["height"] < 1000
    assert serious(page) == []
    page.get_by_label("Find").fill("floor 3 ev")
    expect(page.locator("#circuits tr:visible")).to_have_count(2)
    expect(page.locator("#circuits-sum")).to_have_text("2 of 80 circuits")
    page.get_by_role("switch", name="Floor 3 ev 33").click()
    page.get_by_role("button", name="Switch off").click()
    page.get_by_label("Find").fill("floor 2 pump 24")
    only_measured = page.locator("#circuits tr:visible")
    expect(only_measured.locator("select")).to_be_hidden()
    expect(only_measured.get_by_role("switch")).to_be_hidden()
    page.get_by_label("Find").fill("off")
    expect(page.locator("#circuits tr:visible")).to_have_count(1)
    page.get_by_label("Find").fill("")
    expect(page.locator("#circuits tr:visible")).to_have_count(80)
    picture(page, "large")


@pytest.mark.parametrize("width", [320, 800, 1240])
def test_a_circuits_name_is_text_however_long_and_breaks_nothing(
    serve: Serve, visit: Visit, width: int
) -> None:
    page = visit(
        serve("--house", "large").url, **{**PHONE, "viewport": {"width": width, "height": 800}}
    )
    row = page.locator("#circuits tr").first
    expect(row.locator("button.open")).to_have_text(HOSTILE)
    assert page.locator("main img").count() == 0
    assert "taken" not in page.title()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    name, power = row.locator(".row-name").bounding_box(), row.locator(".row-power").bounding_box()
    assert name is not None
    assert power is not None
    assert (
        name["x"] + name["width"] <= power["x"] + 1 or power["y"] >= name["y"] + name["height"] - 1
    )
    picture(page, f"long-name-{width}")


def test_a_panel_without_circuits_says_so(serve: Serve, visit: Visit) -> None:
    page = visit(serve("--house", "none").url)
    expect(page.locator("#circuits")).to_contain_text("No circuits are configured")
    expect(page.locator("#circuits-sum")).to_contain_text("0 circuits")
    assert serious(page) == []


def test_an_agent_that_stands_still_is_marked_within_seconds(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    fake.freeze()
    expect(page.locator("#live")).to_have_text("Disconnected")
    expect(page.locator("#sentence")).to_contain_text("s old")
    expect(page).to_have_title("Disconnected \u00b7 fake_site")
    assert page.get_by_role("button", name="Start an event").is_disabled()
    fake.thaw()
    expect(page.locator("#live")).to_have_text("All is well", timeout=60_000)


def test_one_page_more_than_may_be_is_told_why_and_gets_in_later(
    serve: Serve, visit: Visit
) -> None:
    fake = serve("--max-clients", "1")
    first = visit(fake.url)
    second = visit(fake.url, live=False)
    expect(second.locator("#sentence")).to_contain_text(
        "s many pages are open as this agent serves"
    )
    first.goto("about:blank")
    expect(second.locator("#live")).to_have_text("All is well", timeout=60_000)


def test_times_are_the_browsers_and_named(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url, timezone_id="Asia/Kolkata")
    expect(page.locator("#zone")).to_have_text("Asia/Calcutta, UTC+5:30")
    minute = int(page.locator("#at").inner_text()[3:])
    here = int(page.evaluate("new Date(Date.now() + 330 * 60000).getUTCMinutes()"))
    assert (here - minute) % 60 <= 1


def test_a_load_near_the_panels_rating_is_said_in_words(serve: Serve, visit: Visit) -> None:
    fake = serve()
    page = visit(fake.url)
    expect(page.locator("#load-text")).to_contain_text("% of the panel\u2019s 200 A")
    fake.fault(full=True)
    expect(page.locator("#load-text")).to_contain_text("above 80 %")
    # While an alert lasts, not everything is well.
    expect(page.locator("#live")).to_contain_text("Attention")
    expect(page.locator("#sentence")).to_contain_text("more than 80 % of its rating")
    fake.fault(full=False)
    expect(page.locator("#live")).to_contain_text("All is well")
