"""The base of all groups of settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

ENV_PREFIX = "TRANSFER_GATEWAY_"


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(word.strip() for word in value.split(",") if word.strip())


CommaSeparated = Annotated[tuple[str, ...], BeforeValidator(_split)]


class Group(BaseModel):
    """Only `Settings`, which has the fields of all groups, is instantiated."""

    model_config = ConfigDict(frozen=True, validate_default=True, defer_build=True)
