"""The lock files: all that is installed is known by its hash, and nobody's index is named."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ops.release.lock_hashes import (
    LOCK_FILES,
    OPS,
    lock_file_hashes,
    lock_file_is_wanted,
    lock_file_pins,
    lock_file_text,
)

PARTS = {
    "tools": ("tools",),
    "backend": ("tools", "backend"),
    "openadr": ("tools", "backend", "openadr"),
    "test": ("tools", "backend", "openadr", "test"),
}
IN_ALL = {
    **PARTS,
    "platform": ("platform",),
    "platform-test": ("platform", "platform-test"),
    "volttron11": ("volttron11",),
}


def locked(*parts: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in parts:
        pins = lock_file_pins((OPS / f"lock-{part}.txt").read_text())
        found.update({canonicalize_name(name): version for name, version in pins.items()})
    return found


def required(path: Path) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def test_every_file_of_every_package_has_its_hash() -> None:
    for path in LOCK_FILES:
        text = path.read_text()
        assert [name for name, found in lock_file_hashes(text).items() if not found] == []
        assert len(lock_file_hashes(text)) == len(lock_file_pins(text))
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links|file:", text), path.name
        # sorted as the command writes it: a change is one line in a diff
        assert lock_file_text(text, lock_file_hashes(text)) == text


def test_what_is_required_is_locked() -> None:
    for part, parts in IN_ALL.items():
        pins = locked(*parts)
        wanted = required(OPS / f"requirements-{part}.txt")
        if part in ("platform", "volttron11"):
            wanted += required(OPS.parent / "requirements.txt")
        for requirement in wanted:
            version = pins.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement} is in no lock file of {part}"
            assert requirement.specifier.contains(version, prereleases=True), requirement


def test_what_the_packages_here_bring_is_locked_too() -> None:
    """pip takes nothing but what the files name: what a package needs must stand there."""
    for part, parts in PARTS.items():
        pins, seen = locked(*parts), set()
        todo = required(OPS / f"requirements-{part}.txt")
        while todo:
            requirement = todo.pop()
            key = (canonicalize_name(requirement.name), tuple(sorted(requirement.extras)))
            if key in seen:
                continue
            seen.add(key)
            assert key[0] in pins, f"{requirement} is in no lock file of {part}"
            try:
                needs = distribution(requirement.name).requires or ()
            except PackageNotFoundError:
                pytest.fail(f"{requirement.name} is locked and not installed")
            for each in map(Requirement, needs):
                extras = ("", *requirement.extras)
                if each.marker is None or any(each.marker.evaluate({"extra": e}) for e in extras):
                    todo.append(each)


def test_the_platforms_constraints_are_what_is_locked() -> None:
    constraints = required(OPS / "constraints-platform.txt")
    pins = locked("platform", "platform-test")
    for constraint in constraints:
        version = pins.get(canonicalize_name(constraint.name))
        assert version is None or constraint.specifier.contains(version, prereleases=True)


@pytest.mark.parametrize(
    ("filename", "wanted"),
    [
        ("some_name-1.2.3.tar.gz", True),
        ("some-name-1.2.3.zip", True),
        ("some_name-1.2.3-py3-none-any.whl", True),
        ("some_name-1.2.3-py2.py3-none-any.whl", True),
        ("some_name-1.2.3-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("some_name-1.2.3-cp310-cp310-manylinux_2_28_aarch64.whl", True),
        ("some_name-1.2.3-cp39-abi3-manylinux_2_28_x86_64.whl", True),
        ("some_name-1.2.3-cp312-abi3-manylinux_2_28_x86_64.whl", False),
        ("some_name-1.2.3-cp312-cp312-manylinux_2_28_x86_64.whl", False),
        ("some_name-1.2.3-cp311-cp311-win_amd64.whl", False),
        ("some_name-1.2.3-cp311-cp311-macosx_11_0_arm64.whl", False),
        ("some_name-1.2.3-cp311-cp311-musllinux_1_2_x86_64.whl", False),
        ("some_name-1.2.3-cp311-cp311-manylinux_2_17_ppc64le.whl", False),
        ("some_name-1.2.30-py3-none-any.whl", False),
        ("some_name_more-1.2.3-py3-none-any.whl", False),
        ("some_name-1.2.3.exe", False),
    ],
)
def test_files_that_a_site_may_be_given(filename: str, wanted: bool) -> None:
    assert lock_file_is_wanted(filename, "Some.Name", "1.2.3") is wanted


def test_markers_and_comments_are_kept() -> None:
    text = "# why\na==1 \\\n    --hash=sha256:" + "0" * 64 + '\nb==2 ; python_version < "3.11"\n'
    assert lock_file_pins(text) == {"a": "1", "b": "2"}
    written = lock_file_text(text, {"a": ["sha256:" + "1" * 64], "b": ["sha256:" + "2" * 64]})
    assert written.splitlines() == [
        "# why",
        "a==1 \\",
        "    --hash=sha256:" + "1" * 64,
        'b==2 ; python_version < "3.11" \\',
        "    --hash=sha256:" + "2" * 64,
    ]
