"""Gets the OpenADR Alliance's OpenAPI description of OpenADR 3, by which tests/openadr is checked.

    python -m ops.release.openadr_description FOLDER

It is in the source archive of the package `openadr3`, whose hash ops/lock-openadr.txt has, and is
written to FOLDER/3.1.0/openadr3.yaml. It is not under version control: it is not ours (Apache 2.0).
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

from ops.release.lock_hashes import OPS, PackageIndex, lock_file_hashes, lock_file_pins

OPENADR_PACKAGE = "openadr3"
OPENADR_DESCRIPTION = "3.1.0/openadr3.yaml"
"""Its place in FOLDER."""
_IN_ARCHIVE = "/resources/openadr3.yaml"


def openadr_description_in(archive: bytes) -> bytes:
    """The description in a source archive. Raises LookupError, tarfile.TarError."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for member in opened:
            file = opened.extractfile(member) if member.isfile() else None
            if file is not None and member.name.endswith(_IN_ARCHIVE):
                return file.read()
    raise LookupError(f"the source of {OPENADR_PACKAGE} has no {_IN_ARCHIVE[1:]} any more")


def write_openadr_description(folder: Path) -> Path:
    """Fetch and write it; its path. Raises LookupError, OSError, tarfile.TarError."""
    lock = (OPS / "lock-openadr.txt").read_text()
    version = lock_file_pins(lock)[OPENADR_PACKAGE]
    hashes = lock_file_hashes(lock)[OPENADR_PACKAGE]
    archive = PackageIndex().source_archive(OPENADR_PACKAGE, version, hashes)
    path = folder / OPENADR_DESCRIPTION
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(openadr_description_in(archive))
    return path


def main() -> int:
    """Write it; 1 if it cannot be had."""
    try:
        print(write_openadr_description(Path(sys.argv[1])))
    except (LookupError, OSError, tarfile.TarError) as error:
        print(f"no description of OpenADR 3: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
