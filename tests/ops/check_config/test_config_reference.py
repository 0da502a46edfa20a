"""The published schema and reference of the agent's configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ops.check_config.config_reference import (
    EXAMPLES,
    REFERENCE_FILE,
    SCHEMA_FILE,
    config_reference,
    config_reference_schema,
)
from tests.config.builders import MINIMAL, load
from tests.support.each_case import each_case
from VenAgent.config import AgentConfig

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = config_reference_schema()
VALIDATOR = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)
"""`jsonschema.validate` would look at the schema itself again each time."""
BLOCKS = {
    name
    for name, field in SCHEMA["properties"].items()
    if "$ref" in json.dumps(field) and name not in ("leases",)
}


def with_block(name: str) -> dict[str, Any]:
    """A configuration with the example of one block."""
    contents = {**MINIMAL, name: EXAMPLES[name]}
    if name in ("leases", "quirks"):
        contents["panel"] = EXAMPLES["panel"]
    return contents


def test_every_block_has_an_example() -> None:
    assert set(EXAMPLES) >= BLOCKS


@each_case("name", sorted(set(EXAMPLES) & set(AgentConfig.model_fields)))
def test_an_example_is_what_the_agent_takes_and_the_schema_too(name: str) -> None:
    load(with_block(name))
    VALIDATOR.validate(with_block(name))


def test_the_shipped_configuration_is_valid_by_the_schema() -> None:
    VALIDATOR.check_schema(SCHEMA)
    VALIDATOR.validate(json.loads((ROOT / "config").read_text()))


@each_case(
    "wrong",
    [{"ven_id": "a b"}, {"circuit": []}, {"circuits": []}, {"panel": {}}, {"web": {"enabled": 3}}],
)
def test_the_schema_refuses_what_the_agent_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate({**MINIMAL, **wrong})


def test_every_setting_says_what_it_means() -> None:
    blocks = {"AgentConfig": SCHEMA, **SCHEMA["$defs"]}
    silent = [
        f"{name}.{setting}"
        for name, block in blocks.items()
        for setting, field in block.get("properties", {}).items()
        if not field.get("description") and "$ref" not in json.dumps(field)
    ]
    assert silent == []


def test_what_is_published_is_up_to_date() -> None:
    remedy = "the configuration changed: run  python -m ops.check_config.config_reference"
    assert json.loads(SCHEMA_FILE.read_text()) == SCHEMA, remedy
    assert REFERENCE_FILE.read_text() == config_reference(), remedy
