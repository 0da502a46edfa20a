"""What VOLTTRON of each generation reads of the package, from the same root."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import VenAgent.version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_stands_in_both_places() -> None:
    """VOLTTRON 11 asks poetry for it, which reads only a version that is written out."""
    assert PROJECT["version"] == VenAgent.version.__version__


def test_every_generation_finds_its_entry_point() -> None:
    main = "VenAgent.agent:main"
    assert PROJECT["entry-points"]["setuptools.installation"] == {"eggsecutable": main}
    assert PROJECT["entry-points"]["volttron.agent"] == {"launch": main}
    assert PROJECT["scripts"] == {PROJECT["name"]: main}, "11 looks for the distribution's name"


def test_where_there_is_no_volttron_the_command_says_so_in_a_sentence() -> None:
    """Whoever installed the package by its name gets to know what is missing."""
    block = "import sys; sys.modules.update(gevent=None, volttron=None); import VenAgent.agent"
    done = subprocess.run([sys.executable, "-c", block], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("VenAgent runs as an agent of VOLTTRON")
    assert "vctl install" in done.stderr
    assert "Traceback" not in done.stderr
