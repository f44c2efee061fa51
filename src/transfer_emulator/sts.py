"""STS: AssumeRole and GetCallerIdentity."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from transfer_emulator.errors import INVALID_INPUT, AwsError, not_authorized
from transfer_emulator.identity import HOUR_S, AccessKey, Role
from transfer_emulator.response_shaper import Wire
from transfer_emulator.world import World


@dataclass(frozen=True, slots=True)
class Sts:
    """The service's operations. `session_lifetime_s`, if set, overrides the requested DurationSeconds."""

    world: World
    wall_time: Callable[[], float]
    session_lifetime_s: float | None = None

    def assume_role(self, key: AccessKey, parameters: Wire) -> Wire:
        """Raises: AwsError (DENIED, INVALID_INPUT)."""
        role, account_id = self._assumable(key, parameters)
        duration_s = parameters.get("DurationSeconds", HOUR_S)
        _check_duration(key, role, duration_s)
        if self.session_lifetime_s is None:
            expires_at = float(math.floor(self.wall_time() + duration_s))  # AWS uses whole seconds
        else:
            # Rounded up to the wire's milliseconds, so that both sides use the same time.
            expires_at = math.ceil((self.wall_time() + self.session_lifetime_s) * 1000) / 1000
        session = self.world.keys.open_session(role, account_id, parameters["RoleSessionName"], expires_at)
        output: Wire = {
            "Credentials": {
                "AccessKeyId": session.access_key_id,
                "SecretAccessKey": session.secret,
                "SessionToken": session.token,
                "Expiration": datetime.fromtimestamp(expires_at, UTC),
            },
            "AssumedRoleUser": {"AssumedRoleId": session.caller.user_id, "Arn": session.caller.arn},
            "PackedPolicySize": 6,  # as in AWS's documentation and in moto
        }
        if "SourceIdentity" in parameters:
            output["SourceIdentity"] = parameters["SourceIdentity"]
        return output

    def get_caller_identity(self, key: AccessKey, _parameters: Wire) -> Wire:
        caller = key.caller
        return {"UserId": caller.user_id, "Account": caller.account_id, "Arn": caller.arn}

    def _assumable(self, key: AccessKey, parameters: Wire) -> tuple[Role, str]:
        role_arn = parameters["RoleArn"]
        account_id = account_of_role(role_arn)
        if account_id is None:
            raise AwsError(INVALID_INPUT, f"{role_arn} is invalid")
        account = self.world.find_account(account_id)
        role = account.roles.get(role_arn.rpartition("/")[2]) if account else None
        allowed = (
            role is not None
            and role.arn(account_id) == role_arn
            and role.trusts(key.caller)
            and role.external_id in {None, parameters.get("ExternalId")}
        )
        if role is None or not allowed:
            raise not_authorized(key.caller.arn, "sts:AssumeRole", role_arn)
        return role, account_id


def account_of_role(role_arn: str) -> str | None:
    """The account of a role ARN; None if it is not a role ARN."""
    parts = role_arn.split(":", 5)
    if len(parts) == 6 and parts[2] == "iam" and parts[5].startswith("role/"):  # noqa: PLR2004 - an ARN's parts
        return parts[4]
    return None


def _check_duration(key: AccessKey, role: Role, duration_s: int) -> None:
    if duration_s > role.max_session_duration_s:
        message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        raise AwsError(INVALID_INPUT, message)
    if key.caller.role_arn is not None and duration_s > HOUR_S:
        message = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        raise AwsError(INVALID_INPUT, message)
