"""The CloudFormation template agrees with the policy that is tested and with the contract."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.iot_policy import ROOT, Client, bus_policy, filled, size, ven_policy

TEMPLATE = ROOT / "deploy" / "aws" / "venagent.yaml"
NAMES = {"Name": "venagent", "SecretPrefix": "ven/", "VenThingType": "venagent-ven"}


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    """The resources, with every Fn::Sub filled in."""
    from cfnlint.decode import cfn_yaml  # half a second, which every process would take

    def fill(value: Any) -> Any:
        if isinstance(value, dict) and set(value) == {"Fn::Sub"}:
            return filled(str(value["Fn::Sub"]), **NAMES)
        if isinstance(value, dict):
            return {str(name): fill(inner) for name, inner in value.items()}
        return [fill(inner) for inner in value] if isinstance(value, list) else value

    loaded = cfn_yaml.load(str(TEMPLATE))
    return {str(name): fill(made["Properties"]) for name, made in loaded["Resources"].items()}


@pytest.mark.long
def test_the_vens_policy_is_the_one_that_is_tested(resources: dict[str, Any]) -> None:
    assert resources["VenPolicy"]["PolicyDocument"] == ven_policy()
    assert resources["VenBusPolicy"]["PolicyDocument"] == bus_policy()


@pytest.mark.long
def test_the_rules_select_what_the_backend_reads(resources: dict[str, Any]) -> None:
    select = "SELECT *, clientid() AS mqttClientId"
    sql = {
        name: made["TopicRulePayload"]["Sql"]
        for name, made in resources.items()
        if "TopicRulePayload" in made
    }
    assert (
        sql.pop("MeteringRule") == f"{select}, timestamp() AS receivedAt FROM 'volttron/metering'"
    )
    assert sql == {
        f"{name}Rule": f"{select}, topic() AS mqttTopic, timestamp() AS receivedAt FROM '{topic}'"
        for name, topic in {
            "Ack": "ven/ack/+",
            "Status": "ven/status/+",
            "Alerts": "ven/alerts/+",
        }.items()
    }


def test_every_rule_has_one_way_into_the_stream_and_one_for_errors(
    resources: dict[str, Any],
) -> None:
    rules = [made["TopicRulePayload"] for made in resources.values() if "TopicRulePayload" in made]
    assert len(rules) == 4
    for rule in rules:
        (action,) = rule["Actions"]
        assert action["Kinesis"]["PartitionKey"] == "${clientid()}"
        assert set(rule["ErrorAction"]) == {"Sqs"}


def test_the_rules_role_may_write_to_stream_and_queue_and_nothing_else(
    resources: dict[str, Any],
) -> None:
    (policy,) = resources["RuleRole"]["Policies"]
    allowed = {
        statement["Action"]: statement["Resource"]
        for statement in policy["PolicyDocument"]["Statement"]
    }
    assert allowed == {
        "kinesis:PutRecord": {"Fn::GetAtt": ["Stream", "Arn"]},
        "sqs:SendMessage": {"Fn::GetAtt": ["RuleErrors", "Arn"]},
    }
    (trust,) = resources["RuleRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"], "only for this account's own rules"


def test_no_policy_allows_every_action_of_a_service(resources: dict[str, Any]) -> None:
    text = json.dumps(resources)
    for service in ("iot", "kinesis", "sqs", "secretsmanager", "sns", "iam"):
        assert f'"{service}:*"' not in text
    assert '"Action": "*"' not in text


def test_a_backend_that_speaks_mqtt_hears_all_and_commands_all_but_is_no_ven(
    resources: dict[str, Any],
) -> None:
    policy = resources["BackendMqttPolicy"]["PolicyDocument"]
    assert size(policy) <= 2048
    backend = Client("venagent-ingest-1", frozenset())
    assert backend.allowed(policy, "iot:Connect", "client/venagent-ingest-1", ["PersistentConnect"])
    assert not backend.allowed(policy, "iot:Connect", "client/site-1")
    assert backend.allowed(policy, "iot:Publish", "topic/ven/cmd/site-1")
    assert not backend.allowed(policy, "iot:Publish", "topic/ven/ack/site-1")
    for topic in ("volttron/metering", "ven/ack/+", "ven/status/+", "ven/alerts/+"):
        shared = f"$share/venagent-ingest/{topic}"
        assert backend.allowed(policy, "iot:Subscribe", f"topicfilter/{shared}")
        assert backend.allowed(policy, "iot:Subscribe", f"topicfilter/{topic}")
        assert backend.allowed(policy, "iot:Receive", f"topic/{topic.replace('+', 'site-1')}")
    assert backend.allowed(policy, "iot:Subscribe", "topicfilter/ven/ack/site-1")
    for pattern in ("#", "ven/#", "ven/cmd/+", "$aws/#"):
        assert not backend.allowed(policy, "iot:Subscribe", f"topicfilter/{pattern}")


def test_every_alarm_tells_somebody(resources: dict[str, Any]) -> None:
    alarms = [made for made in resources.values() if "AlarmDescription" in made]
    assert len(alarms) >= 6
    for alarm in alarms:
        assert alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}]
        assert alarm["TreatMissingData"] == "notBreaching"


def test_rule_and_stream_can_have_the_names_that_other_tools_look_for(
    resources: dict[str, Any],
) -> None:
    named = {"Fn::If": ["HasStreamName", {"Ref": "StreamName"}, "venagent-messages"]}
    assert resources["Stream"]["Name"] == named
    rule = {"Fn::If": ["HasMeteringRuleName", {"Ref": "MeteringRuleName"}, "venagent_metering"]}
    assert resources["MeteringRule"]["RuleName"] == rule
    (trust,) = resources["RuleRole"]["AssumeRolePolicyDocument"]["Statement"]
    ours, other = trust["Condition"]["ArnLike"]["aws:SourceArn"]
    assert ours.endswith(":rule/venagent_*")
    assert other["Fn::If"][0] == "HasMeteringRuleName", "the role trusts a rule of that name too"
    assert str(other["Fn::If"][1]).endswith(":rule/${MeteringRuleName}")
