"""What the tests of the core are given."""

from __future__ import annotations

import pytest

from tests.dr.house import House


@pytest.fixture
def house() -> House:
    return House()
