"""The local page in a real Chromium: what a person sees, does, and is told."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.chromium import picture
from tests.browser.conftest import Fake

Visit = Callable[..., Page]


def begin_event(page: Page, shed_kw: str = "5", minutes: str = "10") -> None:
    page.fill("#shed-kw", shed_kw)
    page.fill("#minutes", minutes)
    page.get_by_role("button", name="Start an event").click()
    page.get_by_role("button", name="Start now").click()


def circuit(page: Page, name: str):  # type: ignore[no-untyped-def]
    return page.get_by_role("row").filter(has=page.get_by_role("switch", name=name))


def test_the_page_shows_power_circuits_events_and_connection(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    expect(page.locator("h1")).to_have_text("fake_site")
    assert 20.0 < float(page.locator("#power").inner_text()) < 25.0
    expect(page.locator("#sentence")).to_have_text("All is well.")
    expect(page.locator("#live")).to_have_text("All is well")
    expect(page.locator("#technical")).to_contain_text("meter live")
    expect(page.locator("#circuits tr")).to_have_count(8)
    expect(circuit(page, "Refrigerator")).to_contain_text("critical")
    expect(page.locator("#events tr").first).to_contain_text("5.0 kW less")
    expect(page.locator("#events tr").first).to_contain_text("94 %")
    expect(page.locator("#fact-broker")).to_contain_text("127.0.0.1:1883")
    expect(page.locator("#fact-certificate")).to_contain_text("days")
    expect(page.locator("#curve canvas")).to_have_count(1)
    picture(page, "light")


def test_an_event_is_triggered_seen_and_restored(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    begin_event(page)
    expect(page.locator("#said")).to_contain_text("The event has begun")
    expect(page.locator("#event-state")).to_have_text("Running")
    expect(page.locator("#left")).to_contain_text("9:5")
    expect(page.locator("#requested")).to_contain_text("5.0")
    expect(page.locator("#measured")).to_contain_text(".")
    expect(page.locator("#target")).to_contain_text("kW")
    expect(circuit(page, "Water Heater")).to_contain_text("Shed")
    expect(circuit(page, "EV Charger")).to_contain_text("Limited")
    expect(circuit(page, "Refrigerator")).to_contain_text("spared: critical")
    picture(page, "event")
    page.get_by_role("button", name="End now and restore").click()
    expect(page.locator("#next")).to_be_visible()
    expect(circuit(page, "Water Heater")).to_contain_text("On")
    expect(page.locator("#events tr").first).to_contain_text("Completed")
    expect(page.locator("#events tr").first).to_contain_text("kWh")


def test_a_refusal_is_told_in_the_agents_words(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    begin_event(page, shed_kw="500")
    expect(page.locator("#said")).to_contain_text("more than the panel's rating of 48 kW")
    expect(page.locator("#next")).to_be_visible()


def test_nothing_happens_when_the_question_is_answered_with_no(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    page.get_by_role("button", name="Start an event").click()
    picture(page, "question", whole=False)
    page.keyboard.press("Escape")
    circuit(page, "Dryer").get_by_role("switch").click()
    page.get_by_role("button", name="Cancel").click()
    expect(circuit(page, "Dryer").get_by_role("switch")).to_be_checked()
    expect(page.locator("#next")).to_be_visible()


def test_a_circuit_is_switched_by_the_keyboard_alone(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    switch = circuit(page, "Dryer").get_by_role("switch")
    for _ in range(80):
        page.keyboard.press("Tab")
        if switch.evaluate("node => node === document.activeElement"):
            break
    page.keyboard.press("Space")
    expect(page.get_by_role("dialog")).to_contain_text("Switch off Dryer?")
    page.keyboard.press("Enter")
    expect(switch).not_to_be_checked()
    expect(circuit(page, "Dryer")).to_contain_text("Off")
    expect(switch).to_be_focused()
    page.keyboard.press("Space")
    expect(switch).to_be_checked()
    expect(circuit(page, "Dryer")).to_contain_text("On")


def test_a_priority_is_changed(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    page.get_by_label("Priority of Dryer").select_option("2")
    expect(page.locator("#said")).to_contain_text("Dryer has priority 2.")
    page.reload()
    expect(page.get_by_label("Priority of Dryer")).to_have_value("2")


def test_a_critical_circuit_is_not_switched_from_here(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    switch = circuit(page, "Refrigerator").get_by_role("switch")
    expect(switch).to_be_checked()
    expect(switch).to_be_disabled()
    expect(page.get_by_label("Priority of Refrigerator")).to_be_disabled()


def test_a_person_opts_out_and_in_again(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    begin_event(page)
    expect(page.locator("#event-state")).to_have_text("Running")
    page.get_by_role("button", name="Opt out").click()
    page.get_by_label("Why").fill("guests in the house")
    page.get_by_role("dialog").get_by_role("button", name="Opt out").click()
    expect(page.locator("#part")).to_have_text("This site has opted out.")
    expect(page.locator("#live")).to_have_text("Opted out")
    expect(page.locator("#sentence")).to_contain_text("(guests in the house): events are refused")
    expect(page.locator("#next")).to_be_visible()
    expect(page.get_by_role("button", name="Start an event")).to_be_disabled()
    page.locator("#opt").click()
    expect(page.locator("#part")).to_have_text("This site takes part in events.")


def test_opting_out_has_an_end_that_can_be_chosen(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    page.locator("#opt").click()
    page.get_by_label("Until").select_option("14400")
    page.get_by_role("dialog").get_by_role("button", name="Opt out").click()
    expect(page.locator("#sentence")).to_contain_text("Opted out until ")
    expect(page.locator("#able")).to_contain_text("Nothing can be shed now")
    fake.fault(offline=True)
    expect(page.locator("#live")).to_have_text("No broker")
    banner = page.locator("#banners li").first
    expect(banner).to_contain_text("Opted out until ")
    picture(page, "opted-out")
    banner.get_by_role("button", name="Take part again").click()
    expect(page.locator("#part")).to_have_text("This site takes part in events.")
    expect(page.locator("#banners li")).to_have_count(0)


def test_the_oddest_record_is_shown_and_nothing_else_is_lost(fake: Fake, visit: Visit) -> None:
    """What is stored may be of another version, or far beyond any calendar."""
    page = visit(fake.url)
    fake.fault(extreme=True)
    expect(page.locator("#next")).to_contain_text("a day far off")
    expect(page.locator("#events tr").nth(1)).to_contain_text("of another version")
    expect(page.locator("#live")).to_have_text("Refused")
    refused = page.get_by_text("An event was not carried out at")
    expect(refused).to_be_visible()
    expect(refused).not_to_contain_text("far off")  # when it was refused, not its end
    expect(page.locator("#banners")).to_contain_text("kW less from")
    picture(page, "extreme-record")
    fake.fault(offline=True)  # it goes on
    expect(page.locator("#live")).to_have_text("No broker")
    again = visit(fake.url)
    expect(again.locator("#next")).to_contain_text("a day far off")


def test_the_pill_says_what_the_sentence_says(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    begin_event(page)
    expect(page.locator("#live")).to_have_text("Reducing")
    expect(page.locator("#sentence")).to_contain_text("Reducing by 5.0 kW until ")
    page.get_by_role("button", name="End now and restore").click()
    expect(page.locator("#live")).to_have_text("Restoring")
    expect(page.locator("#sentence")).to_contain_text("the circuits go back one after the other")
    expect(page.locator("#live")).to_have_text("All is well")


def test_a_stale_meter_and_a_lost_broker_are_marked(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    fake.fault(stale=True)
    expect(page.locator("#live")).to_have_text("Meter stale")
    expect(page.locator("#power")).to_have_text("\u2013")
    expect(page.locator("#load-text")).to_contain_text("Last read: 2")
    expect(circuit(page, "Dryer")).to_contain_text("Not read")
    picture(page, "stale")
    fake.fault(stale=False, offline=True)
    expect(page.locator("#live")).to_have_text("No broker")
    expect(page.locator("#sentence")).to_contain_text("no event arrives from outside")
    expect(page.locator("#technical")).to_contain_text("MQTT: nothing listens")
    expect(page.locator("#fact-broker")).to_contain_text("not reached")
    expect(page.locator("#fact-outbox")).to_have_text("17 messages")
    expect(page.locator("#alerts li").first).to_contain_text("nothing listens")
    picture(page, "offline")
    fake.fault(offline=False)
    over = page.locator("#alerts li").first
    expect(over.locator(".chip")).to_have_text("over")
    expect(over).to_contain_text("over MQTT: nothing listens")


def test_what_waits_and_what_goes_back_are_said(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    fake.fault(waiting=True)
    expect(page.locator("#live")).to_have_text("Scheduled")
    expect(page.locator("#sentence")).to_contain_text("5.0 kW less from")
    expect(page.locator("#sentence")).to_contain_text("and 1 more")
    expect(page.locator("#next")).to_contain_text("Next: 5.0 kW less at")
    picture(page, "scheduled")
    fake.fault(ending=True)
    expect(page.locator("#live")).to_have_text("Restoring")
    expect(page.locator("#sentence")).to_contain_text("1 of 2 are back")
    expect(page.locator("#event-state")).to_have_text("Restoring…")
    expect(page.locator("#banners")).to_contain_text("5.0 kW less from")
    expect(page.locator("#restore")).to_be_disabled()
    picture(page, "restoring")


def test_the_agent_is_lost_and_comes_back(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    fake.stop()
    expect(page.locator("#live")).to_have_text("Disconnected")
    expect(page.locator("#sentence")).to_contain_text("The agent does not answer")
    changing = "main button:not(.open):not([aria-pressed])"  # the others only show
    for control in page.locator(f"{changing}, main input:not([type=search]), main select").all():
        expect(control).to_be_disabled()
    picture(page, "disconnected")
    fake.start()
    expect(page.locator("#live")).to_have_text("All is well", timeout=60_000)
    circuit(page, "Dryer").get_by_role("switch").click()  # with the new agent's CSRF token
    page.get_by_role("button", name="Switch off").click()
    expect(circuit(page, "Dryer")).to_contain_text("Off")


def test_the_curve_shows_a_moment_under_the_pointer(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    now = page.locator("#at").inner_text()
    box = page.locator("#curve .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 50)
    expect(page.locator("#at")).not_to_have_text(now)
    expect(page.locator("#at-target")).to_have_text("17.4")
    label = page.locator("#curve").get_attribute("aria-label") or ""
    assert "lowest 1" in label
    assert "highest 2" in label


def test_nothing_on_the_page_moves_through_a_whole_event(fake: Fake, visit: Visit) -> None:
    page = visit(fake.url)
    begin_event(page, minutes="0.1")
    expect(page.locator("#event-state")).to_have_text("Running")
    fake.fault(offline=True)
    expect(page.locator("#events tr").first).to_contain_text("Completed", timeout=60_000)
    fake.stop()
    expect(page.locator("#live")).to_have_text("Disconnected")
    assert page.evaluate("window.shifted") == []
