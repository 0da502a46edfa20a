"""What a target is told of a cause, and when: without a clock or a database."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from backend.alerts.alert_grouping import (
    GroupedAlert,
    ToldAlertGrouping,
    alert_grouping_notice,
    alerts_grouped_for,
    look_at_alert_grouping,
)
from backend.config.alert_targets import (
    AlertTarget,
    AlertTargetQuietHours,
    AlertTargetRouting,
    read_alert_targets,
)
from backend.config.settings_block import SettingsBlockError

NOON = datetime(2026, 7, 1, 12, tzinfo=timezone.utc)
ROUTING = AlertTargetRouting(group_wait_sec=30, group_interval_sec=300)
TARGET = AlertTarget(name="room", webhook="http://x.example", secret="s")


def alert(number: int, severity: str = "warning", **changes: object) -> GroupedAlert:
    values = {"ven_id": f"v{number}", "code": "ven_offline", "cause": "ven_offline"}
    values |= {"subject": "", "message": "the VEN is offline", "begun_at": NOON}
    return GroupedAlert(number, severity=severity, **{**values, **changes})  # type: ignore[arg-type]


def story(
    looks: list[tuple[float, list[GroupedAlert]]], target: AlertTarget = TARGET
) -> list[tuple[float, str]]:
    """What is told, and when (seconds after noon)."""
    told: ToldAlertGrouping | None = None
    found = []
    for second, alerts in looks:
        turn = look_at_alert_grouping(
            told, alerts, target, ROUTING, NOON + timedelta(seconds=second)
        )
        told = turn.group
        if turn.kind:
            found.append((second, turn.kind.removeprefix("alert.")))
    return found


def test_a_cause_is_told_once_and_its_end_once() -> None:
    many = [alert(n) for n in range(1, 10_001)]
    looks = [(0, many[:1]), (5, many), (30, many), (35, many), (100, many), (400, many)]
    assert story([*looks, (800, []), (805, [])]) == [(30, "firing"), (800, "resolved")]
    # What is over before its time has come is not told at all.
    assert story([(0, many), (20, []), (30, []), (31, [])]) == []
    # More of them, and worse ones, are told after the interval; not what was seen already.
    looks = [(0, many[:1]), (30, many[:1]), (60, many[:9]), (330, many[:9]), (700, many[:5])]
    assert story(looks) == [(30, "firing"), (330, "updated")]
    worse = [alert(1, "critical")]
    assert story([(0, many[:1]), (30, many[:1]), (330, worse)]) == [
        (30, "firing"),
        (330, "updated"),
    ]
    seen = [alert(n, is_acknowledged=True) for n in (1, 2)]
    assert story([(0, many[:1]), (30, many[:1]), (330, seen)]) == [(30, "firing")]


def test_alertmanager_is_told_again_and_again() -> None:
    target = AlertTarget(name="am", alertmanager="http://x.example")
    one = [alert(1)]
    looks = [(0, one), (30, one), (60, one), (330, one), (340, one), (630, one), (930, [])]
    assert story(looks, target) == [
        *((30, "firing"), (330, "updated"), (630, "updated"), (930, "resolved"))
    ]


def test_quiet_hours_hold_back_all_but_what_is_grave() -> None:
    quiet = AlertTargetQuietHours.model_validate(
        {"timeZone": "Europe/Berlin", "from": "22:00", "to": "06:00", "unless": "critical"}
    )
    at = {
        "2026-07-01T19:59": None,  # 21:59 there
        "2026-07-01T20:00": "2026-07-02T04:00",
        "2026-07-01T23:30": "2026-07-02T04:00",
        "2026-07-02T03:59": "2026-07-02T04:00",
        "2026-07-02T04:00": None,
        "2026-01-01T20:30": None,  # winter: 21:30 there
        "2026-01-01T21:00": "2026-01-02T05:00",
        "2026-03-28T22:00": "2026-03-29T04:00",  # the clock goes forward in that night
    }
    for moment, until in at.items():
        expected = None if until is None else datetime.fromisoformat(f"{until}+00:00")
        assert quiet.quiet_until(datetime.fromisoformat(f"{moment}+00:00")) == expected, moment
    by_day = AlertTargetQuietHours.model_validate({"from": "12:00", "to": "13:00"})
    target = TARGET.model_copy(update={"quiet_hours": by_day})
    one, grave = [alert(1)], [alert(1, "critical")]
    assert story([(0, one), (30, one), (60, one), (3600, one)], target) == [(3600, "firing")]
    assert story([(0, grave), (30, grave), (300, [])], target) == [(30, "firing")]
    assert story([(0, grave), (30, grave), (330, [])], target)[-1] == (330, "resolved")
    assert story([(0, one), (30, one), (60, []), (3600, [])], target) == []


def test_a_target_gets_what_it_wants() -> None:
    alerts = [
        alert(1, groups=("north",)),
        alert(2, "info", groups=("north",)),
        alert(3, "critical", groups=("south",)),
        alert(4, "critical", ven_id="", code="broker_away", cause="broker_away"),
    ]

    def wanted(**changes: object) -> list[int]:
        target = AlertTarget(name="t", webhook="http://x.example", secret="s", **changes)  # type: ignore[arg-type]
        return sorted(
            one.id for each in alerts_grouped_for(target, alerts).values() for one in each
        )

    assert wanted() == [1, 3, 4]
    assert wanted(severity="info") == [1, 2, 3, 4]
    assert wanted(severity="critical") == [3, 4]
    assert wanted(groups=("north",), severity="info") == [1, 2]
    assert wanted(codes=("broker_away",)) == [4]
    assert wanted(alerts=False) == []


def test_a_message_counts_all_and_names_some() -> None:
    many = [alert(n) for n in range(1, 10_001)]
    broker = alert(1, "critical", ven_id="", code="broker_away", message="the broker is away")
    told = ToldAlertGrouping(NOON, NOON)
    data = alert_grouping_notice("alert.firing", "broker_away", told, [broker, *many], NOON)["data"]
    assert data["summary"] == "10,000 VENs: the broker is away"
    assert (data["count"], data["venCount"], len(data["venIds"])) == (10_001, 10_000, 50)
    assert data["codes"] == {"broker_away": 1, "ven_offline": 10_000}
    assert data["severity"] == "critical"


def test_a_mistake_in_the_targets_is_named(tmp_path: Path) -> None:
    file = tmp_path / "alerts.json"
    hook = {"name": "a", "webhook": "https://x.example", "secret": "s"}
    elsewhere = {**hook, "secret": None, "secretFile": "/none"}
    mars = {**hook, "quietHours": {"timeZone": "Mars", "from": "1:00", "to": "2:00"}}
    mistakes = {
        "{": "is not JSON",
        json.dumps({"target": []}): "target: Extra inputs are not permitted",
        json.dumps({"targets": [{"name": "a"}]}): "name one of webhook, alertmanager and apprise",
        json.dumps({"targets": [hook, hook]}): "two targets named a",
        json.dumps({"targets": [{**hook, "secret": None}]}): "a webhook is signed",
        json.dumps({"targets": [{**hook, "webhook": "x.example"}]}): "is no address",
        json.dumps({"targets": [{**hook, "severity": "loud"}]}): "targets.0.severity",
        json.dumps({"targets": [elsewhere]}): "/none: No such",
        json.dumps({"targets": [mars]}): "no time zone",
    }
    for content, words in mistakes.items():
        file.write_text(content)
        with pytest.raises(SettingsBlockError) as error:
            read_alert_targets(file)
        assert words in str(error.value), content
    for slip in (
        *({"webhook": f"{word}/services/s3cret"} for word in ("htps://h", "h", "https:///")),
        {"webhook": "https://h/services/s3cret token"},
        {"webhook": "https://u:s3cr/et@h/x"},
        {"webhook": "https://u:1#s3cret@h:s3cret/x"},
        {"webhook": "https://[::1/s3cret"},
        {"webhook": ["https://h/s3cret"]},
        {"webhook": None, "secret": None, "alertmanager": "u:s3cret@am.example"},
    ):
        file.write_text(json.dumps({"targets": [{**hook, **slip}]}))
        with pytest.raises(SettingsBlockError) as error:
            read_alert_targets(file)
        assert "targets.0." in str(error.value), slip
        assert "s3cr" not in str(error.value), slip
    with pytest.raises(SettingsBlockError, match="No such file"):
        read_alert_targets(tmp_path / "none.json")
    file.write_text(json.dumps({"targets": [hook]}))
    assert read_alert_targets(file).targets[0].name == "a"
    assert read_alert_targets(None).targets == ()
