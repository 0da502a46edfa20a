"""Registers the VEN with the operator's backend: POST /api/vens/."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Any

from ops.host.ops_error import OpsError

ANSWER_WITHIN_SEC = 10.0


def registration(
    ven_id: str, name: str | None, lat: float | None, lon: float | None
) -> dict[str, Any]:
    """What is sent. The registrationId is the IoT thing's name: commands go to `ven/cmd/` it."""
    body: dict[str, Any] = {
        "name": name or f"VEN {ven_id}",
        "status": "online",
        "registrationId": ven_id,
    }
    if lat is not None and lon is not None:
        body["location"] = {"lat": lat, "lon": lon}
    return body


def register(backend_url: str | None, body: dict[str, Any]) -> dict[str, Any]:
    """The backend's answer."""
    if not backend_url:
        raise OpsError(
            "BACKEND_URL is not set: there is no backend to register with",
            "Set it, e.g. BACKEND_URL=http://localhost:8000, or name it with --backend-url.",
        )
    if not backend_url.startswith(("http://", "https://")):
        raise OpsError(f"BACKEND_URL={backend_url} is not an http:// or https:// address")
    url = backend_url.rstrip("/") + "/api/vens/"
    headers = {"Content-Type": "application/json"}
    if os.environ.get("BACKEND_API_KEY"):
        headers["X-API-Key"] = os.environ["BACKEND_API_KEY"]
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_WITHIN_SEC) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        text = error.read(2000).decode(errors="replace")
        raise OpsError(
            f"the backend refused: HTTP {error.code} from {url}", output=text.splitlines()
        ) from None
    except OSError as error:  # URLError too
        reason = getattr(error, "reason", error)
        raise OpsError(
            f"cannot reach the backend at {url}: {reason}", "Is it running? Check BACKEND_URL."
        ) from None
    except ValueError:
        raise OpsError(f"{url} does not answer in JSON: is it VenAgent's backend?") from None
    if not isinstance(answer, dict):
        raise OpsError(f"{url} does not answer as VenAgent's backend does")
    return answer
