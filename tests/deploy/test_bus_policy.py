"""The policy of a site that takes messages for its bus, beside the one of every VEN."""

from __future__ import annotations

import json

from tests.support.iot_policy import ROOT, Client, filled, size, ven_policy

POLICY = json.loads(filled((ROOT / "deploy" / "aws" / "iot-policy-bus-in.json").read_text()))
SITE = Client("site-1", frozenset({"site-1"}))


def test_it_hears_what_is_meant_for_its_own_bus_only() -> None:
    assert SITE.allowed(POLICY, "iot:Subscribe", "topicfilter/ven/bus/site-1/in/#")
    assert SITE.allowed(POLICY, "iot:Receive", "topic/ven/bus/site-1/in/cloud/weather")
    for other in ("ven/bus/site-2/in/#", "ven/bus/+/in/#", "ven/bus/#", "ven/bus/site-1/#"):
        assert not SITE.allowed(POLICY, "iot:Subscribe", f"topicfilter/{other}")
    assert not SITE.allowed(POLICY, "iot:Publish", "topic/ven/bus/site-1/in/cloud/weather")


def test_without_it_no_site_can() -> None:
    assert not SITE.allowed(ven_policy(), "iot:Subscribe", "topicfilter/ven/bus/site-1/in/#")


def test_it_is_no_longer_than_aws_takes() -> None:
    assert size(POLICY) <= 2048
