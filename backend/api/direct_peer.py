"""Who is connected to us, before a proxy's word for whom it asks is taken."""

from __future__ import annotations

import os

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

_PEER = "venagent.peer"
_UNKNOWN = "unknown"


class DirectPeer:
    """Keeps the peer's address; then takes the caller's from X-Forwarded-For, where the peer is
    one of `proxies`, or FORWARDED_ALLOW_IPS, or on this machine."""

    def __init__(self, app: ASGIApp, proxies: tuple[str, ...]) -> None:
        allowed = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
        self._app = ProxyHeadersMiddleware(
            app,  # type: ignore[arg-type]
            trusted_hosts=[*(part.strip() for part in allowed.split(",")), *proxies],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            client = scope.get("client")
            scope[_PEER] = client[0] if client else _UNKNOWN
        await self._app(scope, receive, send)  # type: ignore[arg-type]


def direct_peer_of(scope: Scope) -> str:
    """The address of whoever is connected to us."""
    return str(scope.get(_PEER, _UNKNOWN))
