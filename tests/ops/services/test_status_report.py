"""What `status` shows of a VEN."""

from __future__ import annotations

from ops.services.status_report import (
    SCHEDULED_SHOWN,
    status_report_also_active,
    status_report_scheduled,
)


def test_the_next_scheduled_events_are_shown_and_the_rest_is_counted() -> None:
    listed = [
        {"event_id": f"e{at}", "state": "scheduled", "requested_kw": 5.0, "start_ts": 1e9 + at}
        for at in range(20)
    ]
    texts = status_report_scheduled({"scheduled_events": listed[::-1], "scheduled_count": 200})
    shown = [text.split(",")[0] for text in texts]
    assert shown == [
        *(f"e{at}" for at in range(SCHEDULED_SHOWN)),
        f"and {200 - SCHEDULED_SHOWN} more",
    ]
    # An agent of an earlier version lists all of them.
    assert status_report_scheduled({"scheduled_events": listed})[-1] == "and 15 more"
    assert len(status_report_scheduled({"scheduled_events": listed[:3]})) == 3
    assert status_report_scheduled({"scheduled_events": None}) == []


def test_a_limit_that_is_kept_beside_the_active_event_is_not_scheduled() -> None:
    limit = {"event_id": "a", "state": "active", "kind": "limit", "import_kw": 15.0}
    later = {"event_id": "b", "state": "scheduled", "requested_kw": 2.0, "start_ts": 5.0}
    ven = {"scheduled_events": [limit, later], "scheduled_count": 3}
    (text,) = status_report_also_active(ven)
    assert text.startswith("a, active, ")
    assert "15.00 kW" in text
    (next_text, more) = status_report_scheduled(ven)
    assert next_text.startswith("b, scheduled, ")
    assert more == "and 1 more"
