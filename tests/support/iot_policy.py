"""AWS IoT policies in tests: what they allow, by AWS's documented rules, and as mosquitto's ACL.

Both come from deploy/aws/iot-policy.json itself, so the test broker cannot drift from what a site
is given in AWS.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
VEN_POLICY = ROOT / "deploy" / "aws" / "iot-policy.json"
BUS_POLICY = ROOT / "deploy" / "aws" / "iot-policy-bus-in.json"
THING_NAME = "${iot:Connection.Thing.ThingName}"
ACCOUNT = "123456789012"


def filled(text: str, partition: str = "aws", region: str = "eu-west-1", **parameters: str) -> str:
    """`text` with CloudFormation's pseudo parameters, and `parameters`, filled in."""
    known = {
        "AWS::Partition": partition,
        "AWS::Region": region,
        "AWS::AccountId": ACCOUNT,
        **parameters,
    }
    for name, value in known.items():
        text = text.replace(f"${{{name}}}", value)
    return text.replace("${!", "${")


def ven_policy(partition: str = "aws", region: str = "eu-west-1") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(filled(VEN_POLICY.read_text(), partition, region))
    return document


def bus_policy() -> dict[str, Any]:
    """What a site has beside, to take messages from the cloud onto its bus."""
    document: dict[str, Any] = json.loads(filled(BUS_POLICY.read_text()))
    return document


def size(document: Mapping[str, Any]) -> int:
    """As AWS counts it (2048 at most): blanks do not count."""
    return len(re.sub(r"\s", "", json.dumps(document)))


@dataclass(frozen=True)
class Client:
    """A connection: its client id, and the things that its certificate is attached to."""

    client_id: str
    attached: frozenset[str]

    def allowed(
        self,
        document: Mapping[str, Any],
        action: str,
        resource: str,
        attributes: Iterable[str] = (),
    ) -> bool:
        """Whether `document` lets it, e.g. `iot:Publish` on `topic/ven/ack/site-1`.

        A Deny wins; what no statement names is denied.
        """
        effects = {
            statement["Effect"]
            for statement in document["Statement"]
            if action in _list(statement["Action"])
            and any(self._matches(pattern, resource) for pattern in _list(statement["Resource"]))
            and self._holds(statement.get("Condition", {}), set(attributes))
        }
        return "Allow" in effects and "Deny" not in effects

    @property
    def thing(self) -> str | None:
        """The thing that the policy's variables speak of: the one named like the client id."""
        return self.client_id if self.client_id in self.attached else None

    def _matches(self, pattern: str, resource: str) -> bool:
        if THING_NAME in pattern and self.thing is None:
            return False
        _, _, _, region, account, rest = pattern.split(":", 5)
        assert (region, account) != ("*", "*")
        parts = re.split(r"(\$\{iot:Connection\.Thing\.ThingName\}|\*|\?)", rest)
        known = {THING_NAME: re.escape(self.thing or ""), "*": ".*", "?": "."}
        return bool(re.fullmatch("".join(known.get(p, re.escape(p)) for p in parts), resource))

    def _holds(self, condition: Mapping[str, Mapping[str, Any]], attributes: set[str]) -> bool:
        for operator, keys in condition.items():
            for key, wanted in keys.items():
                if (operator, key) == ("Bool", "iot:Connection.Thing.IsAttached"):
                    holds = str(self.thing is not None).lower() == wanted
                elif (operator, key) == ("ForAllValues:StringEquals", "iot:ConnectAttributes"):
                    holds = attributes <= set(_list(wanted))
                else:
                    raise AssertionError(f"the evaluator does not know {operator} of {key}")
                if not holds:
                    return False
        return "iot:ConnectAttributes" in str(condition) or not attributes


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


# ---- as mosquitto's ACL -------------------------------------------------------------------------

_ACCESS = {"iot:Publish": "write", "iot:Receive": "read"}


def mosquitto_acl(document: Mapping[str, Any]) -> Iterator[str]:
    """The lines for every client, its certificate's name in the place of the thing's.

    AssertionError for a policy that mosquitto cannot express.
    """
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        accesses = [_ACCESS[action] for action in _list(statement["Action"]) if action in _ACCESS]
        for resource in _list(statement["Resource"]):
            kind, _, topic = resource.split(":", 5)[5].partition("/")
            if kind == "topic":
                yield from (f"pattern {access} {_mosquitto_topic(topic)}" for access in accesses)


def _mosquitto_topic(topic: str) -> str:
    levels = topic.replace(THING_NAME, "%u").split("/")
    wild = ["+" if level == "*" else level for level in levels]
    if levels[-1] == "*":
        wild[-1] = "#"
    assert not any("*" in level for level in wild), f"mosquitto cannot express {topic}"
    return "/".join(wild)
