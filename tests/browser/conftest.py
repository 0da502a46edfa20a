"""A real Chromium (Debian's) on the page of a site that moves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chromium import launched, take_note
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


class Fake:
    """The process that serves tests/web/fake_site.py; `stop` and `start` again: an agent lost."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        python = os.environ.get("VENAGENT_GEVENT_PYTHON", sys.executable)
        self._process = subprocess.Popen(
            [python, "-m", "tests.web.fake_site", "--port", str(self.port), *self._options],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE", ""),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == self.url

    def fault(self, **faults: bool) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(faults) + "\n")
        self._process.stdin.flush()

    def freeze(self) -> None:
        """It keeps its connections and says nothing more, as a hung agent does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()
            self._process = None


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright, launched(playwright) as browser:
        yield browser


@pytest.fixture
def serve() -> Iterator[Callable[..., Fake]]:
    """Starts a site with these options; all are stopped at the end."""
    started = []

    def start(*options: str) -> Fake:
        fake = Fake(*options)
        started.append(fake)
        fake.start()
        return fake

    yield start
    for fake in started:
        fake.stop()


@pytest.fixture
def fake(serve: Callable[..., Fake]) -> Fake:
    return serve()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens an address in a window of its own; at the end, what the browser complained of fails
    the test (but for connections that the test itself broke)."""
    pages: list[tuple[Page, list[str]]] = []

    def open_page(url: str, *, live: bool = True, **options: Any) -> Page:
        options.setdefault("viewport", {"width": 1240, "height": 900})
        page = chromium.new_context(**options).new_page()
        pages.append((page, take_note(page)))
        page.goto(url)
        if live:
            page.wait_for_selector("body.is-live #circuits tr")
        return page

    yield open_page
    complaints = [text for _, noted in pages for text in noted]
    for page, _ in pages:
        page.context.close()
    assert complaints == []
