"""Answers that are made already: an execution's message takes longer to make than to send again.

Worth a third of a lookup that is served from a snapshot (bench/grpc_overhead.py).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from cachetools import LRUCache

from transfer_api.v1 import execution_service_pb2 as pb
from transfer_gateway.api.rpc.convert import to_execution

if TYPE_CHECKING:
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey

_MAX_BYTES = 16 * 2**20
_EXECUTION_BYTES = 4096  # of the execution that an answer was made of, which its entry keeps alive


class Rendered:
    """The bytes of answers to GetExecution: one for each execution, its last; least recently used out first."""

    def __init__(self) -> None:
        # A snapshot is the same object to all that it serves: comparing its contents would cost more than that.
        self._answers: LRUCache[ExecutionKey, tuple[Execution, Account | None, bytes]] = LRUCache(
            _MAX_BYTES, getsizeof=lambda entry: len(entry[2]) + _EXECUTION_BYTES
        )

    def answer(self, execution: Execution, account: Account | None) -> bytes:
        with suppress(KeyError):  # cachetools' `get` looks twice
            made_of, made_with, kept = self._answers[execution.key]
            if made_of is execution and made_with is account:
                return kept
        answer = pb.GetExecutionResponse(execution=to_execution(execution, account, {})).SerializeToString()
        if len(answer) + _EXECUTION_BYTES <= _MAX_BYTES:
            self._answers[execution.key] = (execution, account, answer)
        return answer
