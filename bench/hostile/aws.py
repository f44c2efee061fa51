"""A hostile AWS Transfer, as a separate process: its response depends on the requested key.

Prints its URL. It verifies no signatures: sessions still come from the emulated STS. `hostile_key` has the hostile
keys; every other execution is a sample, and every list that does not loop is empty.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TypeAlias

from aiohttp import web

from transfer_emulator.sample_workflows import sample_execution

HUGE, CHUNKED, STEPS, DENSE, DEEP = (f"{digit * 8}-0000-4000-8000-" for digit in "23456")
LOOPING_WORKFLOWS, LOOPING_EXECUTIONS = (
    "us-east-1",
    "us-west-2",
)  # regions where the same NextToken comes for ever
WORKFLOW = "w-0123456789abcdef0"
Key: TypeAlias = dict[str, str]

_JSON = {
    "Content-Type": "application/x-amz-json-1.1",
    "x-amzn-RequestId": "00000000-0000-4000-8000-000000000000",
}
_PIECE, _PIECES = b"a" * 2**20, 200
_TOKEN = "dGhlIHNhbWUgYWdhaW4"  # noqa: S105  a NextToken
_PAGE = 100
_ACCOUNT = "000000000001"  # the one whose workflows are listed


def hostile_key(account_id: str, kind: str, number: int) -> Key:
    return {
        "accountId": account_id,
        "region": "eu-west-1",
        "workflowId": WORKFLOW,
        "executionId": f"{kind}{number:012}",
    }


def _execution(execution_id: str, results: str) -> bytes:
    head = json.dumps({"ExecutionId": execution_id, "Status": "IN_PROGRESS"}).removesuffix("}")
    return f'{{"WorkflowId": "{WORKFLOW}", "Execution": {head}, {results}}}}}'.encode()


def _steps(execution_id: str, step: str, how_many: int) -> bytes:
    return _execution(execution_id, f'"Results": {{"Steps": [{",".join([step] * how_many)}]}}')


def _body(asked: dict[str, str], operation: str, region: str) -> bytes:
    execution_id = asked.get("ExecutionId", "")
    if operation == "ListWorkflows":
        loops = region == LOOPING_WORKFLOWS
        ids = [f"w-{number:017x}" for number in range(_PAGE)] if loops else [WORKFLOW]
        arn = f"arn:aws:transfer:{region}:{_ACCOUNT}:workflow"
        page = {"Workflows": [{"WorkflowId": one, "Arn": f"{arn}/{one}"} for one in ids]}
        return json.dumps(page | ({"NextToken": _TOKEN} if loops else {})).encode()
    if operation == "ListExecutions":
        loops = region == LOOPING_EXECUTIONS
        ids = [f"00000000-0000-4000-8000-{number:012}" for number in range(_PAGE if loops else 0)]
        items = [{"ExecutionId": one, "Status": "IN_PROGRESS"} for one in ids]
        listed = {"WorkflowId": asked["WorkflowId"], "Executions": items}
        return json.dumps(listed | ({"NextToken": _TOKEN} if loops else {})).encode()
    if execution_id.startswith(STEPS):  # 300,000, of 21 MB
        return _steps(
            execution_id, '{"StepType": "COPY", "Outputs": "{\\"a\\": \\"the same again\\"}"}', 300_000
        )
    if execution_id.startswith(DENSE):  # as many as 3.9 MB hold
        return _steps(execution_id, '{"StepType":"TAG"}', 200_000)
    if execution_id.startswith(DEEP):
        return _execution(execution_id, f'"PosixProfile": {"[" * 1_000_000}{"]" * 1_000_000}')
    execution = sample_execution(_ACCOUNT, region, execution_id)
    return json.dumps({"WorkflowId": asked.get("WorkflowId"), "Execution": execution}).encode()


async def _huge(request: web.BaseRequest, execution_id: str) -> web.StreamResponse:
    """200 MB, with or without Content-Length."""
    head, _, tail = _execution(execution_id, '"ExecutionRole": "|"').partition(b"|")
    response = web.StreamResponse(headers=_JSON)
    if execution_id.startswith(HUGE):
        response.content_length = len(head) + len(tail) + _PIECES * len(_PIECE)
    else:
        response.enable_chunked_encoding()
    await response.prepare(request)
    for piece in (head, *[_PIECE] * _PIECES, tail):
        await response.write(piece)
    return response


async def _answer(request: web.BaseRequest) -> web.StreamResponse:
    asked: dict[str, str] = json.loads(await request.read() or b"{}")
    operation = request.headers["X-Amz-Target"].rpartition(".")[2]
    region = request.headers["Authorization"].split("/")[2]
    execution_id = asked.get("ExecutionId", "")
    if execution_id.startswith((HUGE, CHUNKED)):
        return await _huge(request, execution_id)
    return web.Response(body=_body(asked, operation, region), headers=_JSON)


async def _serve() -> None:
    runner = web.ServerRunner(web.Server(_answer, access_log=None, handler_cancellation=True))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    asyncio.run(_serve())
