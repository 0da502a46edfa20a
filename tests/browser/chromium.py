"""Debian's Chromium under Playwright, as all our browser tests start it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, Playwright

EXECUTABLE = os.environ.get("CHROMIUM", "/usr/bin/chromium")
SCREENSHOTS = Path(os.environ.get("VENAGENT_SCREENSHOTS", Path(__file__).parent / "results"))

ARGUMENTS = (
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--host-resolver-rules=MAP rebound.example 127.0.0.1",
)

# Keeps what moves without a person's doing, from the first picture on.
WATCH_SHIFTS = """
window.shifted = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    for (const { node } of entry.sources) {
      const moved = node && (node.outerHTML || node.parentNode.outerHTML);
      window.shifted.push((moved || 'gone').slice(0, 120));
    }
  }
}).observe({ type: 'layout-shift', buffered: true });
"""


@contextmanager
def launched(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=list(ARGUMENTS))
    try:
        yield browser
    finally:
        browser.close()


def take_note(page: Page) -> list[str]:
    """What the page's script and the browser's rules complain of; broken connections do not."""
    noted: list[str] = []
    page.on("pageerror", lambda error: noted.append(str(error)))
    page.on(
        "console",
        lambda message: (
            noted.append(message.text)
            if message.type in ("error", "warning") and "Failed to load" not in message.text
            else None
        ),
    )
    page.add_init_script(WATCH_SHIFTS)
    return noted


def picture(page: Page, name: str, *, whole: bool = True) -> None:
    """Kept to be looked at (results/, which git ignores)."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)
