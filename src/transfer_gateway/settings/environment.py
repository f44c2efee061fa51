"""Settings: one environment variable per field. `groups` has the fields."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from pydantic import ConfigDict, ValidationError

from transfer_gateway.settings.configuration_error import ConfigurationError, say
from transfer_gateway.settings.groups.access import AccessSettings
from transfer_gateway.settings.groups.accounts import AccountsSettings
from transfer_gateway.settings.groups.aws import AwsSettings
from transfer_gateway.settings.groups.callers import CallerSettings
from transfer_gateway.settings.groups.graphql import GraphQLSettings
from transfer_gateway.settings.groups.group import ENV_PREFIX, Group
from transfer_gateway.settings.groups.grpc import GrpcSettings
from transfer_gateway.settings.groups.history import HistorySettings
from transfer_gateway.settings.groups.http import HttpSettings
from transfer_gateway.settings.groups.listeners import ListenerSettings
from transfer_gateway.settings.groups.logs import LogSettings
from transfer_gateway.settings.groups.timeouts import TimeoutSettings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

# Hints for a first start, by the first setting that is missing then.
_HINTS = {
    "accounts_file": "docs/accounts.md has an example of an accounts file; `transfer-gateway demo` needs none",
    "oidc_issuers": f"to try it on this machine without tokens, set {ENV_PREFIX}AUTH=none; "
    "to try it without AWS too, run `transfer-gateway demo`",
}


def exports_traces() -> bool:
    """Whether OpenTelemetry's own variables configure an endpoint for traces. Its SDK reads all others."""
    given = os.environ.get
    return (
        bool(given("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or given("OTEL_EXPORTER_OTLP_ENDPOINT"))
        and given("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
        and given("OTEL_SDK_DISABLED", "").lower() != "true"
    )


def shown_default(field: FieldInfo) -> str:
    """A setting's default, as it would be written in the variable; empty without one."""
    if field.default is None:
        return ""
    return (
        ",".join(field.default)
        if isinstance(field.default, tuple)
        else str(field.default).replace("True", "true").replace("False", "false")
    )


class FromEnvironment(Group):
    """One field, one environment variable: `TRANSFER_GATEWAY_` and the field's name in capitals."""

    @classmethod
    def from_environment(cls, **overrides: object) -> Self:
        """Read and check the environment. Options of the command line are `overrides`. Empty variables count as unset.

        Raises: ConfigurationError.
        """
        variables = {name.upper(): value for name, value in os.environ.items() if value}
        given = {name: variables.get(f"{ENV_PREFIX}{name.upper()}") for name in cls.model_fields} | {
            name: value for name, value in overrides.items() if value is not None
        }
        try:
            return cls.model_validate({name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            problems = error.errors(include_url=False)
            raise ConfigurationError(
                [
                    f"{ENV_PREFIX}{'_'.join(str(part) for part in problem['loc']).upper()}: {say(problem)}"
                    if problem["loc"]
                    else say(problem)
                    for problem in problems
                ],
                hints=[
                    _HINTS[field] for field in _HINTS if any(field in problem["loc"] for problem in problems)
                ],
            ) from None


class Settings(
    FromEnvironment,
    LogSettings,
    AwsSettings,
    TimeoutSettings,
    HistorySettings,
    GrpcSettings,
    GraphQLSettings,
    CallerSettings,
    HttpSettings,
    ListenerSettings,
    AccessSettings,
    AccountsSettings,
):
    """All of them.

    pydantic puts the last base's fields first, so documentation and checks start with the accounts.
    """

    model_config = ConfigDict(defer_build=False)


class MigrationSettings(FromEnvironment, LogSettings, HistorySettings):
    """What `migrate` needs, so that it runs where the accounts are not known."""

    model_config = ConfigDict(defer_build=False)
