"""What the blocks of the configuration are made of: names, numbers, and their strictness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from VenAgent.contract.topics import topic_over_limit

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]


def _no_contents(name: str) -> str:
    if _is_key(name):
        raise ValueError("must be the name of a file, not what stands in it")
    return name


def config_holds_secret(finding: Mapping[str, Any]) -> bool:
    """Whether its input is something that no message may repeat."""
    value = finding["input"]
    has_login = isinstance(value, str) and "@" in value  # of an address: user:password@host
    named = {"token", "password", "proxy"} & set(finding["loc"])
    return bool(named) or has_login or _is_key(value)


def _is_key(value: object) -> bool:
    """Whether it is (or has) a certificate or key itself, which no message may repeat."""
    return isinstance(value, str) and ("-----BEGIN" in value or "PRIVATE KEY" in value)


FileName = Annotated[
    str, StringConstraints(min_length=1, max_length=4096), AfterValidator(_no_contents)
]


def _within_limits(topic: str) -> str:
    why = topic_over_limit(topic)
    if why is not None:
        raise ValueError(why)
    return topic


TopicName = Annotated[
    str,
    StringConstraints(min_length=1, pattern=r"^[^+#\x00]*$"),
    AfterValidator(_within_limits),
]
"""A topic that can be published to: no wildcards, and nothing that AWS IoT Core does not take."""
ThingName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9:_-]{1,128}$")]
"""What AWS IoT takes as a thing name; it also keeps wildcards out of our topics."""


def _without_prefix(path: str) -> str:
    if path.startswith("devices/"):
        raise ValueError("must not begin with devices/: that is only its name in the config store")
    return path


DevicePath = Annotated[
    str, StringConstraints(pattern=r"^[^/\s]+(/[^/\s]+)*$"), AfterValidator(_without_prefix)
]


def _no_boolean(value: Any) -> Any:
    """JSON's true is not the number 1."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


NotBoolean = BeforeValidator(_no_boolean)
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), NotBoolean]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), NotBoolean]


class ConfigBlock(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
