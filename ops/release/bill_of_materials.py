"""The bill of materials of what is installed on a site: CycloneDX 1.6, in the wheel and the sdist.

    python -m ops.release.bill_of_materials      writes VenAgent/sbom.cdx.json

It names the agent, the packages of requirements.txt with all they bring in the locked versions and
with the hashes of their files, and what is part of the agent itself (uPlot). It has no date: the
same source gives the same file.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from packaging.utils import canonicalize_name

from ops.release.lock_hashes import OPS, lock_file_hashes, lock_file_pins

ROOT = OPS.parent
VERSION = re.findall(r'__version__ = "(.+)"', (ROOT / "VenAgent" / "version.py").read_text())[0]
SBOM_FILE = ROOT / "VenAgent" / "sbom.cdx.json"
BROUGHT = {
    "paho-mqtt": (),
    "pydantic": ("annotated-types", "pydantic-core", "typing-extensions", "typing-inspection"),
    "boto3": ("botocore", "jmespath", "s3transfer", "python-dateutil", "six", "urllib3"),
    "cryptography": ("cffi", "pycparser"),
}
"""What each package of requirements.txt brings; a test compares it with the packages' own words."""
UPLOT: dict[str, Any] = {
    "type": "library",
    "bom-ref": "pkg:npm/uplot@1.6.32",
    "name": "uplot",
    "version": "1.6.32",
    "purl": "pkg:npm/uplot@1.6.32",
    "licenses": [{"license": {"id": "MIT"}}],
    "description": "draws the curves of the local page; part of it",
}


def bill_of_materials() -> dict[str, Any]:
    own = f"pkg:pypi/venagent@{VERSION}"
    libraries = list(_libraries())
    reference = {library["name"]: library["bom-ref"] for library in libraries}
    depends = [
        {
            "ref": own,
            "dependsOn": sorted([*(reference[name] for name in BROUGHT), UPLOT["bom-ref"]]),
        }
    ]
    depends += [
        {"ref": reference[name], "dependsOn": sorted(reference[each] for each in brought)}
        for name, brought in BROUGHT.items()
    ]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": "venagent",
                "version": VERSION,
                "purl": own,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
            "lifecycles": [{"phase": "build"}],
        },
        "components": [*libraries, UPLOT],
        "dependencies": depends,
    }


def required_packages() -> list[str]:
    """The names in requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = (re.match(r"[A-Za-z0-9._-]+", line) for line in lines if not line.startswith("#"))
    return [canonicalize_name(match[0]) for match in wanted if match]


def _libraries() -> Iterator[dict[str, Any]]:
    text = (OPS / "lock-platform.txt").read_text()
    versions: dict[str, str] = {}
    hashes: dict[str, list[str]] = {}
    for name, version in lock_file_pins(text).items():
        versions[canonicalize_name(name)] = version
    for name, found in lock_file_hashes(text).items():
        hashes[canonicalize_name(name)] = found
    for name in sorted({*BROUGHT, *(each for brought in BROUGHT.values() for each in brought)}):
        purl = f"pkg:pypi/{name}@{versions[name]}"
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": versions[name],
            "purl": purl,
            # Of the files that pip may choose from, by machine and Python.
            "hashes": [
                {"alg": "SHA-256", "content": each.removeprefix("sha256:")} for each in hashes[name]
            ],
        }


def bill_of_materials_text() -> str:
    return json.dumps(bill_of_materials(), indent=1) + "\n"


def main() -> int:
    """Write the file."""
    SBOM_FILE.write_text(bill_of_materials_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
