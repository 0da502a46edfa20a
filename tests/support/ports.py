"""Ports for what a test starts, stops and starts again."""

from __future__ import annotations

import random
import socket

LOWEST, HIGHEST = 20_000, 32_000
"""Below those that Linux gives to whoever asks for any port: none of these is taken by chance while
its owner is down."""
_BLOCK = 100
_lot = random.SystemRandom()  # runs beside each other draw different ones
_blocks: dict[int, socket.socket] = {}
_left: list[int] = []


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 that nothing uses now, and that no other process draws while ours runs:
    what listens there may be down for a while."""
    while True:
        if not _left:
            _left.extend(_a_block())
        port = _left.pop(_lot.randrange(len(_left)))
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def _a_block() -> range:
    """Ports that are ours alone from now on; when all are given away, some of ours again."""
    firsts = [first for first in range(LOWEST, HIGHEST, _BLOCK) if first not in _blocks]
    _lot.shuffle(firsts)
    for first in firsts:
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            mark.bind(f"\0venagent-tests-ports-{first}")  # no file: it is gone with the process
        except OSError:
            mark.close()
            continue
        _blocks[first] = mark
        return range(first, first + _BLOCK)
    first = _lot.choice(list(_blocks))  # IndexError: a hundred test processes beside each other
    return range(first, first + _BLOCK)
