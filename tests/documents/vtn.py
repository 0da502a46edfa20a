"""A utility's VTN beside the reader's site: its event is shed by the panel."""

from __future__ import annotations

import sys
from typing import Any

from simulator.simulated_panel_control import SimulatedPanelControl
from tests.documents.pages import Command
from tests.documents.play import play
from tests.documents.reader import Reader, process
from tests.support.ports import free_port

_VTNS = (("vtn3", "3.1", ""), ("vtn20b", "2.0b", "/OpenADR2/Simple/2.0b"))
"""Of tests/openadr: the small one of 3.1, and openleadr's."""
_EVENT_SEC = 15
_WITHIN_SEC = 90.0


def shed_what_each_vtn_asks(reader: Reader, command: Command) -> None:
    """The command with the lines before it, for a VTN of each version: the panel sheds what it
    publishes, and has it back when that is over."""
    words = reader.words
    for module, version, path in _VTNS:
        port = free_port()
        reader.words = {
            "https://vtn.utility.example/openadr3/3.1.0": f"http://127.0.0.1:{port}{path}",
            "OPENADR_VERSION=3.1": f"OPENADR_VERSION={version}",
            "OPENADR_POLL_SEC=10": "OPENADR_POLL_SEC=1",
            "my-client": "ven-client",
            "my-secret": "secret",
        }
        vtn = [sys.executable, "-m", f"tests.openadr.{module}", "--port", str(port)]
        with (
            SimulatedPanelControl(reader.ports["VEN_PANEL_CONTROL_PORT"]) as panel,
            process(
                [*vtn, "--seconds", str(_EVENT_SEC)],
                cwd=reader.clone,
                env=reader.surroundings("python"),
                stdout=reader.log(module),
            ),
        ):
            panel.wait_until(_is_whole, _WITHIN_SEC)
            play(reader, command)
            panel.wait_until(lambda state: not _is_whole(state), _WITHIN_SEC)
            panel.wait_until(_is_whole, _WITHIN_SEC)
    reader.words = words


def _is_whole(state: dict[str, Any]) -> bool:
    """Nothing is shed."""
    return all(state["contactors"].values()) and set(state["limits_percent"].values()) == {100}
