"""The sdist and the wheel: the same commit gives the same bytes, and a site can install them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from ops.release.build_packages import (
    ROOT,
    SOURCE_TAKEN,
    build_packages,
    make_build_environment,
)
from VenAgent.version import __version__


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[list[Path]]:
    """Twice, as differently as two machines are: another folder, time zone, umask and moment."""
    folder = tmp_path_factory.mktemp("release")
    python = make_build_environment(folder / "builder")
    source = folder / "a source with another name"
    by_products = shutil.ignore_patterns("__pycache__")
    source.mkdir()
    for name in SOURCE_TAKEN:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=by_products)
        else:
            shutil.copy(ROOT / name, source / name)
    (source / "VenAgent" / "__pycache__").mkdir()
    (source / "VenAgent" / "__pycache__" / "left.pyc").write_text("of a run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1800000000")
        first = build_packages(folder / "first", python, ROOT)
        patch.setenv("TZ", "Asia/Kolkata")
        old_mask = os.umask(0o077)
        try:
            second = build_packages(folder / "second", python, source)
        finally:
            os.umask(old_mask)
    return [first, second]


def test_the_same_source_gives_the_same_bytes(built: list[list[Path]]) -> None:
    names = [[file.name for file in files] for files in built]
    assert names[0] == names[1]
    assert sorted(names[0]) == [
        f"venagent-{__version__}-py3-none-any.whl",
        f"venagent-{__version__}.tar.gz",
    ]
    digests = [[hashlib.sha256(file.read_bytes()).hexdigest() for file in files] for files in built]
    assert digests[0] == digests[1]


def test_the_wheel_has_all_that_a_site_needs(built: list[list[Path]]) -> None:
    wheel = next(file for file in built[0] if file.suffix == ".whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = f"venagent-{__version__}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{about}/METADATA").decode())
        points = archive.read(f"{about}/entry_points.txt").decode()
        bill = json.loads(archive.read("VenAgent/sbom.cdx.json"))
    assert {"VenAgent/agent.py", "VenAgent/web/static/index.html", f"{about}/LICENSE"} <= names
    assert not [name for name in names if not name.startswith(("VenAgent/", about))]
    assert bill["metadata"]["component"]["version"] == metadata["Version"] == __version__
    assert "venagent = VenAgent.agent:main" in points
    # what `twine check` looks at: a page that can be rendered, and all that an index asks for
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert len(str(metadata.get_payload())) > 1_000
    assert all(metadata[name] for name in ("Name", "Summary", "Classifier", "Requires-Python"))


def test_the_sdist_has_its_source_and_nobodys_name(built: list[list[Path]]) -> None:
    sdist = next(file for file in built[0] if file.name.endswith(".tar.gz"))
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    names = {member.name.partition("/")[2] for member in members}
    assert {"pyproject.toml", "setup.py", "requirements.txt", "VenAgent/sbom.cdx.json"} <= names
    assert {(member.uid, member.gid, member.uname, member.gname) for member in members} == {
        (0, 0, "", "")
    }
    assert len({member.mtime for member in members}) == 1
