"""An HTTP proxy that knows CONNECT, on threads: for clients that are processes of their own."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType


class ThreadedConnectProxy:
    """Listens on `port` of 127.0.0.1 for the length of a `with` block; `login` (base64) is what it
    asks for, `asked` what it was asked."""

    def __init__(self, login: str | None = None) -> None:
        self._login = login
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = [self._listener]

    def __enter__(self) -> ThreadedConnectProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        with suppress(OSError):
            while b"\r\n\r\n" not in head and (part := client.recv(4096)):
                head += part
            lines = head.decode(errors="replace").split("\r\n")
            self.asked.append(lines[0])
            if self._login is not None and f"Proxy-Authorization: Basic {self._login}" not in lines:
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                client.close()
                return
            host, _, port = lines[0].split()[1].rpartition(":")
            server = socket.create_connection((host, int(port)))
            self._open.append(server)
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=_copy, args=(server, client), daemon=True).start()
            _copy(client, server)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
