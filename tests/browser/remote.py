"""A Chromium worked by another process: one JSON call a line on stdin, its answer on stdout.

The tests of a whole platform run in VOLTTRON's environment, which has no Playwright; they start
this in the tools' environment (tests/platform/test_web_page.py).
"""

from __future__ import annotations

import json
import sys
from typing import Any

from playwright.sync_api import Error, Page, expect, sync_playwright

from tests.browser.chromium import launched, picture, take_note

PATIENCE_MS = 20_000


class Hand:
    """What can be asked for. A locator is Playwright's text, e.g. `#power` or `text=Dryer`."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._noted = take_note(page)
        page.set_default_timeout(PATIENCE_MS)

    def visit(self, url: str) -> None:
        self._page.goto(url)
        self.wait("body.is-live #circuits tr")

    def wait(self, locator: str) -> None:
        self._page.wait_for_selector(locator)

    def click(self, locator: str) -> None:
        self._page.click(locator)

    def fill(self, locator: str, text: str) -> None:
        self._page.fill(locator, text)

    def text(self, locator: str) -> str:
        return self._page.inner_text(locator)

    def see(self, locator: str, text: str) -> None:
        """Wait until the element has this text in it."""
        expect(self._page.locator(locator).first).to_contain_text(text, timeout=PATIENCE_MS)

    def look(self, script: str) -> Any:
        return self._page.evaluate(script)

    def picture(self, name: str) -> None:
        picture(self._page, name)

    def noted(self) -> list[str]:
        return self._noted


def main() -> None:
    with sync_playwright() as playwright, launched(playwright) as browser:
        page = browser.new_page(viewport={"width": 1240, "height": 900})
        hand = Hand(page)
        for line in sys.stdin:
            call = json.loads(line)
            try:
                answer = {"result": getattr(hand, call["do"])(*call["with"])}
            except (Error, AssertionError) as error:
                answer = {"error": str(error)}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
