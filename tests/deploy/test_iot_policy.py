"""What a VEN's certificate may do in AWS, evaluated on the policy that is shipped.

The topics are those of contract/topics.py. Both ways: all that a VEN uses is allowed, and nothing
is allowed that could be left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields
from typing import Any

from tests.cloud.shadow_house import House
from tests.support.each_case import each_case
from tests.support.iot_policy import Client, bus_policy, mosquitto_acl, size, ven_policy
from VenAgent.config.bus_bridge_config import BusBridgeConfig
from VenAgent.contract.topics import Topics, bus_in_topic, bus_out_topic

POLICY = ven_policy()
SITE, NEIGHBOUR = "site-1", "site-2"
OURS = Client(SITE, frozenset({SITE}))
TOPICS = Topics.for_ven(SITE)
SESSION = ("PersistentConnect", "LastWill")
"""What VenAgent connects with."""

HEARD_FIELDS, PREFIX_FIELDS = {"command"}, {"shadow"}
"""Of `Topics`. All others are published to: a new one has to be in the policy, or here."""

PUBLISHED = [
    *(
        getattr(TOPICS, field.name)
        for field in fields(Topics)
        if field.name not in HEARD_FIELDS | PREFIX_FIELDS
    ),
    TOPICS.shadow_update,
    TOPICS.shadow_get,
    TOPICS.named_shadow_update("circuits-1"),
    bus_out_topic(SITE),
]
FILTERS = [*(getattr(TOPICS, name) for name in HEARD_FIELDS), *TOPICS.shadow_heard]
RECEIVED = [topic_filter.replace("+", "circuits-1") for topic_filter in FILTERS]
FOR_THE_BUS = f"{bus_in_topic(SITE)}/cloud/weather"

Right = tuple[str, str, tuple[str, ...]]


def used_by_every_ven() -> Iterator[Right]:
    """Action, resource and attributes."""
    yield "iot:Connect", f"client/{SITE}", SESSION
    yield "iot:RetainPublish", f"topic/{TOPICS.status}", ()
    yield from (("iot:Publish", f"topic/{topic}", ()) for topic in PUBLISHED)
    yield from (("iot:Subscribe", f"topicfilter/{topic}", ()) for topic in FILTERS)
    yield from (("iot:Receive", f"topic/{topic}", ()) for topic in RECEIVED)


def used_for_the_bus() -> Iterator[Right]:
    (prefix,) = BusBridgeConfig(enabled=True, publish=["cloud"]).accepted(SITE)
    yield "iot:Subscribe", f"topicfilter/{prefix}/#", ()
    yield "iot:Receive", f"topic/{FOR_THE_BUS}", ()


def denied(document: dict[str, Any], used: Iterator[Right]) -> list[Right]:
    return [right for right in used if not OURS.allowed(document, *right)]


def each_without_a_part(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The policy without one of its statements, actions or resources."""
    for number, statement in enumerate(document["Statement"]):
        without = deepcopy(document)
        del without["Statement"][number]
        yield f"statement {number}", without
        for name in ("Action", "Resource"):
            values = statement[name] if isinstance(statement[name], list) else []
            for value in values:
                smaller = deepcopy(document)
                smaller["Statement"][number][name].remove(value)
                yield f"{name} {value}", smaller


@each_case(("document", "used"), [(POLICY, used_by_every_ven), (bus_policy(), used_for_the_bus)])
def test_all_that_a_ven_uses_is_allowed_and_nothing_could_be_left_out(
    document: dict[str, Any], used: Any
) -> None:
    assert denied(document, used()) == []
    for part, smaller in each_without_a_part(document):
        assert denied(smaller, used()), f"nothing of VenAgent needs the {part}"


def test_the_shadow_of_a_large_panel_is_reported_within_the_policy() -> None:
    house = House(circuits=100)
    sent = {message.topic for message in house.shadow.connected(0.0)}
    sent |= {message.topic for message in house.shadow.report(house.reported(), 0.0)}
    assert len(sent) > 3
    assert [
        topic for topic in sent if not OURS.allowed(POLICY, "iot:Publish", f"topic/{topic}")
    ] == []
    assert set(house.shadow.topics) <= set(FILTERS)


def theirs(topic: str) -> str:
    return topic.replace(SITE, NEIGHBOUR)


def test_only_the_status_is_retained() -> None:
    assert OURS.allowed(POLICY, "iot:RetainPublish", f"topic/{TOPICS.status}")
    for topic in {*PUBLISHED} - {TOPICS.status}:
        assert not OURS.allowed(POLICY, "iot:RetainPublish", f"topic/{topic}")


