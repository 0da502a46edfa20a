"""What a VEN's certificate may do in AWS, evaluated on the policy that is shipped."""

from __future__ import annotations

import pytest

from tests.support.iot_policy import Client, bus_policy, mosquitto_acl, size, ven_policy
from VenAgent.contract.topics import Topics

POLICY = ven_policy()
SITE, NEIGHBOUR = "site-1", "site-2"
OURS = Client(SITE, frozenset({SITE}))
TOPICS = Topics.for_ven(SITE)
SESSION = ("PersistentConnect", "LastWill")
"""What VenAgent connects with."""

PUBLISHED = [
    TOPICS.metering,
    TOPICS.telemetry,
    TOPICS.loads,
    TOPICS.ack,
    TOPICS.status,
    TOPICS.alerts,
    TOPICS.shadow_update,
    f"{TOPICS.shadow}/get",
    f"{TOPICS.shadow}/name/circuits-1/update",
    f"{TOPICS.shadow}/name/circuits-1/get",
    f"ven/bus/{SITE}/out",
]
RECEIVED = [
    TOPICS.command,
    *(
        f"{TOPICS.shadow}/{what}"
        for what in ("update/accepted", "update/rejected", "update/delta", "get/accepted")
    ),
    f"{TOPICS.shadow}/name/circuits-1/update/delta",
]


def theirs(topic: str) -> str:
    return topic.replace(SITE, NEIGHBOUR)


def test_a_ven_connects_as_its_thing_with_a_session_and_a_last_will() -> None:
    assert OURS.allowed(POLICY, "iot:Connect", f"client/{SITE}", SESSION)


@pytest.mark.parametrize("topic", PUBLISHED)
def test_a_ven_publishes_on_its_own_topics(topic: str) -> None:
    assert OURS.allowed(POLICY, "iot:Publish", f"topic/{topic}")


@pytest.mark.parametrize("topic", RECEIVED)
def test_a_ven_hears_its_own_commands_and_shadow(topic: str) -> None:
    assert OURS.allowed(POLICY, "iot:Subscribe", f"topicfilter/{topic}")
    assert OURS.allowed(POLICY, "iot:Receive", f"topic/{topic}")


def test_only_the_status_is_retained() -> None:
    assert OURS.allowed(POLICY, "iot:RetainPublish", f"topic/{TOPICS.status}")
    for topic in {*PUBLISHED} - {TOPICS.status}:
        assert not OURS.allowed(POLICY, "iot:RetainPublish", f"topic/{topic}")


@pytest.mark.parametrize("topic", [topic for topic in PUBLISHED if SITE in topic])
def test_it_does_not_publish_for_its_neighbour(topic: str) -> None:
    assert not OURS.allowed(POLICY, "iot:Publish", f"topic/{theirs(topic)}")
    assert not OURS.allowed(POLICY, "iot:RetainPublish", f"topic/{theirs(topic)}")


@pytest.mark.parametrize("topic", RECEIVED)
def test_it_does_not_hear_its_neighbour(topic: str) -> None:
    assert not OURS.allowed(POLICY, "iot:Subscribe", f"topicfilter/{theirs(topic)}")
    assert not OURS.allowed(POLICY, "iot:Receive", f"topic/{theirs(topic)}")


@pytest.mark.parametrize(
    "pattern",
    [
        *("#", "+/#", "ven/#", "ven/+/+", "ven/cmd/+", "ven/cmd/#", "ven/ack/+"),
        *("volttron/metering", "$aws/#", "$aws/things/+/shadow/#"),
        "$aws/things/+/shadow/update/delta",
    ],
)
def test_no_wildcard_reaches_over_the_fence(pattern: str) -> None:
    assert not OURS.allowed(POLICY, "iot:Subscribe", f"topicfilter/{pattern}")


@pytest.mark.parametrize(
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
        own, foreign = f"ven/bus/{SITE}/in/cloud/weather", f"ven/bus/{NEIGHBOUR}/in/cloud/weather"
        assert OURS.allowed(document, "iot:Receive", f"topic/{own}") is allowed
        assert (
            OURS.allowed(document, "iot:Subscribe", f"topicfilter/ven/bus/{SITE}/in/#") is allowed
        )
        assert not OURS.allowed(document, "iot:Receive", f"topic/{foreign}")
        assert not OURS.allowed(document, "iot:Subscribe", "topicfilter/ven/bus/+/in/#")
        assert not OURS.allowed(document, "iot:Publish", f"topic/{own}")


def test_it_does_not_connect_as_its_neighbour() -> None:
    disguised = Client(NEIGHBOUR, frozenset({SITE}))
    assert not disguised.allowed(POLICY, "iot:Connect", f"client/{NEIGHBOUR}", SESSION)
    for topic in map(theirs, PUBLISHED):
        if topic != TOPICS.metering:
            assert not disguised.allowed(POLICY, "iot:Publish", f"topic/{topic}")


@pytest.mark.parametrize("client_id", [SITE, "anything", ""])
def test_a_certificate_that_is_attached_to_no_thing_does_not_connect(client_id: str) -> None:
    stray = Client(client_id, frozenset())
    assert not stray.allowed(POLICY, "iot:Connect", f"client/{client_id}", SESSION)


@pytest.mark.parametrize(
    ("partition", "region"), [("aws", "ap-southeast-1"), ("aws-cn", "cn-northwest-1")]
)
def test_it_is_no_longer_than_aws_takes(partition: str, region: str) -> None:
    assert size(ven_policy(partition, region)) <= 2048


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
