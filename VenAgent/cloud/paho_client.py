"""paho's client, with a way to its socket and an ear for what goes wrong on it."""

from __future__ import annotations

import logging
import socket
import ssl
from typing import Any

import paho.mqtt.client as mqtt

from VenAgent.cloud.tls.http_proxy import HttpProxy


class PahoSocketError(logging.Handler):
    """The last error that a client met on its socket.

    paho returns no more than "connection lost" and hands the error itself to its logger, as an
    argument of the record: the error is kept, the text is not looked at.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last: OSError | None = None
        self.logger = logging.Logger("paho", logging.ERROR)  # of this client alone
        self.logger.addHandler(self)

    @property
    def is_tls(self) -> bool:
        return isinstance(self.last, ssl.SSLError)

    def emit(self, record: logging.LogRecord) -> None:
        errors = [each for each in record.args or () if isinstance(each, OSError)]
        if errors:
            self.last = errors[-1]


class PahoClient(mqtt.Client):
    """paho's, but for how it comes to its socket."""

    proxy: HttpProxy | None = None

    def _create_socket_connection(self) -> Any:
        if self.proxy is None:
            sock = super()._create_socket_connection()
        else:
            sock = self.proxy.connect(self._host, self._port, self.connect_timeout)
        # Nagle's algorithm and delayed ACKs together cost 40 ms a message.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
