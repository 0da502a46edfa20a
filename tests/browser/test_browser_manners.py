"""The local page in a real Chromium: for everyone, small, and safe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Response, expect

from tests.browser.chromium import picture
from tests.browser.conftest import Fake
from tests.browser.test_browser_page import Visit, begin_event

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
TOKEN = "a-token-of-more-than-16"
MAX_BYTES = 150_000


def serious(page: Page) -> list[str]:
    """What axe finds serious or critical, with the elements."""
    found = Axe().run(page).response["violations"]
    return [
        f"{violation['id']}: {node['html']}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("light", {}),
        ("dark", {"color_scheme": "dark"}),
        ("phone", PHONE),
        ("phone-dark", {**PHONE, "color_scheme": "dark"}),
    ],
)
def test_axe_finds_nothing_serious(
    fake: Fake, visit: Visit, name: str, options: dict[str, Any]
) -> None:
    page = visit(fake.url, **options)
    picture(page, f"idle-{name}")
    assert serious(page) == []
    begin_event(page)
    expect(page.locator("#measured")).to_contain_text(".")
    expect(page.locator("#said")).not_to_have_class("said shown", timeout=60_000)
    # Gone altogether: what is half faded has no contrast, and the page's policy forbids an eval.
    expect(page.locator("#said")).to_have_css("opacity", "0")
    assert serious(page) == []
    picture(page, f"event-{name}")
    page.get_by_role("button", name="Opt out").click()
    assert serious(page) == []
    page.keyboard.press("Escape")
    fake.fault(stale=True, offline=True)
    expect(page.locator("#live")).to_have_text("Meter stale")
    assert serious(page) == []
    picture(page, f"stale-{name}")


def test_a_phone_needs_no_scrolling_sideways(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url, **{**PHONE, "viewport": {"width": 320, "height": 700}})
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    begin_event(page)
    expect(page.locator("#event-state")).to_have_text("Running")
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    for button in page.locator("button:visible, select:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 24


def test_the_whole_page_is_under_150_kb_and_asks_nobody_else(fake: Fake, visit: Visit) -> None:
    page = visit("about:blank", live=False)
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(fake.url)
    page.wait_for_selector("body.is-live #circuits tr")
    files = [answer for answer in answers if "/api/" not in answer.url]
    assert len(files) > 5
    assert all(answer.url.startswith(fake.url) for answer in answers)
    total = sum(len(answer.body()) for answer in files)
    assert total < MAX_BYTES, {answer.url: len(answer.body()) for answer in files}


def test_without_control_nothing_can_be_pressed(serve: Callable[..., Fake], visit: Visit) -> None:
    page = visit(serve("--read-only").url)
    expect(page.locator("#kind")).to_contain_text("shown only")
    expect(page.locator("#trigger")).not_to_be_visible()
    expect(page.locator("#opt")).not_to_be_visible()
    for control in page.locator("#circuits button:not(.open), #circuits select").all():
        expect(control).to_be_disabled()
    picture(page, "read-only")


def test_with_a_token_a_person_logs_in_and_out(serve: Callable[..., Fake], visit: Visit) -> None:
    fake = serve("--token", TOKEN)
    page = visit(fake.url, live=False)
    picture(page, "login", whole=False)
    assert serious(page) == []
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("alert")).to_have_text("That is not the token of this page.")
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("body.is-live #circuits tr")
    fake.stop()
    expect(page.locator("#live")).to_have_text("Disconnected")
    fake.start()
    expect(page.locator("#live")).to_have_text(
        "All is well", timeout=60_000
    )  # the session outlives it
    begin_event(page)
    expect(page.locator("#event-state")).to_have_text("Running")
    page.get_by_role("button", name="log out").click()
    expect(page.get_by_label("Token")).to_be_visible()


POST = """async (url) => {
  const headers = { 'Content-Type': 'text/plain' };
  const body = JSON.stringify({ shed_kw: 5 });
  const own = await fetch(url + '/api/events', { method: 'POST', mode: 'no-cors', headers, body })
    .then((answer) => answer.type, () => 'blocked');
  const json = await fetch(url + '/api/events', {
    method: 'POST', headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': 'x' }, body,
  }).then((answer) => answer.status, () => 'blocked');
  const read = await fetch(url + '/api/session').then((answer) => answer.text(), () => 'blocked');
  return { own, json, read };
}"""


def test_another_sites_page_can_neither_read_nor_change(
    fake: Fake, serve: Callable[..., Fake], chromium: Any
) -> None:
    page = chromium.new_page()
    page.route("http://evil.example/", lambda route: route.fulfill(body="<p>evil</p>"))
    page.goto("http://evil.example/")
    tried = page.evaluate(POST, fake.url)
    assert tried["json"] == "blocked"
    assert tried["read"] == "blocked"
    page.goto(fake.url)
    page.wait_for_selector("body.is-live #circuits tr")
    expect(page.locator("#next")).to_be_visible()
    page.close()


def test_a_name_rebound_to_this_machine_shows_nothing(fake: Fake, chromium: Any) -> None:
    page = chromium.new_page()
    answer = page.goto(fake.url.replace("127.0.0.1", "rebound.example"))
    assert answer.status == 421
    assert "web.names" in page.inner_text("body")
    page.close()


def test_the_page_cannot_be_framed(fake: Fake, chromium: Any) -> None:
    page = chromium.new_page()
    page.route(
        "http://evil.example/",
        lambda route: route.fulfill(
            content_type="text/html", body=f'<iframe src="{fake.url}/"></iframe>'
        ),
    )
    page.goto("http://evil.example/")
    assert [frame.url for frame in page.frames[1:]] == ["chrome-error://chromewebdata/"]
    page.close()
