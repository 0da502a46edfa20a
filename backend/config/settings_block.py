"""What each block of settings shares: how variables are named and read, and what a mistake is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

Settings = TypeVar("Settings", bound="SettingsBlock")


class SettingsBlockError(Exception):
    """Settings that cannot be used; the text names each variable and what is wrong with it."""


class SettingsBlock(BaseModel):
    """Some settings; the names of their variables stand beside each. An empty one is not set."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def from_environment(
        cls: type[Settings], environment: Mapping[str, str] | None = None
    ) -> Settings:
        """The settings in `environment` (the process's own by default).

        Raises SettingsBlockError with one line a mistake.
        """
        variables = os.environ if environment is None else environment
        given = {name: value for name, value in variables.items() if value.strip()}
        try:
            return cls.model_validate(cls._prepared(given))
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
            raise SettingsBlockError("\n".join(lines)) from error

    @classmethod
    def _prepared(cls, given: dict[str, str]) -> dict[str, Any]:
        """What is validated, of the variables that are set."""
        return dict(given)


def settings_block_variable(*names: str, **rest: Any) -> Any:
    """A field that is read from the first of these variables that is set."""
    return Field(validation_alias=AliasChoices(*names), **rest)


def _list_of(value: Any) -> Any:
    return (
        [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )


TextList = Annotated[tuple[str, ...], BeforeValidator(_list_of)]
"""Written with commas."""
