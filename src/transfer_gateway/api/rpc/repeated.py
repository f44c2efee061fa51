"""Requests that come again: many clients poll the same executions, each with the same bytes every time.

To read a request, check its ids and make an execution's message takes longer than all else that a lookup does which is
served from a snapshot (bench/grpc_overhead.py). What each lookup says is still asked of the reader each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from transfer_api.v1 import execution_service_pb2 as pb
from transfer_gateway.api.rpc import parse
from transfer_gateway.api.rpc.convert import to_execution
from transfer_gateway.core.reader import DEFAULT_MAX_AGE_S
from transfer_gateway.core.sized_lru import SizedLru

if TYPE_CHECKING:
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey

_MAX_BYTES = 16 * 2**20
_EXECUTION_BYTES = 4096  # of the execution that an answer was made of, which is kept with it
_LOOKUP_BYTES = 1024
_LONGEST_REQUEST_BYTES = 512  # more than any that has no fields but ours


class Asked(NamedTuple):
    key: ExecutionKey
    max_age_s: float
    with_definitions: bool


class Lookup:
    """A request of GetExecution. Its message is read at once, and what it asks for is checked when that is wanted."""

    __slots__ = ("_asked", "_request", "answer", "made_of", "made_with", "message")

    def __init__(self, message: bytes) -> None:
        """Raises: DecodeError."""
        self.message = message
        self._request = pb.GetExecutionRequest.FromString(message)
        self.made_of: Execution | None = None
        self.made_with: Account | None = None
        self.answer = b""
        self._asked: Asked | None = None

    def asked(self) -> Asked:
        """Raises: BadUserInput."""
        if self._asked is None:
            parse.require(self._request, "key")
            self._asked = Asked(
                parse.execution_key(self._request.key, "key"),
                parse.max_age_s(self._request, DEFAULT_MAX_AGE_S),
                self._request.with_definitions,
            )
            del self._request
        return self._asked


class Lookups:
    """Those that were answered, each with its last answer; least recently asked out first."""

    def __init__(self) -> None:
        self._answered: SizedLru[bytes, Lookup] = SizedLru(
            _MAX_BYTES,
            lambda lookup: len(lookup.message) + len(lookup.answer) + _EXECUTION_BYTES + _LOOKUP_BYTES,
        )

    def read(self, message: bytes) -> Lookup:
        """Raises: DecodeError."""
        return self._answered.get(message) or Lookup(message)

    def answer(self, lookup: Lookup, execution: Execution, account: Account | None) -> bytes:
        """The execution's message, in bytes; without definitions."""
        # A snapshot is the same object to all that it serves: comparing its contents would cost more than that.
        if lookup.made_of is execution and lookup.made_with is account:
            return lookup.answer
        lookup.answer = pb.GetExecutionResponse(
            execution=to_execution(execution, account, {})
        ).SerializeToString()
        lookup.made_of, lookup.made_with = execution, account
        if len(lookup.message) <= _LONGEST_REQUEST_BYTES:
            self._answered.put(lookup.message, lookup)
        return lookup.answer
