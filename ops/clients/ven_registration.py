"""What registers a VEN with the operator's backend: the body of POST /api/vens/."""

from __future__ import annotations

from typing import Any

from ops.clients.backend_client import (
    BackendClient,
    BackendClientNotFound,
    backend_client_ven_path,
)
from ops.host.ops_error import OpsError


def ven_registration(
    ven_id: str, name: str | None, lat: float | None, lon: float | None, status: str = "online"
) -> dict[str, Any]:
    """The registrationId is the IoT thing's name: commands go to `ven/cmd/` it."""
    if (lat is None) != (lon is None):
        raise OpsError("--lat and --lon belong together")
    body: dict[str, Any] = {
        "name": name or f"VEN {ven_id}",
        "status": status,
        "registrationId": ven_id,
    }
    if lat is not None and lon is not None:
        body["location"] = {"lat": lat, "lon": lon}
    return body


def send_ven_registration(backend: BackendClient, wanted: dict[str, Any], *, named: bool) -> Any:
    """The VEN, as the backend has it then. One that it knows keeps its name, unless `named`."""
    if not named:
        try:
            known = backend.get(backend_client_ven_path(wanted["registrationId"]))
            wanted = {**wanted, "name": known["name"]}
        except BackendClientNotFound:
            pass
    return backend.post("/api/vens/", wanted)
