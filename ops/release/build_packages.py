"""Builds the sdist and the wheel so that the same commit gives the same bytes.

    python -m ops.release.build_packages FOLDER

The time is SOURCE_DATE_EPOCH's, or the commit's; modes, owners and order are fixed; the tools
that build are known by their hash (ops/lock-build.txt). Only files under version control are taken.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from ops.release.lock_hashes import OPS

ROOT = OPS.parent
SOURCE_TAKEN = (
    *("VenAgent", "pyproject.toml", "setup.py", "requirements.txt", "README.md", "LICENSE"),
    *("config", "CHANGELOG.md", "SECURITY.md"),
)
_BACKEND = """
import sys
from setuptools import build_meta
folder = sys.argv[1]
build_meta.build_wheel(folder)
build_meta.build_sdist(folder)
"""


def make_build_environment(venv: Path) -> Path:
    """An environment with what builds, by hash; its Python."""
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    python = venv / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    lock = OPS / "lock-build.txt"
    subprocess.run([*pip, "--require-hashes", "--no-deps", "-r", str(lock)], check=True)
    return python


def build_packages(folder: Path, python: Path, source: Path = ROOT) -> list[Path]:
    """Build with this Python into `folder`, which is made; the files. Raises CalledProcessError if
    a step fails."""
    folder.mkdir(parents=True, exist_ok=True)
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or _commit_ts(source)
    with tempfile.TemporaryDirectory() as scratch:
        clean = Path(scratch, "source")
        _copy_source(source, clean, int(epoch))
        environment = {**os.environ, "SOURCE_DATE_EPOCH": epoch, "PYTHONHASHSEED": "0"}
        environment.pop("PYTHONPATH", None)
        built = Path(scratch, "built")
        built.mkdir()
        subprocess.run(
            [python, "-c", _BACKEND, built],
            cwd=clean,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
            umask=0o022,
        )
        files = []
        for file in sorted(built.iterdir()):
            if file.name.endswith(".tar.gz"):
                _normalize_sdist(file, int(epoch))
            files.append(Path(shutil.copy(file, folder / file.name)))
        return files


def _commit_ts(source: Path) -> str:
    asked = ["git", "-C", str(source), "log", "-1", "--format=%ct"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def _source_files(source: Path) -> list[str]:
    """Those under version control; in a copy without it all that is no by-product."""
    asked = ["git", "-C", str(source), "ls-files", "-z", "--", *SOURCE_TAKEN]
    answer = subprocess.run(asked, capture_output=True, text=True)
    if (source / ".git").exists() and answer.returncode == 0:
        return sorted(filter(None, answer.stdout.split("\0")))
    found = [file for name in SOURCE_TAKEN for file in (source / name, *(source / name).rglob("*"))]
    names = (file.relative_to(source).as_posix() for file in found if file.is_file())
    return sorted(name for name in names if "__pycache__" not in name)


def _copy_source(source: Path, to: Path, epoch: int) -> None:
    """With fixed modes and times."""
    for name in _source_files(source):
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target)
        target.chmod(0o644)
        os.utime(target, (epoch, epoch))


def _normalize_sdist(path: Path, epoch: int) -> None:
    """Sorted, without owners, at one time: setuptools takes all of these from the machine."""
    with tarfile.open(path) as archive:
        members = sorted(archive.getmembers(), key=lambda member: member.name)
        contents = {
            member.name: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in members
            if member.isfile()
        }
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", 9, file, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for member in members:
            clean = tarfile.TarInfo(member.name)
            clean.type, clean.mtime = member.type, epoch
            clean.mode = 0o755 if member.isdir() else 0o644
            if member.isfile():
                data = contents[member.name]
                clean.size = len(data)
                archive.addfile(clean, io.BytesIO(data))
            else:
                archive.addfile(clean)


def main() -> int:
    """Build; the files' names."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as venv:
        for file in build_packages(Path(sys.argv[1]), make_build_environment(Path(venv))):
            print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
