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

_MAX_BYTES = 16 * 2**20


class Rendered:
    """The bytes of answers to GetExecution, least recently used out first."""

    def __init__(self) -> None:
        # By identity: a snapshot is the same object to all that it serves, and comparing it costs more than that.
        # The entry holds its execution, so that no other can have its id meanwhile.
        self._answers: LRUCache[int, tuple[Execution, Account | None, bytes]] = LRUCache(
            _MAX_BYTES, getsizeof=lambda entry: len(entry[2])
        )

    def answer(self, execution: Execution, account: Account | None) -> bytes:
        with suppress(KeyError):  # cachetools' `get` looks twice
            _, made_with, kept = self._answers[id(execution)]
            if made_with is account:
                return kept
        answer = pb.GetExecutionResponse(execution=to_execution(execution, account, {})).SerializeToString()
        if len(answer) <= _MAX_BYTES:
            self._answers[id(execution)] = (execution, account, answer)
        return answer
