"""Writes into the lock files the hashes of all files that a site may be given for a locked version.

    python -m ops.release.lock_hashes [FILE…]       all of ops/lock-*.txt without FILE

Change a version, or add a line `name==version`, and run it. The hashes come from the package index
that this machine's pip is configured with; that index is named nowhere in the files. Kept are the
files for Linux on x86-64 and 64-bit ARM, for Python 3.10 and 3.11, and the source.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

OPS = Path(__file__).resolve().parents[1]
LOCK_FILES = tuple(sorted(OPS.glob("lock-*.txt")))
_PIN = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+)(?:\s*;\s*([^\\]+?))?\s*\\?$")
_MACHINES = ("x86_64", "aarch64")
_SOURCES = (".tar.gz", ".zip", ".tar.bz2")


def lock_file_pins(text: str) -> dict[str, str]:
    """Version by name, in the file's order and spelling."""
    return {match[1]: match[2] for match in _pinned(text)}


def _pinned(text: str) -> Iterator[re.Match[str]]:
    """Name, version and marker of each line that pins."""
    for line in text.splitlines():
        match = _PIN.match(line.strip())
        if match is not None:
            yield match


def lock_file_hashes(text: str) -> dict[str, list[str]]:
    """The hashes (`sha256:…`) by name; those without any have an empty list."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        match = _PIN.match(line.strip())
        if match is not None:
            name = match[1]
            found[name] = []
        if name:
            found[name] += re.findall(r"--hash=(sha256:[0-9a-f]{64})", line)
    return found


def lock_file_text(text: str, hashes: dict[str, list[str]]) -> str:
    """The file with its comment and pins as they are, and these hashes."""
    comment = [line for line in text.splitlines() if line.startswith("#")]
    lines = []
    for name, version, marker in (match.groups() for match in _pinned(text)):
        pin = f"{name}=={version}" + (f" ; {marker}" if marker else "")
        parts = [pin, *(f"    --hash={each}" for each in sorted(hashes[name]))]
        lines.append(" \\\n".join(parts))
    return "\n".join([*comment, *lines]) + "\n"


def lock_file_is_wanted(filename: str, name: str, version: str) -> bool:
    """Whether a site may be given this file for the locked version."""
    return _matches(filename, name, version) and (
        filename.endswith(_SOURCES) or _runs_here(filename)
    )


def _matches(filename: str, name: str, version: str) -> bool:
    from packaging.utils import (
        InvalidSdistFilename,
        InvalidWheelFilename,
        canonicalize_name,
        parse_sdist_filename,
        parse_wheel_filename,
    )
    from packaging.version import InvalidVersion, Version

    try:
        if filename.endswith(".whl"):
            found, known, *_ = parse_wheel_filename(filename)
        else:
            found, known = parse_sdist_filename(filename)
    except (InvalidSdistFilename, InvalidWheelFilename, InvalidVersion, ValueError):
        return False
    return found == canonicalize_name(name) and known == Version(version)


def _runs_here(wheel: str) -> bool:
    python, abi, platform = wheel.removesuffix(".whl").split("-")[-3:]
    machine = platform == "any" or (
        "linux" in platform
        and "musl" not in platform.replace("manylinux", "")
        and platform.endswith(_MACHINES)
    )
    if abi == "abi3":
        ours = any(int(minor) <= 11 for minor in re.findall(r"cp3(\d+)", python))
    else:
        ours = any(tag in ("cp310", "cp311", "py3", "py310", "py311") for tag in python.split("."))
    return machine and ours and not abi.endswith("t")


class PackageIndex:
    """The index that pip is configured with, asked by pip's own means."""

    def __init__(self) -> None:
        from pip._internal.commands import create_command

        command: Any = create_command("download")
        options, _ = command.parse_args(["--no-input"])
        self._session = command._build_session(options)
        finder = command._build_package_finder(options, self._session)
        self._collector = finder._link_collector

    def links(self, name: str) -> Iterator[tuple[str, str]]:
        """(file name, sha256) of all that it has of a package. Raises OSError if it does not
        answer."""
        for link, digest in self._found(name):
            if digest:
                yield link.filename, digest

    def source_archive(self, name: str, version: str, hashes: Collection[str]) -> bytes:
        """The package's source, whose hash is one of these (`sha256:…`). Raises LookupError when
        the index has none such, OSError when it does not answer."""
        for link, _ in self._found(name):
            if link.filename.endswith(_SOURCES) and _matches(link.filename, name, version):
                answer = self._session.get(link.url_without_fragment)
                answer.raise_for_status()
                if f"sha256:{hashlib.sha256(answer.content).hexdigest()}" in hashes:
                    return bytes(answer.content)
        raise LookupError(f"the index has no source of {name} {version} with a hash that is locked")

    def _found(self, name: str) -> Iterator[tuple[Any, str | None]]:
        from pip._internal.index.collector import parse_links
        from pip._internal.models.link import Link

        seen: set[tuple[str, bool]] = set()
        for address in self._collector.search_scope.get_index_urls_locations(name):
            answer = self._collector.fetch_response(Link(address))
            for link in () if answer is None else parse_links(answer):
                digest = link.hash if link.hash_name == "sha256" else None
                key = (link.filename, digest is None)
                if key not in seen:
                    seen.add(key)
                    yield link, digest


def _hashes_of(index: PackageIndex, pin: tuple[str, str]) -> tuple[str, list[str]]:
    name, version = pin
    files = dict(index.links(name))
    return name, [
        f"sha256:{digest}"
        for file, digest in files.items()
        if lock_file_is_wanted(file, name, version)
    ]


def write_lock_hashes(paths: Iterable[Path]) -> list[str]:
    """Write them; the names of those for which the index has nothing."""
    index, lacking = PackageIndex(), []
    for path in paths:
        text = path.read_text()
        with ThreadPoolExecutor(4) as pool:
            hashes = dict(
                pool.map(lambda pin: _hashes_of(index, pin), lock_file_pins(text).items())
            )
        lacking += [name for name, found in hashes.items() if not found]
        path.write_text(lock_file_text(text, hashes))
    return lacking


def main() -> int:
    """Write the files; 1 if the index has nothing for a pin."""
    lacking = write_lock_hashes([Path(name) for name in sys.argv[1:]] or LOCK_FILES)
    for name in lacking:
        print(f"the index has no file for {name}", file=sys.stderr)
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
