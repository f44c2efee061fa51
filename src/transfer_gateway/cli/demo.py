"""`transfer-gateway demo`. The only module that imports the emulator."""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.request import getproxies_environment

from transfer_gateway.cli.output import announce, tell
from transfer_gateway.cli.own_command import own_command
from transfer_gateway.cli.program import load_settings, queued_log, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from transfer_emulator import World
    from transfer_emulator.world import Running
    from transfer_gateway.server import Service

_PAST_S = 3600.0  # the emulated logs begin so long before the start
_FULLY_LOGGED = (
    "222222222222",
    "333333333333",
)  # of the three accounts; the other shows what a gap looks like


def demo(http_port: int | None, grpc_port: int | None) -> None:
    """Run the service with an emulated AWS, whose executions start, progress, fail and end."""
    if find_spec("transfer_emulator") is None:
        tell("error: the emulator is not installed: only the demo image contains it")
        sys.exit(2)
    from transfer_gateway import server  # noqa: PLC0415  as in `serve`

    run(lambda: _demo(http_port, grpc_port, server.serve), stays=True)


async def _demo(
    http_port: int | None, grpc_port: int | None, serve_until_signal: Callable[..., Awaitable[None]]
) -> None:
    """The same service as `serve`; only AWS's environment variables and the accounts file point it at the emulator."""
    from transfer_emulator import Emulator, LogQuirks, ScenarioSettings, demo_world  # noqa: PLC0415  not for `serve`
    from transfer_emulator.control import accounts_yaml  # noqa: PLC0415

    world = demo_world(
        seed=random.randrange(2**32),  # noqa: S311  sample data
        accounts=3,
        regions=("eu-west-1", "us-east-1"),
        settings=ScenarioSettings(
            history_from=time.time() - _PAST_S,
            all_logged_in=frozenset(_FULLY_LOGGED),
            quirks=LogQuirks(damaged_share=0.0),  # each log that has some is worth a warning
        ),
    )
    with tempfile.NamedTemporaryFile("w", suffix="-accounts.yaml") as accounts_file:
        accounts_file.write(accounts_yaml(world))
        accounts_file.flush()
        async with Emulator(world, port=0) as emulator:
            _point_aws_at(emulator.environment())
            settings = load_settings(
                auth="none",
                audit_log=False,
                accounts_file=accounts_file.name,
                http_port=http_port,
                grpc=True,
                grpc_port=grpc_port,
                shutdown_delay_s=0.0,  # no load balancer to wait for
            )
            with queued_log(settings):
                await serve_until_signal(
                    settings,
                    live_examples=True,
                    on_ready=lambda service: _print_demo(service, emulator.url, world),
                )


def _point_aws_at(environment: dict[str, str]) -> None:
    """Remove this machine's AWS configuration and proxy, so that the demo never reaches a real account."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(environment)
    no_proxy = ",".join(filter(None, (getproxies_environment().get("no"), "127.0.0.1,localhost,::1")))
    os.environ.update(
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
        NO_PROXY=no_proxy,
        no_proxy=no_proxy,
    )


_CHANGES = "executionsChanged { cursor execution { id status } events { occurredAt kind stepName } }"
_DEMO_QUERY = """
query Demo($key: ExecutionKey!) {
  executionOrError(key: $key) {
    __typename
    ... on Execution {
      id account { alias } status ending startedAt endedAt durationS recordedBy
      initialFileLocation { s3FileLocation { bucket key versionId etag } efsFileLocation { fileSystemId path } }
      serviceMetadata { userDetails { userName serverId sessionId } }
      executionRole loggingConfiguration { loggingRole logGroupName } posixProfile { uid gid secondaryGids }
      results { steps { ...step } onExceptionSteps { ...step } }
      observedAt
    }
    ... on ExecutionNotFound { reason remedy }
    ... on Error { code message retryable awsRequestId }
  }
}
fragment step on ExecutionStepResult { name stepType startedAt endedAt outputs error { type message } }
"""


def _print_demo(service: Service, aws_url: str, world: World) -> None:
    """Print the addresses, and a query for an execution that is logged, has step results and will run for a while."""
    url, now = service.url, time.time()

    def worth(row: Running) -> tuple[bool, bool, float]:
        account_id, region, workflow_id, execution_id, _, seconds_left = row
        workflow = world.target(account_id, region).workflows[workflow_id]
        upload = workflow.scripted.running(now).get(execution_id) if workflow.scripted else None
        is_logged = upload is not None and bool(upload.told(now)["log_groups"])
        wire = workflow.execution(execution_id, now) or {}
        has_steps = bool(wire.get("Results", {}).get("Steps"))
        return is_logged, has_steps and seconds_left > 30, seconds_left  # noqa: PLR2004  enough to paste the query

    in_progress = [row for row in world.running(now) if row[4] == "IN_PROGRESS"]
    account_id, region, workflow_id, execution_id, _, seconds_left = max(in_progress, key=worth)
    key = {"accountId": account_id, "region": region, "workflowId": workflow_id, "executionId": execution_id}
    body = json.dumps({"query": " ".join(_DEMO_QUERY.split()), "variables": {"key": key}})
    announce(
        f"""
transfer-gateway demo: {len(world.accounts())} accounts x {len(world.regions)} regions of an emulated AWS.

  Page     {url}/executions  (what became of a file: open it in a browser)
  GraphQL  {url}/graphql  (GraphiQL in a browser)
  gRPC     {service.grpc}  (transfer_api.v1.ExecutionService, with reflection)
  AWS      {aws_url}  (emulated; its executions: {aws_url}/_emulator/executions)

This query describes an execution that is in progress for another {seconds_left:.0f} s. Send it again after it has
ended: AWS has forgotten it then, and the gateway answers from its log.

curl -s {url}/graphql -H 'content-type: application/json' -d '{body}'

npx --yes --package=@bufbuild/buf buf curl --protocol grpc --http2-prior-knowledge \\
  http://{service.grpc}/transfer_api.v1.ExecutionService/GetExecution -d '{json.dumps({"key": key})}'

What became of a file, by any part of its name:

{own_command()} search claims --url {url}

What happens, as it happens:

curl -sN {url}/graphql -H 'accept: text/event-stream' -H 'content-type: application/json' \\
  -d '{json.dumps({"query": f"subscription {{ {_CHANGES} }}"})}'

Press Ctrl-C to stop.
"""
    )
