"""From an empty console to a settled programme, in a real Chromium on the operator's side."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.chromium import picture
from tests.browser.operators_side import OperatorsSide, operators_side

expect.set_options(timeout=30_000)
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorsSide]:
    folder = tmp_path_factory.mktemp("side")
    with operators_side(folder, vens=4, MEASURE_AFTER_SEC="0.1") as side:
        yield side


def accessible(page: Page) -> None:
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


def test_an_operator_makes_a_group_a_programme_an_event_and_its_settlement(
    side: OperatorsSide, visit: Visit
) -> None:
    page = visit(f"{side.url}/console/", live=False)
    expect(page.locator(".figure").first).to_contain_text("4of 4 VENs")
    page.goto(f"{side.url}/console/#/ven/demo-00001")
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Tags (with commas)").fill("homes")
    page.get_by_label("Zone").fill("North")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".facts")).to_contain_text("North")

    page.get_by_role("link", name="Programmes").click()
    expect(page.locator("main")).to_contain_text("There is no programme yet")
    page.get_by_role("button", name="New group").click()
    page.get_by_label("Name").fill("Homes")
    page.get_by_label("Tags (with commas)").fill("homes")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("section", has_text="Groups")).to_contain_text("tags: homes")

    page.get_by_role("button", name="New programme").click()
    page.get_by_label("Name").fill("Evenings")
    page.get_by_label("kW").fill("1")
    page.get_by_label("Minutes").fill("0.2")
    page.get_by_label("Group").select_option("Homes")
    accessible(page)
    picture(page, "console-programme-new")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("tbody").first).to_contain_text("Evenings")
    accessible(page)
    picture(page, "console-programmes")

    page.get_by_role("link", name="Events").click()
    page.get_by_role("button", name="New event").click()
    page.get_by_label("Programme").select_option("Evenings")
    page.get_by_label("Name (optional)").fill("first")
    behind = page.get_by_text("VENs would be asked")
    expect(behind).to_contain_text("1 of 1 VENs would be asked")
    picture(page, "console-event-new")
    page.get_by_role("button", name="Create event").click()
    expect(page.locator('section[data-event="first"]')).to_be_visible()

    page.goto(f"{side.url}/console/#/event/first")
    expect(page.locator("h1 + .pill")).to_have_text("completed")
    page.reload()  # what is shown comes from the store
    expect(page.locator(".uplot")).to_have_count(1)
    expect(page.get_by_role("heading", name="What it brought")).to_be_visible()
    page.get_by_text("Answers of the sites").click()
    expect(page.locator("details tbody")).to_contain_text("measured")
    accessible(page)
    picture(page, "console-event-past")

    # A limit with a failsafe; it lasts longer than this test.
    page.get_by_role("link", name="Events").click()
    page.get_by_role("button", name="New event").click()
    page.get_by_text("Kind, who, notice").click()
    page.locator("select[name=kind]").select_option("limit")
    page.get_by_label("Stay under, kW").fill("3")
    page.get_by_label("for each site").check()
    page.get_by_label("Failsafe, kW").fill("1.5")
    page.get_by_label("Without us for, min").fill("2")
    page.get_by_label("Name (optional)").fill("cap")
    accessible(page)
    picture(page, "console-limit-new")
    page.get_by_role("button", name="Create event").click()
    expect(page.locator("#toast")).to_contain_text("cap is on its way")
    page.goto(f"{side.url}/console/#/event/cap")
    silent = "Failsafe: 1.50 kW at a site that does not hear us for 2 min"
    expect(page.locator("main")).to_contain_text(silent)

    page.get_by_role("link", name="Settlement").click()
    sites = page.locator("section", has_text="By event and site").locator("tbody tr")
    expect(sites).to_have_count(1)
    expect(sites).to_contain_text("first")
    expect(page.locator("section", has_text="By programme").first).to_contain_text("Evenings")
    with page.expect_download() as taken:
        page.get_by_role("button", name="CSV", exact=True).click()
    text = taken.value.path().read_text()
    assert re.search(r"first,event,false,demo-00001", text)
    accessible(page)
    picture(page, "console-settlement")
    page.emulate_media(media="print")
    expect(page.locator("header")).to_be_hidden()
    picture(page, "console-settlement-print")
