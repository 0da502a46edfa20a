"""The local page of a `Ven`: its view and its server, told when something changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import gevent

from VenAgent.config import AgentConfig
from VenAgent.dr.panel import Reading
from VenAgent.reporting.page_view import PageView
from VenAgent.storage.journal import Journal
from VenAgent.web.page_server import PageServer

if TYPE_CHECKING:
    from VenAgent.ven import Ven


class LocalPage:
    """The page with its server. All its methods are quick; the page itself works in greenlets."""

    def __init__(
        self,
        ven: Ven,
        journal: Journal,
        health: Callable[[], Mapping[str, str]],
        on_change: Callable[[], None],
        curve_path: Path,
    ) -> None:
        self.view = PageView(ven, journal, health, curve_path, pause=lambda: gevent.sleep(0))
        self._server = PageServer(self.view, on_change)

    @property
    def failure(self) -> str | None:
        """Why the page is not served, for the agent's health."""
        return self._server.failure

    @property
    def port(self) -> int | None:
        return self._server.port

    def apply(self, config: AgentConfig) -> None:
        """Serve as the configuration says; a change of it moves the server."""
        self._server.apply(config.web)
        self.changed()

    def on_reading(self, reading: Reading) -> None:
        self.view.remember(reading)
        self._server.touch()

    def changed(self) -> None:
        """An event's state, the configuration or the connection is another than before."""
        self.view.forget_events()
        self._server.touch()

    def stop(self) -> None:
        self._server.stop()
        self.view.close()
