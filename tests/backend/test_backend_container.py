"""What backend/Containerfile copies and installs is what the operator's side needs."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from itertools import pairwise
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
LINES = (REPO / "backend/Containerfile").read_text().replace("\\\n", " ").splitlines()
PROVIDED = {"VenAgent", "backend"}

OPTIONAL = "openadr"
"""A room whose packages are installed by those who use it; its command says which."""


def instructions(name: str) -> list[list[str]]:
    return [shlex.split(line)[1:] for line in LINES if line.startswith(f"{name} ")]


def copy_as_the_image(folder: Path) -> None:
    """COPY puts the contents of a folder into its target, a file into a target that ends in /."""
    for *sources, target in instructions("COPY"):
        for source in sources:
            found = REPO / source
            if found.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(found, folder / target, ignore=ignored, dirs_exist_ok=True)
            else:
                (folder / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(found, folder / target)


def test_the_entrypoint_runs_with_these_files_alone(tmp_path: Path) -> None:
    copy_as_the_image(tmp_path)
    entrypoint = re.findall(r'"([^"]+)"', next(line for line in LINES if "ENTRYPOINT" in line))
    assert entrypoint[0] == "python"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'backend.sqlite'}",
    }
    every_module = (
        "import pkgutil, importlib, backend\n"
        "for one in pkgutil.walk_packages(backend.__path__, 'backend.'):\n"
        "    if one.name.split('.')[-1] != '__main__' and not any(\n"
        f"        each in one.name for each in ('migrations', {OPTIONAL!r})\n"
        "    ):\n"
        "        importlib.import_module(one.name)\n"
    )
    for command in ([*entrypoint[1:], "migrate"], ["-c", every_module]):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "backend.sqlite").exists()
    assert (tmp_path / "backend/console/static/index.html").exists()


def test_every_package_that_is_imported_is_installed() -> None:
    install = next(words for words in instructions("RUN") if words[:2] == ["pip", "install"])
    named = {word for word in install if re.fullmatch(r"[a-z][a-z0-9-]+", word)}
    files = [file for option, file in pairwise(install) if option == "-r"]
    assert files
    listed = [line for file in files for line in (REPO / file).read_text().splitlines()]
    named |= {re.split(r"[\[<>=;]", line)[0].strip() for line in listed if line[:1].isalpha()}
    installed = {name.lower().replace("_", "-") for name in named} | {"starlette", "botocore"}
    distributions = packages_distributions()
    missing = {}
    for folder in ("backend", "VenAgent/baseline", "VenAgent/contract"):
        for path in (REPO / folder).rglob("*.py"):
            if OPTIONAL in path.parts:
                continue
            for module in _imported(path):
                if module in sys.stdlib_module_names or module in PROVIDED:
                    continue
                names = {name.lower().replace("_", "-") for name in distributions.get(module, [])}
                if not names & installed:
                    missing[module] = str(path.relative_to(REPO))
    assert missing == {}


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found
