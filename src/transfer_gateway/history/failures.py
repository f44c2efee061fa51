"""What can go wrong with the database: found out from the libraries' exceptions, told without URL and password."""

from __future__ import annotations

import re
import sqlite3
import ssl
from dataclasses import dataclass, replace
from enum import Enum, auto

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from transfer_gateway.domain.errors import GatewayError, StoreUnavailable
from transfer_gateway.history.schema import SchemaProblem

_ERRNO = re.compile(r"\[Errno -?\d+\] ")
RETRY_S = 1.0  # how long the store is left alone when it is down

_TRANSIENT = {"40001", "40P01"}  # serialization failure, deadlock
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BY_SQLITE = {
    sqlite3.SQLITE_FULL: "is full",
    sqlite3.SQLITE_READONLY: "is read-only",
    sqlite3.SQLITE_BUSY: "is locked by another process",
    sqlite3.SQLITE_LOCKED: "is locked by another process",
    sqlite3.SQLITE_IOERR: "can't be read or written",
    sqlite3.SQLITE_CANTOPEN: "can't be opened",
    sqlite3.SQLITE_PERM: "can't be opened",
}
_BY_SQLSTATE = {
    "25006": "is read-only",
    "42501": "has not granted the gateway's user its tables",
    "53100": "is full",
    "53200": "is out of memory",
    "57014": "did not finish in time",
    "55P03": "is locked by others",
}


# By OpenSSL's codes of X509_V_ERR.
_BY_VERIFICATION = {
    9: "has a certificate that is not valid yet",
    10: "has a certificate that has expired",
    **dict.fromkeys((18, 19, 20, 21), "has a certificate that no authority of sslrootcert has issued"),
    **dict.fromkeys((62, 64), "has a certificate of another host, which sslmode=verify-full refuses"),
}


class NotConnected(Exception):
    """No connection could be made. The message is what an operator is told after *the history store*."""


class Replaced(Exception):
    """The database has been replaced meanwhile, by this process or another. The message says how, for the log."""


class Kind(Enum):
    DOWN = auto()  # nothing works
    FAILED = auto()  # this operation did not
    TRANSIENT = auto()  # it works if it is done again
    DAMAGED = auto()  # the file has to be replaced


@dataclass(frozen=True, slots=True)
class Failure:
    """`reason` continues *the history store*; `detail` is for the log."""

    kind: Kind
    reason: str
    detail: str

    def error(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"The history store {self.reason}.", retry_after_s=RETRY_S, detail=self.detail
        )


REPLACED = Failure(Kind.DAMAGED, "was damaged or moved and has been started anew", "replaced")


FAILURES = (DBAPIError, NoConnectionFree, TimeoutError, NotConnected, SchemaProblem, OSError, Replaced)


def failure_of(error: Exception, timeout_s: float) -> Failure:
    """`error`: one of FAILURES. Everything else is a bug."""
    match error:
        case DBAPIError():
            return _of_database(error)
        case Replaced():
            return replace(REPLACED, detail=str(error) or REPLACED.detail)
        case NoConnectionFree():
            return Failure(Kind.FAILED, "has no free connection", "pool")
        case TimeoutError():
            reason, detail = f"did not answer within {timeout_s:g} s", "timeout"
        case NotConnected():
            reason, detail = str(error), _told(error.__cause__ or error)
        case SchemaProblem():
            reason, detail = str(error), str(error)
        case _:
            reason, detail = "can't be reached", _told(error)
    return Failure(Kind.DOWN, reason, detail)


def why_not_connected(error: Exception) -> str:
    """The rule that a connection broke, to continue *the history store*."""
    match error:
        case ssl.SSLCertVerificationError():
            return _BY_VERIFICATION.get(error.verify_code, "has a certificate that is refused")
        case ConnectionError() if "rejected SSL upgrade" in str(error):  # asyncpg has no type for it
            return "does not accept TLS, which sslmode requires"
        case GatewayError():
            return "needs a token of AWS IAM, and the gateway has no AWS credentials"
    return "can't be reached"


def _told(error: BaseException) -> str:
    """Without Python's notation."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, GatewayError) and error.detail:
        return error.detail
    return _ERRNO.sub("", str(error)) or type(error).__name__


def _of_database(error: DBAPIError) -> Failure:
    detail = f"{type(error.orig).__name__}: {error.orig}"
    if isinstance(error.orig, sqlite3.Error):
        # Errors of the module itself, such as a closed connection, have no code.
        code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code & 0xFF in _DAMAGED:
            return Failure(Kind.DAMAGED, "is damaged", detail)
        if error.connection_invalidated:
            return Failure(Kind.TRANSIENT, "closed the connection", detail)
        return Failure(Kind.FAILED, _BY_SQLITE.get(code & 0xFF, "failed"), detail)
    sqlstate = getattr(error.orig, "sqlstate", None)
    if error.connection_invalidated or sqlstate in _TRANSIENT:
        return Failure(Kind.TRANSIENT, "closed the connection", detail)
    return Failure(Kind.FAILED, _BY_SQLSTATE.get(sqlstate or "", "failed"), f"{sqlstate} {detail}")
