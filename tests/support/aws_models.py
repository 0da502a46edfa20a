"""AWS's service descriptions, read once for all tests: each session of boto3 would read its own."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.loaders import Loader, create_loader

_READ: Loader = create_loader()


def share(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the length of a test."""

    def the_one(search_path_string: Any = None) -> Loader:
        return _READ

    monkeypatch.setattr("botocore.session.create_loader", the_one)
