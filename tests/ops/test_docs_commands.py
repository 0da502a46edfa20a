"""Every command of the documents is run by tests/documents, or stands in a list with a reason."""

from __future__ import annotations

from tests.config.builders import ROOT
from tests.documents import tables
from tests.documents.pages import PAGES, Command, commands, unknown_languages
from tests.support.each_case import each_case

EVERY = [command for page in PAGES for command in commands(page)]
RUN = [command for command in EVERY if not tables.is_left_out(command.text)]


def test_the_documents_have_commands_and_each_stands_where_it_is_found() -> None:
    assert len(EVERY) > 80
    for command in EVERY:
        line = (ROOT / command.page).read_text().splitlines()[command.line - 1]
        assert command.text.split()[0] in line, command


@each_case("command", EVERY, ids=str)
def test_every_command_is_run_or_left_out_for_a_reason(command: Command) -> None:
    played = command.page in (*tables.SITE, *tables.OWN_PLATFORM, *tables.ON_11, *tables.CLOUD)
    by_hand = command.page in tables.BY_HAND
    assert played or by_hand or tables.is_left_out(command.text), (
        f"{command}: no test runs its page"
    )


def test_no_page_is_run_in_two_places() -> None:
    pages = [*tables.SITE, *tables.OWN_PLATFORM, *tables.ON_11, *tables.BY_HAND, *tables.CLOUD]
    assert len(pages) == len(set(pages))
    assert all((ROOT / page).exists() for page in pages)


@each_case("entry", tables.NOT_RUN)
def test_what_is_left_out_still_stands_in_a_document(entry: str) -> None:
    assert any(tables.covers(entry, command.text) for command in EVERY)
    assert len(tables.NOT_RUN[entry]) > 10


@each_case("entry", [*tables.HELP_ONLY, *tables.SAYS])
def test_what_is_expected_of_a_command_is_of_one_that_is_run(entry: str) -> None:
    assert any(tables.begins(command.text, entry) for command in RUN)


@each_case("entry", [*tables.UNTIL_INTERRUPTED, *tables.LAST])
def test_what_is_done_with_a_command_is_done_with_one_that_is_run(entry: str) -> None:
    assert entry in [command.text for command in RUN]


@each_case("theirs", tables.SUBSTITUTIONS)
def test_what_is_substituted_still_stands_in_a_command(theirs: str) -> None:
    assert any(theirs in command.text for command in RUN)


def test_a_block_in_another_language_is_known_to_hold_no_commands() -> None:
    assert {language for page in PAGES for language in unknown_languages(page)} == set()
