"""Calls to the operator's backend over REST."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from ops.host.ops_error import OpsError, unreachable_words

ANSWER_WITHIN_SEC = 15.0
DEFAULT_URL = "http://localhost:8000"


class BackendClientNotFound(OpsError):
    """The backend knows no such thing (HTTP 404)."""


class BackendClient:
    """A backend at `url`; BACKEND_API_KEY holds the key where one is needed."""

    def __init__(self, url: str) -> None:
        if "://" not in url:
            url = f"http://{url}"
        if not url.startswith(("http://", "https://")):
            raise OpsError(f"{url} is not an http:// or https:// address")
        self.url = url.rstrip("/")

    def get(self, path: str, **query: Any) -> Any:
        given = {name: value for name, value in query.items() if value is not None}
        suffix = f"?{urllib.parse.urlencode(given)}" if given else ""
        return self._call("GET", path + suffix)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._call("POST", path, body or {})

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer. Raises OpsError with the backend's own reason."""
        headers = {"Accept": "application/json"}
        if os.environ.get("BACKEND_API_KEY"):
            headers["X-API-Key"] = os.environ["BACKEND_API_KEY"]
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_WITHIN_SEC) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            kind = BackendClientNotFound if error.code == 404 else OpsError
            raise kind(
                f"{method} {path}: HTTP {error.code}: {_reason(error)}",
                *(["Set BACKEND_API_KEY to a key of this backend."] if error.code == 401 else []),
            ) from None
        except OSError as error:
            raise OpsError(
                f"cannot reach the backend at {self.url}: {unreachable_words(error)}",
                "Is it running? `ven_control.sh backend start` starts one here.",
            ) from None
        except ValueError:
            raise OpsError(f"{self.url} does not answer in JSON: is it VenAgent's?") from None


def _reason(error: urllib.error.HTTPError) -> str:
    text = error.read(2_000).decode(errors="replace")
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        return text or str(error.reason)
    if isinstance(detail, list):
        return "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in detail)
    return str(detail)


def backend_client_ven_path(ven_id: str) -> str:
    return f"/api/vens/{urllib.parse.quote(ven_id, safe='')}"


def backend_client_event_path(event_id: str) -> str:
    return f"/api/events/{urllib.parse.quote(event_id, safe='')}"
