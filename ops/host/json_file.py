"""A JSON object from a file, or an error that says where it is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ops.host.ops_error import OpsError


def _object_without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    contents = dict(pairs)
    if len(contents) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has {twice!r} twice")
    return contents


def read_json_file(path: Path) -> dict[str, Any]:
    """A JSON object from a file, with an error that names line and column, or a key that is there
    twice."""
    try:
        contents = json.loads(path.read_text(), object_pairs_hook=_object_without_repetition)
    except FileNotFoundError:
        raise OpsError(f"there is no file {path}") from None
    except OSError as error:
        raise OpsError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise OpsError(f"{path} is not JSON: {error}") from None
    if not isinstance(contents, dict):
        raise OpsError(f"{path} does not hold a JSON object")
    return contents
