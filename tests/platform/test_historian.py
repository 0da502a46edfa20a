"""A SQLite historian beside the agent, configured as docs/volttron.md says."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.platform.site import ROOT, VEN_ID, Site, wait_for

HISTORIAN = "platform.historian"


@pytest.fixture(scope="module")
def historian(whole_site: Site) -> Any:
    """Stopped, not removed, at the end: removing it would take it out of the environment."""
    text = (ROOT / "docs" / "volttron.md").read_text()
    documented = re.search(r"```json\n(\{[^`]*\"connection\"[^`]*)```", text)
    assert documented is not None
    config = json.loads(documented[1].replace("my_ven", VEN_ID))
    database = f"{whole_site.volttron.volttron_home}/ven.sqlite"
    config["connection"]["params"]["database"] = database
    whole_site.install(HISTORIAN, "volttron-sqlite-historian", config)
    yield
    whole_site.stop(HISTORIAN)


def stored(site: Site, topic: str) -> list[Any]:
    """The values of a topic, newest first."""
    found = site.rpc(HISTORIAN, "query", topic, None, None, None, None, 0, 100, "LAST_TO_FIRST")
    return [value for _, value in found["values"]] if found else []


def test_an_events_values_are_stored_with_their_units_and_can_be_queried(
    site: Site, historian: None
) -> None:
    wait_for(lambda: stored(site, f"{VEN_ID}/power_kw"), "power is stored", 60.0)
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=5.0, duration_sec=60)
    assert ack["status"] == "accepted"
    site.cloud.ack(event_id=event_id, status="measured")

    def sheds() -> list[float]:
        return [kw for kw in stored(site, f"{VEN_ID}/shed_kw") if kw > 4.5]

    assert wait_for(sheds, "the shed is stored", 60.0)[0] == pytest.approx(5.0, rel=0.05)
    assert 5.0 in stored(site, f"{VEN_ID}/requested_kw")
    found = site.rpc(HISTORIAN, "query", f"{VEN_ID}/power_kw")
    assert found["metadata"]["units"] == "kW"
    assert found["metadata"]["type"] == "float"
    assert site.cloud.command("restore")["status"] == "success"

    def states() -> set[str]:
        events = stored(site, f"ven/{VEN_ID}/event")
        return {event["state"] for event in events if event["event_id"] == event_id}

    wait_for(lambda: {"active", "completed"} <= states(), "the event's course is stored", 60.0)
    topics = site.rpc(HISTORIAN, "get_topic_list")
    assert f"{VEN_ID}/baseline_kw" in topics
