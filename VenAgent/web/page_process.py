"""The process that serves the page: `python -m VenAgent.web.page_process CHANNEL LISTENER`.

It is started by the agent, with a file descriptor of the channel to it and one of the listening
socket. It takes all of the network's load, at a lower priority than the agent's, and knows of the
site what the channel says. It ends with the agent, and when nobody has looked for a while.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any

import gevent
from gevent import socket

from VenAgent.web.http_server import HttpServer
from VenAgent.web.page_channel import PageChannel
from VenAgent.web.page_settings import PageSettings
from VenAgent.web.remote_page_source import RemotePageSource

NICENESS = 10
LOG_LINES_PER_MINUTE = 20


class PageProcess:
    """From the settings, the channel's first message, to the channel's end."""

    def __init__(self, channel: PageChannel, listener: Any) -> None:
        self._channel = channel
        self._messages = channel.messages()
        first = next(self._messages, None)
        if first is None:
            raise SystemExit(0)
        self._idle_sec = float(first["idle_sec"])
        self._source = RemotePageSource(channel, time.monotonic)
        settings = PageSettings.from_json(first["settings"])
        self.server = HttpServer(listener, self._source, self._source.change, settings)

    def run(self) -> None:
        """Serve until the agent is gone or nobody looks any more."""
        reader = gevent.spawn(self._read)
        self.server.start()
        busy_at = time.monotonic()
        while not reader.ready():
            reader.join(timeout=min(self._idle_sec, 1.0))
            if len(self.server.connections):
                busy_at = time.monotonic()
            elif time.monotonic() - busy_at > self._idle_sec and self._leave():
                self._channel.send({"leaving": True})
                return

    def _leave(self) -> bool:
        """Whether really nobody came: what comes from now on waits for the next process."""
        self.server.stop_accepting()
        gevent.sleep(0)  # one that was let in just now is counted
        if len(self.server.connections):
            self.server.start_accepting()
            return False
        return True

    def _read(self) -> None:
        for message in self._messages:
            if "touched" in message:
                self._source.touched()
                self.server.touch()
            else:
                self._source.receive(message)


class _ToAgent(logging.Handler):
    """Log lines go into the agent's log, so many a minute."""

    def __init__(self, channel: PageChannel) -> None:
        super().__init__(logging.WARNING)
        self._channel = channel
        self._minute = 0
        self._count = 0

    def emit(self, record: logging.LogRecord) -> None:
        minute = int(time.monotonic() / 60.0)
        if minute != self._minute:
            self._minute, self._count = minute, 0
        self._count += 1
        if self._count <= LOG_LINES_PER_MINUTE:
            with suppress(OSError):
                self._channel.send({"log": [record.levelno, self.format(record)[:4000]]})


def _main() -> None:
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the agent's to answer; it ends us
    channel_fd, listener_fd = map(int, sys.argv[1:3])
    channel = PageChannel(socket.socket(fileno=channel_fd))
    logging.getLogger().addHandler(_ToAgent(channel))
    PageProcess(channel, socket.socket(fileno=listener_fd)).run()
    os._exit(0)  # connections that are left end with us


if __name__ == "__main__":
    _main()
