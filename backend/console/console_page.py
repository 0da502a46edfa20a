"""The console's page and its files; the stream of live figures."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, RedirectResponse, StreamingResponse

from backend.api.authentication import Reader, is_still_authenticated
from backend.console.console_feed import ConsoleFeed

router = APIRouter(include_in_schema=False)
STATIC = Path(__file__).parent / "static"
FILES = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "docs.js": "text/javascript",
    "charts.js": "text/javascript",
    "api.js": "text/javascript",
    "ui.js": "text/javascript",
    "events.js": "text/javascript",
    "fleet.js": "text/javascript",
    "create.js": "text/javascript",
    "programmes.js": "text/javascript",
    "settlement.js": "text/javascript",
    "account.js": "text/javascript",
    "accounts.js": "text/javascript",
    "alerts.js": "text/javascript",
    "audit.js": "text/javascript",
    "openadr.js": "text/javascript",
    "openadr-texts.js": "text/javascript",
    "texts.js": "text/javascript",
    "uPlot.iife.min.js": "text/javascript",
    "uPlot.min.css": "text/css",
    "icon.svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@router.get("/")
async def _root() -> RedirectResponse:
    return RedirectResponse("console/")  # also below a path of a proxy


@router.get("/console/")
async def _console() -> FileResponse:
    """The page holds nothing secret; what it shows needs a key."""
    return FileResponse(STATIC / "index.html", media_type="text/html", headers=HEADERS)


@router.get("/docs")
async def _docs() -> FileResponse:
    """The API's document; FastAPI's own page would run scripts of another server here."""
    return FileResponse(STATIC / "docs.html", media_type="text/html", headers=HEADERS)


@router.get("/console/static/{name}")
async def _static(name: str) -> FileResponse:
    if name not in FILES:
        raise HTTPException(404, f"there is no file {name!r}")
    return FileResponse(STATIC / name, media_type=FILES[name], headers=HEADERS)


@router.get("/console/stream")
async def _stream(request: Request, _actor: Reader) -> StreamingResponse:
    """Server-sent events: `fleet`, `event`, each second while somebody looks."""
    feed: ConsoleFeed = request.app.state.feed
    return StreamingResponse(
        feed.subscribe(lambda: is_still_authenticated(request)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
