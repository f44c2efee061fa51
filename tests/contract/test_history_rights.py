"""What the history tells callers, for any policy: nothing of what is denied, and nothing that is hidden."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings

from callers import doors_of
from doors import Failed, GraphQLDoor
from examples import examples
from issuer import LocalIssuer
from random_policies import EVERYONE, hidden_from, rules, secrets_of, upload_everywhere
from recorded import id_of, key_of, recorded_world, until_read
from transfer_gateway import server
from transfer_gateway.domain.scope import Hideable
from transfer_gateway.settings import parse_policy

if TYPE_CHECKING:
    from doors import Door
    from transfer_emulator import Upload, World

pytestmark = pytest.mark.early

UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def world() -> World:
    return recorded_world()


@pytest.fixture
def uploads(world: World) -> dict[tuple[str, str], list[Upload]]:
    return upload_everywhere(world)


JOINED = """
query($key: ExecutionKey!, $execution: ID!, $server: ID!, $event: ID!) {
  execution(key: $key) {
    status server { id arn loggingRole logGroup structuredLogDestinations onUpload { executionRole } }
    workflow { id structuredLogDestinations }
    events { edges { cursor node { id details fileLocation { s3FileLocation { key versionId } } } } }
  }
  of: node(id: $execution) { ... on Execution { initialFileLocation { s3FileLocation { key } } } }
  event: node(id: $event) { ... on ExecutionEvent { details fileLocation { s3FileLocation { key versionId } } } }
  on: node(id: $server) { ... on Server { loggingRole logGroup onUpload { executionRole } } }
}
"""


async def asked(ask: Any) -> Any:
    """An answer, or the error."""
    try:
        return await ask
    except Failed as failed:
        return failed.error


async def answers_about(door: Door, uploads: list[Upload], event_ids: dict[str, str]) -> dict[str, Any]:
    """Everything that a server tells of these, by what it was asked for."""
    keys = [key_of(upload) for upload in uploads]
    never = keys[0] | {"executionId": UNKNOWN_ID}
    where = {"accountIds": [keys[0]["accountId"]], "regions": [keys[0]["region"]]}
    workflow = {name: keys[0][name] for name in ("accountId", "region", "workflowId")}
    questions: dict[str, Any] = {
        "get": door.batch([*keys, never], 3600, definitions=False),
        "list": door.list_executions(filter=where, details=True),
        "workflows": door.list_workflows(filter=where, details=True),
        "workflow": door.get_workflow(workflow),
        "servers": door.list_servers(filter=where),
    }
    for number, upload in enumerate(uploads):
        questions[f"find {number}"] = door.find(upload.execution_id)
        questions[f"events {number}"] = door.events(key_of(upload))
    if isinstance(door, GraphQLDoor):
        for number, (key, upload) in enumerate(zip(keys, uploads, strict=True)):
            place = f"{key['accountId']}/{key['region']}"
            questions[f"joined {number}"] = door.gateway.ask(
                JOINED,
                key=key,
                execution=id_of(key),
                server=f"{place}/{upload.server_id}",
                event=event_ids.get(id_of(key), f"{id_of(key)}/1"),
            )
    async with asyncio.TaskGroup() as tasks:
        found = {name: tasks.create_task(asked(question)) for name, question in questions.items()}
    return {name: task.result() for name, task in found.items()}


@pytest.mark.thorough
@hypothesis_settings(
    max_examples=examples(7), phases=[Phase.generate]
)  # each takes seconds: no failure is shrunk
@given(rules=rules)
async def test_nothing_that_is_denied_or_hidden(
    remembering: server.Service,
    issuer: LocalIssuer,
    uploads: dict[tuple[str, str], list[Upload]],
    rules: list[dict[str, Any]],
) -> None:
    """No record, event, cursor, server, workflow or error, through either server."""
    remembering.admission.policy = parse_policy(json.dumps({"rules": EVERYONE}).encode(), name="policy.yaml")
    event_ids: dict[str, str] = {}
    async with doors_of(remembering, issuer, "operator", history=True) as (graphql, _):
        await until_read(graphql)  # until then the store may be busy

        async def read(upload: Upload) -> None:
            key = key_of(upload)
            await graphql.get(key, 3600)
            events = (await graphql.events(key))["events"] if upload.told(0)["log_groups"] else []
            if events:
                event_ids[id_of(key)] = events[0]["id"]

        async with asyncio.TaskGroup() as tasks:  # each waits for AWS's quota
            for upload in (upload for found in uploads.values() for upload in found):
                tasks.create_task(read(upload))
    assert event_ids
    remembering.admission.policy = parse_policy(json.dumps({"rules": rules}).encode(), name="policy.yaml")
    for caller in ("operator", "payments"):
        async with doors_of(remembering, issuer, caller, history=True) as doors:

            async def ask(door: Door, target: tuple[str, str], caller: str = caller) -> None:
                answers = await answers_about(door, uploads[target], event_ids)
                check(answers, uploads[target], hidden_from(caller, target, rules))

            async with asyncio.TaskGroup() as tasks:
                for target in uploads:
                    for door in doors:
                        tasks.create_task(ask(door, target))


def check(answers: dict[str, Any], uploads: list[Upload], hidden: frozenset[Hideable] | None) -> None:
    for what, answer in answers.items():
        told = json.dumps(answer, default=str)
        for upload in uploads:
            for field, secrets in secrets_of(upload).items():
                if hidden is None or field in hidden:
                    for secret in secrets:
                        assert secret not in told, (what, field, answer)
        names = {upload.server_id for upload in uploads}
        if hidden is None:
            assert not any(name in told.replace(f'{name}"', "") for name in names), (what, answer)
        elif Hideable.SERVICE_METADATA in hidden and what != "servers":
            shown = told if Hideable.LOGGING_CONFIGURATION in hidden else without_log_groups(answer)
            if not what.startswith("joined"):  # it asks for servers by their ids
                assert not any(name in shown for name in names), (what, answer)
    if hidden is not None:
        assert [item.get("status", item.get("reason")) for item in answers["get"][:2]] == [
            "EXCEPTION",
            "COMPLETED",
        ]


def without_log_groups(answer: Any) -> str:
    """AWS calls a log group after its server; who may see the one sees the other."""

    def strip(value: Any) -> Any:
        if isinstance(value, list):
            return [strip(inner) for inner in value]
        if not isinstance(value, dict):
            return value
        return {name: strip(inner) for name, inner in value.items() if name != "loggingConfiguration"}

    return json.dumps(strip(answer), default=str)
