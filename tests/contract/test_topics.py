"""The topics of one VEN."""

from __future__ import annotations

from tests.support.each_case import each_case
from VenAgent.contract.topics import Topics


def test_the_topics_are_those_of_the_contract() -> None:
    topics = Topics.for_ven("v1")
    assert topics.metering == "volttron/metering"
    assert topics.telemetry == "ven/telemetry/v1"
    assert topics.loads == "ven/loads/v1"
    assert topics.ack == "ven/ack/v1"
    assert topics.command == "ven/cmd/v1"
    assert topics.status == "ven/status/v1"
    assert topics.alerts == "ven/alerts/v1"
    assert topics.shadow_update == "$aws/things/v1/shadow/update"


@each_case("name", ["metering", "telemetry", "loads", "ack", "command"])
def test_each_topic_can_be_overridden_alone(name: str) -> None:
    default, changed = Topics.for_ven("v1"), Topics.for_ven("v1", **{name: "my/topic"})
    for field in Topics.__dataclass_fields__:
        expected = "my/topic" if field == name else getattr(default, field)
        assert getattr(changed, field) == expected


@each_case("unset", [None, ""])
def test_an_override_that_is_not_set_changes_nothing(unset: str | None) -> None:
    assert Topics.for_ven("v1", metering=unset, ack=unset) == Topics.for_ven("v1")
