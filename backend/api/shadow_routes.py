"""The device's shadow: AWS's; as it was reported over MQTT; or what the VEN said last."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import APIRouter, HTTPException
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.api.api_services import Uses
from backend.api.authentication import Reader
from backend.api.load_sets import expand_load_set, read_load_sets
from backend.api.request_fields import VenId
from backend.api.ven_responses import VenShadowResponse
from backend.api.ven_routes import read_ven_or_404
from backend.config.backend_settings import BackendSettings
from backend.store.fleet_tables import VenShadowRow
from backend.store.tables import EVENTS, PARTICIPANTS

router = APIRouter(prefix="/api/vens/{ven_id}", tags=["VENs"])


@router.get("/shadow", response_model=VenShadowResponse)
async def get_ven_shadow(uses: Uses, _actor: Reader, ven_id: VenId) -> dict[str, Any]:
    """Reported and desired state."""
    async with uses.database.engine.connect() as connection:
        row = await read_ven_or_404(connection, ven_id)
        stored = await _stored_shadow(connection, ven_id)
        sets = await read_load_sets(uses, connection, [row.load_set_id])
        event = await _active_event(connection, row)
    if ".amazonaws.com" in (uses.settings.iot_endpoint or ""):
        return _document(await asyncio.to_thread(_from_aws, uses.settings, ven_id))
    if stored is not None:
        return _document(stored)
    if row.timestamp is None:
        return _document({"reported": None, "desired": None, "source": "telemetry"})
    reported = {
        "schemaVersion": "1.0",
        "power_kw": row.used_power_kw,
        "shed_kw": row.shed_power_kw,
        "base_power_kw": row.baseline_power_kw,
        "panel_amperage": None,
        "panel_voltage": None,
        "panel_max_kw": row.panel_max_kw,
        "circuits": [
            {
                "id": load["id"],
                "name": load["name"],
                "enabled": load["enabled"],
                "available": bool(load["shed_capability_kw"]),
                "current_kw": load["current_power_kw"] if load["current_power_known"] else None,
                "breaker_amps": None,
                "current_amps": None,
                "critical": load["priority"] == 1,
            }
            for load in expand_load_set(row, sets)
        ],
        "active_event": event,
        "report_interval_sec": row.report_interval_sec,
        "timestamp": int(row.timestamp.timestamp()),
    }
    return _document({"reported": reported, "desired": None, "source": "telemetry"})


async def _active_event(connection: AsyncConnection, row: Any) -> dict[str, Any] | None:
    """The event that its telemetry names, with its share and its end as far as they are known."""
    if row.event_id is None:
        return None
    found = (
        select(PARTICIPANTS.c.assigned_shed_kw, EVENTS.c.end_time)
        .join(EVENTS, EVENTS.c.id == PARTICIPANTS.c.event_id)
        .where(PARTICIPANTS.c.event_id == row.event_id, PARTICIPANTS.c.ven_id == row.id)
    )
    part = (await connection.execute(found)).one_or_none()
    return {
        "event_id": row.event_id,
        "shed_kw": row.requested_reduction_kw if part is None else part.assigned_shed_kw,
        "end_ts": None if part is None else int(part.end_time.timestamp()),
    }


async def _stored_shadow(connection: AsyncConnection, ven_id: str) -> dict[str, Any] | None:
    """As it was reported and desired over MQTT; the circuits of a large panel, which have shadows
    of their own, stand in it. None when nothing was."""
    rows = await connection.execute(
        select(VenShadowRow.name, VenShadowRow.reported, VenShadowRow.desired).where(
            VenShadowRow.ven_id == ven_id
        )
    )
    shadows = {row.name: row for row in rows}
    classic = shadows.get("")
    if classic is None:
        return None
    reported = classic.reported
    named = (reported or {}).get("circuit_shadows")
    if reported is not None and isinstance(named, list):
        circuits = [
            circuit
            for name in named
            if name in shadows
            for circuit in (shadows[name].reported or {}).get("circuits", ())
        ]
        reported = {**reported, "circuits": circuits}
    return {"reported": reported, "desired": classic.desired, "source": "mqtt"}


def _document(parts: dict[str, Any]) -> dict[str, Any]:
    state = {"reported": parts["reported"], "desired": parts["desired"]}
    return {"state": state, **parts}


def _from_aws(settings: BackendSettings, ven_id: str) -> dict[str, Any]:
    """Needs `iot:GetThingShadow`. Raises 404 without a shadow, 502 when AWS does not answer."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "iot-data",
        endpoint_url=f"https://{settings.iot_endpoint}",
        region_name=settings.kinesis.region,
        config=Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2}),
    )
    try:
        answer = client.get_thing_shadow(thingName=ven_id)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            raise HTTPException(404, f"{ven_id} has no shadow yet") from None
        raise HTTPException(502, f"AWS IoT: {error}") from None
    except BotoCoreError as error:
        raise HTTPException(502, f"AWS IoT: {error}") from None
    state = json.loads(answer["payload"].read()).get("state", {})
    return {
        "reported": state.get("reported"),
        "desired": state.get("desired"),
        "source": "aws",
    }
