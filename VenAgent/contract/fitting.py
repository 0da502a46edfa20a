"""An ack within what a broker takes: AWS IoT Core ends the connection of one that is larger.

It would be sent again first on the next, and nothing behind it would ever go. Of a panel with a
thousand circuits the answer to `get` is that large, or the list of what an event curtailed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from VenAgent.contract import MAX_PAYLOAD_BYTES
from VenAgent.contract.json_codec import encode

CIRCUITS, OMITTED = "circuits_curtailed", "circuits_omitted"
REASON_KEPT = 1_000


def encoded_ack(body: Mapping[str, Any], max_bytes: int = MAX_PAYLOAD_BYTES) -> bytes:
    """`body` as JSON, at most `max_bytes`.

    The last of its circuits are left out and counted in `circuits_omitted`; an answer whose `data`
    does not fit has failed, and says so.
    """
    whole = encode(dict(body))
    if len(whole) <= max_bytes:
        return whole
    small = {name: value for name, value in body.items() if name != "data"}
    if "data" in body:
        reason = f"the answer has {len(whole)} bytes, more than {max_bytes}: ask the site itself"
        small.update(status="failed", ok=False, reason=reason)
    if isinstance(small.get("reason"), str):
        small["reason"] = small["reason"][:REASON_KEPT]
    circuits = list(small.get(CIRCUITS) or ())
    if circuits:
        small.update({CIRCUITS: [], OMITTED: len(circuits)})
        room = max_bytes - len(encode(small))
        kept = 0
        for circuit in circuits:
            room -= len(encode(circuit)) + 1
            if room < 0:
                break
            kept += 1
        small.update({CIRCUITS: circuits[:kept], OMITTED: len(circuits) - kept})
    return encode(small)
