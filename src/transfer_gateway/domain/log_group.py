"""Log groups of CloudWatch Logs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from transfer_gateway.domain.gateway_error import BadUserInput, quote
from transfer_gateway.domain.identity import AccountId, Region, Target

if TYPE_CHECKING:
    from datetime import datetime

# Source: `LogGroupName` in the CloudWatch Logs model.
_NAME = r"[.\-_/#A-Za-z0-9]{1,512}"
_ARN = re.compile(rf"arn:aws[a-z-]*:logs:([^:]+):([^:]+):log-group:({_NAME})(?::\*)?")


class LogGroupKey(NamedTuple):
    """A log group's name is unique within an account and region."""

    account_id: AccountId
    region: Region
    name: str

    @classmethod
    def of_arn(cls, arn: str) -> LogGroupKey:
        """The group that a StructuredLogDestination names: `arn:aws:logs:region:account:log-group:NAME:*`.

        CloudWatch Logs refuses ARNs that end in `:*`, and one with or without it is the same group. Raises:
        BadUserInput, if it is no log group's.
        """
        found = _ARN.fullmatch(arn)
        if found is None:
            raise BadUserInput(
                f"A log group's ARN has the form arn:aws:logs:region:account:log-group:name; got {quote(arn)}."
            )
        region, account_id, name = found.groups()
        return cls(AccountId(account_id), Region(region), name)

    @property
    def target(self) -> Target:
        return Target(self.account_id, self.region)

    def __str__(self) -> str:
        return f"{self.account_id}/{self.region}/{self.name}"


@dataclass(frozen=True, slots=True)
class LogGroup:
    """A described log group. `retention_days` None: its entries never expire. Source: `LogGroup`."""

    name: str
    created_at: datetime
    retention_days: int | None
