"""A Modbus TCP slave that serves exactly what a vendor's document says, and notes what it is asked.

Written from the Modbus specification and without a Modbus library, so that a driver's idea of the
bytes is not checked against itself. What the document does not have is refused, as devices do.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from socket import SHUT_RDWR
from typing import Any

from gevent.monkey import get_original

READ_COILS, READ_HOLDING, READ_INPUT, WRITE_COIL, WRITE_REGISTERS = 1, 3, 4, 5, 16
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3


@dataclass
class Slave:
    """Words (or bits) by function code and address."""

    tables: dict[int, dict[int, int]]
    unit: int = 1
    max_count: int = 125
    even_only: bool = False
    writable: frozenset[int] = frozenset()
    """Holding registers that take writes (function 16)."""
    requests: list[bytes] = field(default_factory=list)
    """Function code and what follows it, as the document prints frames (without unit and CRC)."""
    port: int = 0

    def answer(self, unit: int, pdu: bytes) -> bytes | None:
        self.requests.append(pdu)
        if unit != self.unit:
            return None
        function = pdu[0]
        address, count = struct.unpack(">HH", pdu[1:5])
        if function == WRITE_COIL and READ_COILS in self.tables:
            if address not in self.tables[READ_COILS]:
                return bytes([0x80 | function, ILLEGAL_ADDRESS])
            if count not in (0x0000, 0xFF00):
                return bytes([0x80 | function, ILLEGAL_VALUE])
            self.tables[READ_COILS][address] = int(count == 0xFF00)
            return pdu
        if function == WRITE_REGISTERS and self.writable:
            words = struct.unpack(f">{count}H", pdu[6:])
            if not self.writable.issuperset(range(address, address + count)):
                return bytes([0x80 | function, ILLEGAL_ADDRESS])
            self.tables[READ_HOLDING].update(enumerate(words, address))
            return pdu[:5]
        table = self.tables.get(function)
        if table is None:
            return bytes([0x80 | function, ILLEGAL_FUNCTION])
        if count > self.max_count or (self.even_only and count % 2):
            return bytes([0x80 | function, ILLEGAL_VALUE])
        if not all(each in table for each in range(address, address + count)):
            return bytes([0x80 | function, ILLEGAL_ADDRESS])
        words = [table[each] for each in range(address, address + count)]
        if function == READ_COILS:
            packed = sum(bit << place for place, bit in enumerate(words))
            body = packed.to_bytes((count + 7) // 8, "little")
        else:
            body = struct.pack(f">{count}H", *words)
        return bytes([function, len(body)]) + body

    def serve(self, listener: Any) -> None:
        """One master after the other, until the listener is shut down."""
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                self._talk(connection)

    def _talk(self, connection: Any) -> None:
        while header := _exactly(connection, 7):
            transaction, protocol, length, unit = struct.unpack(">HHHB", header)
            answer = self.answer(unit, _exactly(connection, length - 1))
            if answer is not None:
                head = struct.pack(">HHHB", transaction, protocol, len(answer) + 1, unit)
                connection.sendall(head + answer)


def _exactly(connection: Any, size: int) -> bytes:
    """That many bytes; none when the master hung up."""
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            return b""
        data += more
    return data


@contextmanager
def serving(slave: Slave) -> Iterator[Slave]:
    # A real thread with a real socket: pymodbus waits in select(), which would stop our greenlets.
    listener = get_original("socket", "socket")()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    slave.port = listener.getsockname()[1]
    get_original("_thread", "start_new_thread")(slave.serve, (listener,))
    try:
        yield slave
    finally:
        listener.shutdown(SHUT_RDWR)
        listener.close()


def floats(values: Mapping[int, float], low_word_first: bool = False) -> dict[int, int]:
    """float32 values by their first address, as words."""
    words = {}
    for address, value in values.items():
        high, low = struct.unpack(">HH", struct.pack(">f", value))
        pair = (low, high) if low_word_first else (high, low)
        words[address], words[address + 1] = pair
    return words


def doubles(values: Mapping[int, int]) -> dict[int, int]:
    """Integers of 32 bits by their first address, as words, high word first."""
    return {
        address + place: word
        for address, value in values.items()
        for place, word in enumerate(divmod(value, 0x10000))
    }
