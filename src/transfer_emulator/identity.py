"""Accounts, roles, access keys and sessions."""

import base64
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import sha256

from transfer_emulator.errors import unknown_key

DEFAULT_ROLE_NAME = "TransferGatewayReader"
HOUR_S = 3600
# Expired sessions are kept, so that their keys are reported as expired, not unknown. The oldest are evicted.
MAX_SESSIONS = 100_000


@dataclass(frozen=True, slots=True)
class Role:
    """A role of an emulated account.

    `trusted_principals` are ARNs (an account's root, a user, a role), account ids, or "*".
    """

    name: str
    trusted_principals: tuple[str, ...] = ()
    external_id: str | None = None
    max_session_duration_s: int = HOUR_S
    path: str = "/"

    def arn(self, account_id: str) -> str:
        return f"arn:aws:iam::{account_id}:role{self.path}{self.name}"

    def trusts(self, caller: "Caller") -> bool:
        names = {"*", caller.account_id, f"arn:aws:iam::{caller.account_id}:root", caller.arn}
        return not names.union({caller.role_arn}).isdisjoint(self.trusted_principals)


@dataclass(frozen=True, slots=True)
class Account:
    """An emulated account, with its roles by name."""

    account_id: str
    regions: tuple[str, ...]
    roles: dict[str, Role] = field(default_factory=dict)

    def role_arn(self, name: str = DEFAULT_ROLE_NAME) -> str:
        return self.roles[name].arn(self.account_id)


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal of a key. `role_arn`: a session's role; None for users."""

    account_id: str
    arn: str
    user_id: str
    role_arn: str | None = None


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A signing key. Session keys have a token and expire at `expires_at` (wall time)."""

    access_key_id: str
    secret: str
    caller: Caller
    token: str | None = None
    expires_at: float | None = None
    issued_ns: int = field(default_factory=time.monotonic_ns)


class KeyRing:
    """All valid and expired keys."""

    def __init__(self) -> None:
        self._keys: dict[str, AccessKey] = {}
        self._sessions: OrderedDict[str, AccessKey] = OrderedDict()

    def find(self, access_key_id: str, token: str | None) -> AccessKey:
        """The key, if `token` belongs to it. Raises: AwsError (UNKNOWN_KEY)."""
        key = self._sessions.get(access_key_id) or self._keys.get(access_key_id)
        if key is None or (key.token or "") != (token or ""):
            raise unknown_key()
        return key

    def add_user(self, account_id: str, user_name: str) -> AccessKey:
        """A user's long-lived key. It is deterministic, so that an exported environment stays valid across restarts."""
        arn = f"arn:aws:iam::{account_id}:user/{user_name}"
        key = AccessKey(
            access_key_id=f"AKIA{_stable_id(arn, 16)}",
            secret=base64.b64encode(sha256(f"secret of {arn}".encode()).digest())[:40].decode(),
            caller=Caller(account_id, arn, f"AIDA{_stable_id(arn, 17)}"),
        )
        self._keys[key.access_key_id] = key
        return key

    def open_session(self, role: Role, account_id: str, session_name: str, expires_at: float) -> AccessKey:
        role_arn = role.arn(account_id)
        caller = Caller(
            account_id=account_id,
            arn=f"arn:aws:sts::{account_id}:assumed-role/{role.name}/{session_name}",
            user_id=f"AROA{_stable_id(role_arn, 17)}:{session_name}",
            role_arn=role_arn,
        )
        key = AccessKey(
            access_key_id=f"ASIA{base64.b32encode(secrets.token_bytes(10)).decode()}",
            secret=base64.b64encode(secrets.token_bytes(30)).decode(),
            caller=caller,
            token=f"IQoJb3JpZ2luX2Vj{base64.b64encode(secrets.token_bytes(264)).decode()}",
            expires_at=expires_at,
        )
        self._sessions[key.access_key_id] = key
        if len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return key


def _stable_id(text: str, length: int) -> str:
    return base64.b32encode(sha256(text.encode()).digest())[:length].decode()
