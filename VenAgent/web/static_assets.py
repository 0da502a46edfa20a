"""The page's own files: read once, compressed once, known by their contents."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from VenAgent.web.http_messages import HttpError, HttpRequest, HttpResponse

STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class _Asset:
    content_type: str
    plain: bytes
    packed: bytes
    tag: str


class StaticAssets:
    """All files of `folder` by name."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._by_name = {
            path.name: _load(path) for path in folder.iterdir() if path.suffix in _TYPES
        }

    def respond(self, request: HttpRequest, name: str) -> HttpResponse:
        """The file, or 304 if the browser has it already. Raises HttpError if there is none."""
        asset = self._by_name.get(name)
        if asset is None:
            raise HttpError(HTTPStatus.NOT_FOUND, "there is no such file")
        headers = {"Cache-Control": "no-cache", "ETag": asset.tag, "Vary": "Accept-Encoding"}
        if request.header("If-None-Match") == asset.tag:
            return HttpResponse(HTTPStatus.NOT_MODIFIED, headers=headers)
        if "gzip" in request.header("Accept-Encoding"):
            headers["Content-Encoding"] = "gzip"
            return HttpResponse(body=asset.packed, content_type=asset.content_type, headers=headers)
        return HttpResponse(body=asset.plain, content_type=asset.content_type, headers=headers)


def _load(path: Path) -> _Asset:
    plain = path.read_bytes()
    tag = f'W/"{hashlib.sha256(plain).hexdigest()[:20]}"'
    return _Asset(_TYPES[path.suffix], plain, gzip.compress(plain, 9, mtime=0), tag)
