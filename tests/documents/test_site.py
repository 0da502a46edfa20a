"""The commands of the documents, beside the site that their `start` brings up."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.config.builders import ROOT
from tests.documents.pages import Command
from tests.documents.play import each, play
from tests.documents.reader import Reader
from tests.documents.site import copied_model
from tests.documents.tables import SITE, begins
from tests.documents.vtn import shed_what_each_vtn_asks
from tests.support.ports import free_port
from tests.support.readable_files import told_to_others


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """With the files that the pages let a reader write."""
    reader = Reader("s")
    shutil.copy(ROOT / "config", reader.clone / "my-config.json")
    documented = re.search(
        r"```json\n(\{[^`]*\"connection\"[^`]*)```", (ROOT / "docs/volttron.md").read_text()
    )
    assert documented is not None
    historian = documented[1].replace("my_ven", "volttron_thing")
    (reader.clone / "historian.json").write_text(historian)
    copied_model(reader.own / "mysite", reader.ports["VEN_PANEL_PORT"])
    try:
        yield reader
    finally:
        reader.run("./scripts/ven_control.sh backend stop; ./scripts/ven_control.sh stop")


@each(SITE)
def test_a_command_does_what_its_page_says(reader: Reader, command: Command) -> None:
    if begins(command.text, "./scripts/test_e2e_event_flow.py"):
        reader.run("./scripts/ven_control.sh restore")  # the event of the pages before
    if "/ID/" in command.text:
        made = next(said for text, said in reader.said.items() if "-X POST" in text)
        found = re.search(r'"id": ?"([^"]+)"', made)
        assert found is not None
        reader.words["/ID/"] = f"/{found[1]}/"
    if begins(command.text, "env OPENADR_"):
        shed_what_each_vtn_asks(reader, command)
        return
    variables = {}
    if begins(command.text, "python -m backend"):
        variables = {
            "DATABASE_URL": f"sqlite:///{reader.folder / 'by-hand.sqlite'}",
            "MQTT_HOST": "127.0.0.1",
            "MQTT_PORT": str(reader.ports["VEN_BROKER_PORT"]),
            "API_PORT": str(free_port()),
            "INGEST_HEALTH_PORT": str(free_port()),
        }
    play(reader, command, **variables)
    if command.text.endswith("vctl config edit ven.agent config"):
        assert '"amperage": 190' in reader.run("vctl config get ven.agent config")


def test_nothing_secret_of_the_site_can_be_read_by_others(reader: Reader) -> None:
    """After all pages: keys of VOLTTRON, of the backend and of the site, wherever they stand."""
    home = Path(reader.environment["VENAGENT_HOME"])
    keys = [
        json.loads(file.read_text())["secret"] for file in home.glob("volttron/**/keystore.json")
    ]
    keys += re.findall(r"ven_\S{20,}", "\n".join(reader.said.values()))
    assert keys
    assert told_to_others(home, keys) == []
