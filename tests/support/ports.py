"""Ports for what a test starts, stops and starts again."""

from __future__ import annotations

import random
import socket

LOWEST, HIGHEST = 20_000, 32_000
"""Below those that Linux gives to whoever asks for any port: none of these is taken by chance while
its owner is down."""
_lot = random.SystemRandom()  # runs beside each other draw different ones


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 that nothing uses now."""
    while True:
        port = _lot.randrange(LOWEST, HIGHEST)
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
