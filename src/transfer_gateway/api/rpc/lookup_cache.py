"""Caches parsed lookup requests and their serialized responses: many clients poll with identical request bytes.

Parsing a request, validating its ids and building the response takes longer than the rest of a lookup that is served
from a snapshot (bench/grpc_overhead.py). Access and freshness are still checked by the reader each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from transfer_api.v1 import execution_service_pb2 as pb
from transfer_gateway.api.rpc import parse
from transfer_gateway.api.rpc.convert import to_execution
from transfer_gateway.core.find_use_cases import DEFAULT_MAX_AGE_S
from transfer_gateway.core.sized_lru import SizedLru

if TYPE_CHECKING:
    from transfer_gateway.domain.execution import Execution, Version
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.domain.scope import Scope

_MAX_BYTES = 16 * 2**20
_LOOKUP_BYTES = 1024
_LONGEST_REQUEST_BYTES = 512  # longer than any without unknown fields


class LookupParameters(NamedTuple):
    key: ExecutionKey
    max_age_s: float
    with_definitions: bool
    with_history: bool
    in_progress_only: bool


class Lookup:
    """A GetExecution request. Its message is parsed at once; its parameters are validated on first use."""

    __slots__ = ("_parameters", "_request", "message", "response", "response_of")

    def __init__(self, message: bytes) -> None:
        """Raises: DecodeError."""
        self.message = message
        self._request = pb.GetExecutionRequest.FromString(message)
        # The versions of the execution and of the caller's scope.
        self.response_of: tuple[Version, bytes] | None = None
        self.response = b""
        self._parameters: LookupParameters | None = None

    def parameters(self) -> LookupParameters:
        """Raises: BadUserInput."""
        if self._parameters is None:
            parse.require(self._request, "key")
            self._parameters = LookupParameters(
                parse.execution_key(self._request.key, "key"),
                parse.max_age_s(self._request, DEFAULT_MAX_AGE_S),
                self._request.with_definitions,
                self._request.with_history,
                self._request.in_progress_only,
            )
            del self._request
        return self._parameters


class LookupCache:
    """Answered lookups with their latest response. Evicts the least recently used."""

    def __init__(self) -> None:
        self._answered: SizedLru[bytes, Lookup] = SizedLru(
            _MAX_BYTES,
            lambda lookup: len(lookup.message) + len(lookup.response) + _LOOKUP_BYTES,
        )

    def read(self, message: bytes) -> Lookup:
        """Raises: DecodeError."""
        return self._answered.get(message) or Lookup(message)

    def respond(self, lookup: Lookup, execution: Execution, scope: Scope) -> bytes:
        """The serialized response for callers with that scope, without definitions."""
        response_of = execution.version, scope.version
        if lookup.response_of == response_of:
            return lookup.response
        lookup.response = pb.GetExecutionResponse(
            execution=to_execution(execution, scope.account_of(execution), {})
        ).SerializeToString()
        lookup.response_of = response_of
        if len(lookup.message) <= _LONGEST_REQUEST_BYTES:
            self._answered.put(lookup.message, lookup)
        return lookup.response
