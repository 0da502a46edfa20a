"""The console's words stand in one file, and the whole of it stays light."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from backend.console.console_page import FILES, STATIC

OTHERS = {"texts.js", "openadr-texts.js", "docs.js", "uPlot.iife.min.js"}
"""The files of words; the API's document, whose words are the API's own; a library."""
WHEN_OPENED = {"openadr.js", "openadr-texts.js"}
"""A page that few need: a browser loads it when it is opened."""
MOST_BYTES_WHEN_OPENED = 6_000
_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`')
_WORDS = re.compile(r"(^|\s)[A-Z][a-z]+($|[\s.,:…!?])|[a-z]{2,}[.!?] ")
_CHILD = re.compile(r'\},\s*"([^"]*[A-Za-z]{2}[^"]*)"')
"""What an element of the page holds, however it is written."""
MOST_BYTES = 150_000


def words_of(script: str) -> list[str]:
    """The texts in a script that somebody reads; of those with `${…}` what is around it."""
    code = re.sub(r"(^|[^:\"'`])//[^\n]*", r"\1", script)
    texts = [
        double or re.sub(r"\$\{[^{}]*(\{[^{}]*\}[^{}]*)*\}", "", template)
        for double, template in _STRING.findall(code)
    ]
    return [text for text in texts if _WORDS.search(text)] + _CHILD.findall(code)


class _Words(HTMLParser):
    """The text of a page, but for its title and what is for browsers without scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._within: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "img"):
            self._within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._within:
            del self._within[self._within.index(tag) :]

    def handle_data(self, data: str) -> None:
        if data.strip() and not {"noscript", "title"} & set(self._within):
            self.found.append(data.strip())


def test_every_word_is_in_one_file() -> None:
    found = [
        f"{name}: {text}"
        for name in sorted(FILES)
        if name.endswith(".js") and name not in OTHERS
        for text in words_of((STATIC / name).read_text())
    ]
    assert found == []
    page = _Words()
    page.feed((STATIC / "index.html").read_text())
    assert page.found == ["VenAgent"]


def test_a_word_that_stands_elsewhere_is_found() -> None:
    script = 'h("p", { class: "row between" }, "off"); ask("No VEN", `${a ? "x" : "y"} kW. It`)'
    assert words_of(script) == ["No VEN", " kW. It", "off"]


def test_the_console_is_light_and_names_all_its_files() -> None:
    """What a browser loads for it, without compression; the API's document is another page."""
    there = {path.name for path in STATIC.iterdir()}
    assert there - set(FILES) == {"index.html", "docs.html", "uPlot.LICENSE"}
    loaded = there - {"docs.html", "docs.js", "uPlot.LICENSE"} - WHEN_OPENED
    assert sum((STATIC / name).stat().st_size for name in loaded) < MOST_BYTES
    later = sum((STATIC / name).stat().st_size for name in WHEN_OPENED)
    assert later < MOST_BYTES_WHEN_OPENED
