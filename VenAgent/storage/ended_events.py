"""Which events are over, kept outside the agent's own folder.

`vctl install --force` of VOLTTRON 9 and 11 copies the folder of the running agent first and stops
it afterwards: what the stop wrote is lost with the old folder, and the copy's journal says of an
event that is over, acked and restored that it still runs. It would be shed a second time.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

_log = logging.getLogger(__name__)

KEPT = 500


class EndedEvents:
    """Events that had begun and are over, by id and modification: a line each, synced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ended = self._read()
        if len(self._ended) > KEPT:
            self._rewrite(list(self._ended)[-KEPT:])

    def __contains__(self, event: tuple[str, int]) -> bool:
        return event in self._ended

    def add(self, event_id: str, modification: int) -> None:
        """Remember it. A disk that does not take it is logged: the journal has it all the same."""
        if (event_id, modification) in self._ended:
            return
        self._ended[event_id, modification] = None
        try:
            with self._path.open("a") as file:
                # first the end of a line that a power cut may have cut off
                file.write("\n" + json.dumps([event_id, modification]) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            _log.warning("%s could not be written: %s", self._path, error)

    def _read(self) -> dict[tuple[str, int], None]:
        """In order; a line that was cut off by a power cut is left out."""
        try:
            lines = self._path.read_text(errors="replace").splitlines()
        except OSError:
            return {}
        found: dict[tuple[str, int], None] = {}
        for line in lines:
            try:
                event_id, modification = json.loads(line)
            except (ValueError, TypeError):
                continue
            if isinstance(event_id, str) and isinstance(modification, int):
                found[event_id, modification] = None
        return found

    def _rewrite(self, kept: list[tuple[str, int]]) -> None:
        self._ended = dict.fromkeys(kept)
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            new.write_text("".join(json.dumps(event) + "\n" for event in kept))
            new.replace(self._path)
        except OSError as error:
            _log.warning("%s could not be written: %s", self._path, error)
