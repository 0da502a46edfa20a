"""The poetry project that VOLTTRON 11 wants in its VOLTTRON_HOME, of an environment's packages.

VOLTTRON 11 would make it at its first start, and add a second package index on the way; with one
that is there already it starts in seconds. Run by the environment's own Python:

    python poetry_project.py FOLDER    writes FOLDER/pyproject.toml
"""

from __future__ import annotations

import sys
from importlib.metadata import distributions
from pathlib import Path

NOT_OF_THE_PROJECT = {"pip", "setuptools", "venagent"}


def poetry_pyproject() -> str:
    """A project that asks for exactly what is installed."""
    found = {d.metadata["Name"].lower(): d.version for d in distributions()}
    wanted = "".join(
        f'  "{name}=={version}",\n'
        for name, version in sorted(found.items())
        if name not in NOT_OF_THE_PROJECT
    )
    major, minor = sys.version_info[:2]
    return (
        f'[project]\nname = "volttron-home"\nversion = "0"\n'
        f'requires-python = ">={major}.{minor},<{major}.{minor + 1}"\n'
        f"dependencies = [\n{wanted}]\n\n[tool.poetry]\npackage-mode = false\n"
    )


def _main(folder: str) -> None:
    Path(folder).mkdir(exist_ok=True)
    (Path(folder) / "pyproject.toml").write_text(poetry_pyproject())


if __name__ == "__main__":
    _main(*sys.argv[1:])
