"""The last configuration that was taken, kept for a start that finds a bad one in the store.

Without it a slip in the config store would end the site at its next power cut: nothing would be
restored of an event that was under way.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)


class LastConfig:
    """The store's entry as it was, before the environment's secrets; for nobody else to read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, contents: Any) -> None:
        """Written only where it is another one. What cannot be written is logged: the agent runs
        with it all the same."""
        fresh = self._path.with_name(f"{self._path.name}.new")
        try:
            text = json.dumps(contents, sort_keys=True)
            if text == self._text():
                return
            fresh.unlink(missing_ok=True)
            own = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(own, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except (OSError, TypeError, ValueError) as error:
            _log.warning("%s could not be written: %s", self._path, error)

    def read(self) -> Any:
        """None if none is kept, or it cannot be read."""
        try:
            return json.loads(self._text() or "null")
        except ValueError:
            return None

    def _text(self) -> str | None:
        try:
            return self._path.read_text()
        except (OSError, UnicodeDecodeError):
            return None
