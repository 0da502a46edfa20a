"""Ends the agent under test by SIGKILL at the decision of its journal that a test names.

Python imports this module at the start of every process that the tests' platform starts (it is on
their PYTHONPATH, see conftest.py); it does something in the agent only, and only when it is asked:
`$VOLTTRON_HOME/kill-at.json` is `{"decision": …, "when": "before" | "after"}`. A decision is known
by a step that it begins (prepare, write, restore) or by the status of an ack that it sends.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

AGENT = "ven.agent"


def _install(order: Path) -> None:
    from VenAgent.storage.journal import Journal

    write = Journal.write

    def write_or_die(
        journal: Any, records: Iterable[Any], acks: Iterable[Any], now: float, **more: Any
    ) -> list[int]:
        acks, steps = list(acks), list(more.pop("steps", ()))
        wanted: dict[str, str] = json.loads(order.read_text()) if order.exists() else {}
        names = {noted.step for noted in steps} | {ack.body["status"] for ack in acks}
        is_due = wanted.get("decision") in names
        if is_due:
            order.unlink()
        if is_due and wanted["when"] == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        numbers = write(journal, records, acks, now, steps=steps, **more)
        if is_due:
            os.kill(os.getpid(), signal.SIGKILL)
        return numbers

    Journal.write = write_or_die  # type: ignore[method-assign]


if os.environ.get("AGENT_VIP_IDENTITY") == AGENT and "VOLTTRON_HOME" in os.environ:
    _install(Path(os.environ["VOLTTRON_HOME"]) / "kill-at.json")
