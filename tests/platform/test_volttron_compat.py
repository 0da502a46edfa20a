"""volttron_compat.py on each generation of VOLTTRON, each in a process of its own.

10 is the one these tests run in. 9 is a stand-in (faces/volttron9): it is not on PyPI. 11 is a
stand-in too, and the real one beside it when VENAGENT_V11_PYTHON names a Python that has it. The
checks themselves are in faces/checks.py, for the Python of another generation has no pytest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.platform.faces import checks

ROOT = Path(__file__).parents[2]
FACES = Path(__file__).parent / "faces"
REAL_11 = os.environ.get("VENAGENT_V11_PYTHON", "")


@dataclass(frozen=True)
class Face:
    generation: int
    python: str = sys.executable
    stands_in: bool = True

    def __str__(self) -> str:
        return f"{self.generation}-{'stand-in' if self.stands_in else 'real'}"


STAND_INS = [Face(9), Face(11)]
REAL = [Face(10, stands_in=False)]
if REAL_11:
    REAL.append(Face(11, REAL_11, stands_in=False))


@cache
def outcome_of(face: Face) -> Mapping[str, str | None]:
    """What each check came to on `face`: None, or the traceback."""
    path = [FACES / f"volttron{face.generation}"] if face.stands_in else []
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VOLTTRON", "AGENT_", "_LAUNCHED"))
    }
    environment.update(
        # The stand-in is a whole package `volttron`, found first: nothing of a real one is seen.
        PYTHONPATH=os.pathsep.join(str(folder) for folder in [*path, ROOT]),
        PYTHONDONTWRITEBYTECODE="1",
        FACE_GENERATION=str(face.generation),
        FACE_STANDS_IN="yes" if face.stands_in else "no",
    )
    done = subprocess.run(
        [face.python, str(FACES / "checks.py")],
        env=environment,
        cwd=FACES,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    outcome: Mapping[str, str | None] = json.loads(done.stdout.splitlines()[-1])
    return outcome


@pytest.mark.parametrize("check", checks.CHECKS)
@pytest.mark.parametrize("face", [*STAND_INS, *REAL], ids=str)
def test_face(face: Face, check: str) -> None:
    failure = outcome_of(face)[check]
    assert failure is None, failure
