"""The VOLTTRONs that `start` can bring up, and which one a VOLTTRON of somebody else is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class VolttronGeneration:
    """A VOLTTRON that `start` brings up: and where it is."""

    number: int
    environment: str
    """Folder of its virtual environment, below the state root."""
    volttron_home: str
    """Folder of its VOLTTRON_HOME, below the state root: each has one of its own."""


VOLTTRON_GENERATIONS = {
    10: VolttronGeneration(10, "platform", "volttron"),
    11: VolttronGeneration(11, "platform11", "volttron-11"),
}
DEFAULT_VOLTTRON_GENERATION = 10


def remembered_volttron_generation(settings: Path) -> int:
    """That of the last `start`, of its settings.json; the default before the first."""
    try:
        number = json.loads(settings.read_text()).get("volttron")
    except (OSError, ValueError, AttributeError):
        return DEFAULT_VOLTTRON_GENERATION
    return number if number in VOLTTRON_GENERATIONS else DEFAULT_VOLTTRON_GENERATION


def existing_volttron_generation(programs: Path) -> int:
    """Of an environment that somebody else has made, by the packages beside its programs.

    9 is run from a clone of its repository, which leaves no package of 10's or 11's names.
    """
    for packages in programs.parent.glob("lib/python3*/site-packages"):
        names = " ".join(each.name for each in packages.glob("volttron*.dist-info"))
        if re.search(r"\bvolttron_core-[2-9]|\bvolttron-11", names):
            return 11
        if re.search(r"\bvolttron-10", names):
            return 10
        if re.search(r"\bvolttron-9", names) or any(packages.glob("*volttron*.egg-link")):
            return 9
    return DEFAULT_VOLTTRON_GENERATION