@each_case("topic", [topic for topic in PUBLISHED if SITE in topic])
def test_it_does_not_publish_for_its_neighbour(topic: str) -> None:
    assert not OURS.allowed(POLICY, "iot:Publish", f"topic/{theirs(topic)}")
    assert not OURS.allowed(POLICY, "iot:RetainPublish", f"topic/{theirs(topic)}")


@each_case("topic", RECEIVED)
def test_it_does_not_hear_its_neighbour(topic: str) -> None:
    assert not OURS.allowed(POLICY, "iot:Subscribe", f"topicfilter/{theirs(topic)}")
    assert not OURS.allowed(POLICY, "iot:Receive", f"topic/{theirs(topic)}")


@each_case(
    "pattern",
    [
        *("#", "+/#", "ven/#", "ven/+/+", "ven/cmd/+", "ven/cmd/#", "ven/ack/+"),
        *("volttron/metering", "$aws/#", "$aws/things/+/shadow/#"),
        "$aws/things/+/shadow/update/delta",
    ],
)
def test_no_wildcard_reaches_over_the_fence(pattern: str) -> None:
    assert not OURS.allowed(POLICY, "iot:Subscribe", f"topicfilter/{pattern}")


@each_case(
    "topic",
    [
        *(f"ven/cmd/{SITE}", f"ven/cmd/{NEIGHBOUR}", "ven/anything", "volttron/other"),
        *(f"ven/ack/{SITE}/{NEIGHBOUR}", f"ven/ack/{SITE}-2", f"$aws/things/{SITE}/jobs/get"),
        *(f"{TOPICS.shadow}/update/accepted", f"{TOPICS.shadow}/delete"),
    ],
)
def test_it_publishes_nowhere_else_and_commands_nobody(topic: str) -> None:
    assert not OURS.allowed(POLICY, "iot:Publish", f"topic/{topic}")


def test_what_comes_for_its_bus_needs_a_policy_of_its_own() -> None:
    for document, allowed in ((POLICY, False), (bus_policy(), True)):
        own, foreign = FOR_THE_BUS, theirs(FOR_THE_BUS)
        assert OURS.allowed(document, "iot:Receive", f"topic/{own}") is allowed
        assert (
            OURS.allowed(document, "iot:Subscribe", f"topicfilter/ven/bus/{SITE}/in/#") is allowed
        )
        assert not OURS.allowed(document, "iot:Receive", f"topic/{foreign}")
        for other in (
            f"{bus_in_topic(NEIGHBOUR)}/#",
            "ven/bus/+/in/#",
            "ven/bus/#",
            f"ven/bus/{SITE}/#",
        ):
            assert not OURS.allowed(document, "iot:Subscribe", f"topicfilter/{other}")
        assert not OURS.allowed(document, "iot:Publish", f"topic/{own}")


def test_it_does_not_connect_as_its_neighbour() -> None:
    disguised = Client(NEIGHBOUR, frozenset({SITE}))
    assert not disguised.allowed(POLICY, "iot:Connect", f"client/{NEIGHBOUR}", SESSION)
    for topic in map(theirs, PUBLISHED):
        if topic != TOPICS.metering:
            assert not disguised.allowed(POLICY, "iot:Publish", f"topic/{topic}")


@each_case("client_id", [SITE, "anything", ""])
def test_a_certificate_that_is_attached_to_no_thing_does_not_connect(client_id: str) -> None:
    stray = Client(client_id, frozenset())
    assert not stray.allowed(POLICY, "iot:Connect", f"client/{client_id}", SESSION)


@each_case(("partition", "region"), [("aws", "ap-southeast-1"), ("aws-cn", "cn-northwest-1")])
def test_it_is_no_longer_than_aws_takes(partition: str, region: str) -> None:
    assert size(ven_policy(partition, region)) <= 2048
    assert size(bus_policy()) <= 2048


def test_the_test_brokers_rules_are_those_of_the_policy() -> None:
    rules = list(mosquitto_acl(POLICY))
    assert "pattern write volttron/metering" in rules
    assert "pattern write ven/ack/%u" in rules
    assert "pattern write $aws/things/%u/shadow/name/+/update" in rules
    assert "pattern read ven/cmd/%u" in rules
    assert "pattern read $aws/things/%u/shadow/#" in rules
    assert "pattern write ven/bus/%u/out" in rules
    assert len(rules) == len(PUBLISHED) + 2
    assert not any("write ven/cmd" in rule for rule in rules)
