"""What VenAgent is installed from."""

from __future__ import annotations

import re

from ops.volttron.agent_install import SOURCES
from tests.config.builders import ROOT


def test_all_that_the_wheel_is_built_from_is_in_the_copy() -> None:
    build = (ROOT / "pyproject.toml").read_text().partition("\n[tool.ruff]")[0]
    named = set(re.findall(r'"([\w.]+\.(?:txt|md|toml))"', build))
    assert named == {"requirements.txt", "README.md"}
    assert {"setup.py", "pyproject.toml", "VenAgent", *named} <= set(SOURCES)
