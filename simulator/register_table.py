"""What every device's registers have in common, and no Modbus library. Pure."""

from __future__ import annotations

from enum import Enum

# Modbus exception codes
ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3


class RegisterTable(str, Enum):
    """The tables these devices have; there are no discrete inputs."""

    COIL = "coil"
    HOLDING = "holding"
    INPUT = "input"


class RegisterTableError(Exception):
    """The request is answered with a Modbus exception."""

    def __init__(self, exception_code: int) -> None:
        super().__init__(f"Modbus exception {exception_code}")
        self.exception_code = exception_code
