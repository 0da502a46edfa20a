"""Copies of the repository's parts that the plain user can read, and build in."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ops.host.child_environment import child_environment
from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.plain_user import plain_user

_LEFT_OUT = ("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")


def staging_files(repo: Path, names: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """(name in the repository, file) of all files in `names`, which may be folders, in order."""
    for name in names:
        top = repo / name
        found = sorted(top.rglob("*")) if top.is_dir() else [top]
        for path in found:
            relative = path.relative_to(repo)
            if path.is_file() and not set(relative.parts) & set(_LEFT_OUT):
                yield str(relative), path


def staging_fingerprint(files: Iterable[tuple[str, Path]]) -> str:
    """Changes when a name, the order or the contents of a file changes."""
    total = hashlib.sha256()
    for name, path in files:
        contents = path.read_bytes()
        total.update(f"{name}\0{len(contents)}\0".encode())
        total.update(contents)
    return total.hexdigest()


def copy_to_staging(
    paths: Paths, folder: str, names: Sequence[str], extra: dict[str, Path] | None = None
) -> Path:
    """A fresh copy of these parts in `staged/<folder>`, owned by the plain user.

    `extra` are files under another name. The copy is written by the plain user itself, so that
    nothing it prepared there can make us write elsewhere. Nobody else can read it: a configuration
    may hold the page's token.
    """
    target = paths.staged / folder
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, path in [*staging_files(paths.repo, names), *(extra or {}).items()]:
            tar.add(path, arcname=name, recursive=False)
    script = 'umask 077 && rm -rf "$1" && mkdir -p "$1" && tar -x -f - -C "$1" --no-same-owner'
    _as_user(paths, script, target, archive.getvalue())
    return target


def write_staging_file(paths: Paths, target: Path, text: str) -> None:
    """A file that belongs to the plain user, written by it."""
    _as_user(paths, 'cat >"$1"', target, text.encode())


@contextmanager
def temporary_staging_file(paths: Paths, text: str, suffix: str) -> Iterator[Path]:
    """A file with that text for as long as the block, which the plain user alone can read."""
    paths.run.mkdir(parents=True, exist_ok=True)  # where `start` was never run there is none yet
    with tempfile.NamedTemporaryFile("w", dir=paths.run, suffix=suffix) as file:
        file.write(text)
        file.flush()
        user = plain_user(paths)
        if user:
            os.fchown(file.fileno(), user["user"], user["group"])
        yield Path(file.name)


def _as_user(paths: Paths, script: str, target: Path, contents: bytes) -> None:
    result = subprocess.run(
        ["sh", "-c", script, "stage", str(target)],
        input=contents,
        stderr=subprocess.PIPE,
        env=child_environment(paths, {}),
        cwd=paths.staged,
        check=False,
        **plain_user(paths),
    )
    if result.returncode != 0:
        raise OpsError(
            f"cannot write {target}",
            output=result.stderr.decode(errors="replace").splitlines(),
        )
