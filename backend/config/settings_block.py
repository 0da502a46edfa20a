"""What each block of settings shares: how variables are named and read, and what a mistake is."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

Settings = TypeVar("Settings", bound="SettingsBlock")
_NUMBER = re.compile(r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")


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
        settings_block_refuse_odd_numbers(cls, given)
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


def settings_block_refuse_odd_numbers(block: type[BaseModel], given: Mapping[str, str]) -> None:
    """Python reads `1_0`, and other alphabets' digits, as numbers; a person may have meant 1.0.

    Raises SettingsBlockError that names the variable.
    """
    for name, field in block.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            settings_block_refuse_odd_numbers(inner, given)
            continue
        is_choice = get_origin(field.annotation) in (Union, UnionType)
        kinds = {field.annotation, *(get_args(field.annotation) if is_choice else ())}
        alias = field.validation_alias
        names = alias.choices if isinstance(alias, AliasChoices) else [name]
        for variable in names:
            text = given.get(str(variable))
            if kinds & {int, float} and text is not None and not _NUMBER.fullmatch(text):
                raise SettingsBlockError(f"{variable}: {text!r} is no number")


def _list_of(value: Any) -> Any:
    return (
        [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )


TextList = Annotated[tuple[str, ...], BeforeValidator(_list_of)]
"""Written with commas."""
