"""The page of executions in Chromium, before an emulated AWS. Run by `.ci/run web`, which builds the page."""

from __future__ import annotations

import asyncio
import json
import re
import time
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from command import started
from issuer import AUDIENCE, LocalIssuer, SigningKey
from proxy import Proxy
from transfer_emulator import Emulator, LogQuirks, ScenarioSettings, World, demo_world
from transfer_emulator.control import accounts_yaml

if TYPE_CHECKING:
    from asyncio.subprocess import Process

pytestmark = pytest.mark.node

SCRIPT = Path(__file__).parents[2] / "web/tests/executions.mjs"
ACCOUNT, REGION = "111111111111", "eu-west-1"
LOGS = "/aws/vendedlogs/transfer/workflows"
PAST_S = 1800.0  # time enough for 1,000 executions
HIDES = """
rules:
  - callers: { subjects: ["*"] }
    accounts: { all: true }
    hide: [initialFileLocation, stepOutputs]
"""
SCRIPT_NAME = "<img src=x onerror=document.title='hit'>.csv"
RTL_NAME = "invoice-\u202efdp.exe"


@dataclass(frozen=True)
class Watched:
    """A gateway behind a proxy, and the AWS that it reads."""

    world: World
    proxy: Proxy
    gateway: tuple[str, int]

    def do(self, command: str) -> str:
        """What the browser's script wants to happen. Returns: the answer to it."""
        name, *arguments = command.split()
        match name:
            case "cut":
                self.proxy.server = None
                self.proxy.cut()
            case "back":
                self.proxy.server = self.gateway
            case "upload":
                return self._upload(float(arguments[0]), int(arguments[1]) if arguments[1:] else None)
        return ""

    def _upload(self, duration_s: float, failing_step: int | None) -> str:
        workflow_id = logged_workflow(self.world)
        upload = self.world.upload(
            ACCOUNT,
            REGION,
            workflow_id,
            time.time(),
            duration_s=duration_s,
            failing_step=failing_step,
            seed=uuid4(),
        )
        return f"{ACCOUNT}/{REGION}/{workflow_id}/{upload.execution_id}"


def logged_workflow(world: World) -> str:
    """The workflow of payments, which is logged twice."""
    tag = {"Key": "aws:transfer:customer", "Value": "payments"}
    workflows = world.target(ACCOUNT, REGION).workflows
    return next(key for key, workflow in workflows.items() if tag in workflow.definition["Tags"])


def hostile_names(world: World) -> None:
    """Log two executions that have ended, of files with names that are not to be taken for anything else."""
    workflow_id, group = logged_workflow(world), world.target(ACCOUNT, REGION).log_groups[LOGS]
    for name in (SCRIPT_NAME, RTL_NAME):
        ids = {
            "workflowId": workflow_id,
            "executionId": str(uuid4()),
            "transferDetails": {
                "serverId": "s-0123456789abcdef0",
                "username": "hostile",
                "sessionId": "5e55",
            },
        }
        file = {"initialFileLocation": {"bucket": "landing", "key": f"inbound/{name}"}}
        entries: list[tuple[str, dict[str, Any]]] = [
            ("ExecutionStarted", {"input": file}),
            ("ExecutionCompleted", {}),
        ]
        now_ms = round(time.time() * 1000) - 30_000
        for at, (kind, details) in enumerate(entries):
            entry = {"type": kind, "details": details, **ids}
            group.put(f"{workflow_id}/{ids['executionId']}", json.dumps(entry), now_ms + 1000 * at)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The browser's report: see the script. Its screenshots are in pytest's temporary directory."""
    return asyncio.run(visit(tmp_path_factory.mktemp("executions")))


async def visit(directory: Path) -> Any:
    settings = ScenarioSettings(history_from=time.time() - PAST_S, quirks=LogQuirks(damaged_share=0.0))
    world = demo_world(23, 3, ("eu-west-1", "us-east-1"), settings)
    hostile_names(world)
    issuer = LocalIssuer(time.time, SigningKey("one"))
    accounts, policy = directory / "accounts.yaml", directory / "policy.yaml"
    accounts.write_text(accounts_yaml(world))
    policy.write_text(HIDES)
    alone = directory / "account.yaml"
    alone.write_text(accounts_yaml(world).partition("222222222222")[0].rpartition("\n")[0] + "\n")
    (directory / "another.graphql").write_text("{ accounts { id } }")
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(Emulator(world))
        await stack.enter_async_context(issuer)
        environment = emulator.environment() | {
            "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts),
            "TRANSFER_GATEWAY_REQUEST_TIMEOUT_S": "5",  # a hanging account is told after it
            "TRANSFER_GATEWAY_HISTORY_BACKFILL_HOURS": "1",
        }
        guarded = {
            "TRANSFER_GATEWAY_OIDC_ISSUERS": issuer.url,
            "TRANSFER_GATEWAY_OIDC_AUDIENCES": AUDIENCE,
            "TRANSFER_GATEWAY_POLICY_FILE": str(policy),
            "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(alone),  # else both would read all of AWS's logs
            "TRANSFER_GATEWAY_GRAPHQL_TRUSTED_DOCUMENTS": "only",
            "TRANSFER_GATEWAY_GRAPHQL_TRUSTED_DOCUMENTS_PATH": str(directory),
        }
        opened = await stack.enter_async_context(
            started("serve", "--http-port", "0", **environment, TRANSFER_GATEWAY_AUTH="none")
        )
        hiding = await stack.enter_async_context(
            started("serve", "--http-port", "0", **environment | guarded)
        )
        proxy = await stack.enter_async_context(Proxy())
        place = urlsplit(opened.url)
        proxy.server = gateway = (place.hostname or "", place.port or 0)
        given = {
            "url": f"http://{proxy.address}/executions",
            "hiding": f"{hiding.url}/executions",
            "aws": emulator.url,
            "token": issuer.token(),
            "directory": str(directory),
        }
        process = await asyncio.create_subprocess_exec(
            "node", SCRIPT, json.dumps(given), stdin=PIPE, stdout=PIPE
        )
        try:
            async with asyncio.timeout(280):
                return await report(process, Watched(world, proxy, gateway))
        finally:
            if process.returncode is None:
                process.kill()  # its browser ends with it


async def report(process: Process, watched: Watched) -> Any:
    """Do what the script wants, until it reports."""
    assert process.stdin is not None
    assert process.stdout is not None
    out = b""
    async for line in process.stdout:
        out = line
        if line.startswith(b"{"):
            continue
        process.stdin.write(watched.do(line.decode()).encode() + b"\n")
        await process.stdin.drain()
    assert await process.wait() == 0, out.decode()
    return json.loads(out)


def test_nothing_goes_wrong(seen: dict[str, Any]) -> None:
    """All parts came to their end, no request left the origin, and the console has no error or policy violation."""
    assert seen["failed"] == {}
    assert seen["wrong"] == {"outside": [], "errors": []}


def test_opens_fast(seen: dict[str, Any]) -> None:
    """The first rows are there within a second, after at most five requests and 100 KB of scripts."""
    opening = seen["opening"]
    assert opening["firstRowsMs"] < 1000
    assert len(opening["requests"]) <= 5, opening["requests"]
    assert 0 < opening["javascriptBytes"] <= 100_000
    assert 0 < opening["cssBytes"] <= 5_000
    assert opening["headers"][:2] == ["Status", "File"]


def test_a_thousand_rows(seen: dict[str, Any]) -> None:
    """They stay live without a task of the browser over 100 ms, and new ones wait while somebody reads."""
    many = seen["many"]
    assert many["rows"] == 1000
    assert many["longestTaskMs"] < 100
    assert many["end"].startswith("1,000 rows are shown")
    assert re.fullmatch(r"↑ \d+ new", many["held"]["text"])
    assert (many["held"]["scrolled"], many["held"]["after"]) == (2000, 0)


def test_watchers_cost_aws_nothing(seen: dict[str, Any]) -> None:
    """Ten pages cause as many AWS calls as one, and a page that nobody sees asks nothing."""
    assert seen["tenTabs"]["one"] > 0
    assert seen["tenTabs"]["ten"] <= 1.25 * seen["tenTabs"]["one"]
    assert seen["hidden"]["whileHidden"] == 0
    assert seen["hidden"]["after"] > 0


def test_coming_back(seen: dict[str, Any]) -> None:
    """After seconds the changes go on where they were; after more than a minute the list is asked for anew."""
    assert seen["hidden"]["lists"]["afterSeconds"] == 0
    assert seen["hidden"]["lists"]["afterMinutes"] > 0


def test_many_windows_of_one_browser(seen: dict[str, Any]) -> None:
    """Three follow, the others ask every five seconds, until one of the three is closed."""
    assert seen["windows"] == {"polled": 2, "of": 5}


def test_the_longest_first(seen: dict[str, Any]) -> None:
    """What has been running for long is on top."""
    assert seen["longest"] == {
        "address": "?status=IN_PROGRESS&order=longest",
        "isSorted": True,
        "isKept": "true",
    }


def test_results_that_are_unknown(seen: dict[str, Any]) -> None:
    """They can be listed alone."""
    assert seen["unknown"] == {"address": "?status=unknown", "after": "?status=EXCEPTION"}


def test_search_and_filters(seen: dict[str, Any]) -> None:
    """They are in the box, in chips and in the address, so that they survive reload, back, forward and a new tab."""
    found = seen["list"]
    assert found["searched"]["text"] == "payments-"
    assert found["searched"]["address"] == "?q=payments-"
    assert found["filtered"]["address"] == "?q=payments-&status=EXCEPTION"
    assert all(step.startswith("at ") for step in found["filtered"]["failedSteps"])
    assert found["reloaded"]["text"] == found["newTab"] == "payments-"
    assert found["reloaded"]["pressed"].startswith("Failed")
    assert (found["back"], found["forward"]) == ("?q=payments-", True)
    assert found["noMatch"] == "Nothing matches"


def test_pasted_ids(seen: dict[str, Any]) -> None:
    """An execution's id opens it; a workflow's and an account's become filters, which can be removed."""
    assert seen["list"]["foundByUuid"]
    pasted = seen["list"]["pasted"]
    assert ([chip.split()[0] for chip in pasted["chips"]], pasted["text"]) == (
        ["workflow", "account"],
        "payments-",
    )
    assert seen["list"]["removed"] == "?q=payments-&status=EXCEPTION"


def test_aliases_of_accounts(seen: dict[str, Any]) -> None:
    """In an address one means its account; in the box it is offered, as files may have it in their names, too."""
    found, claims = seen["list"], "account=222222222222"
    assert found["alias"]["chips"] == ["account claims", "error Timeout"]
    assert found["alias"]["address"] == f"?{claims}&error=TIMEOUT&status=EXCEPTION"
    assert found["aliasSearched"] == {"text": "", "address": f"?{claims}"}


def test_keyboard(seen: dict[str, Any]) -> None:
    """`/` searches, arrows go from row to row, Enter opens and Esc closes; the focus goes along."""
    assert seen["list"]["focused"] == 1
    assert seen["list"]["opened"] == {"isInAddress": True, "focus": "detail-title"}
    assert seen["list"]["closed"]


def test_csv_and_what_is_kept(seen: dict[str, Any]) -> None:
    """The list can be saved; the browser keeps the choice of UTC or local time, and nothing else."""
    name, (header, first) = seen["list"]["csv"]["name"], seen["list"]["csv"]["lines"]
    assert re.fullmatch(r"executions-[-\dT]+Z\.csv", name)
    assert header.startswith("\ufeffstatus,failed step,error type,")
    assert first.startswith("Failed,")
    assert seen["list"]["stored"] == {"local": "true", "all": [["transfer-gateway:zone", "local"]]}


def test_hostile_names_are_text(seen: dict[str, Any]) -> None:
    """Neither markup in a file's name nor controls that turn it around are taken for what they are not."""
    hostile = seen["list"]["hostile"]
    assert set(hostile["files"]) == {SCRIPT_NAME, "invoice-[U+202E]fdp.exe"}
    assert hostile["detail"] in hostile["files"]
    assert (hostile["title"], hostile["images"]) == ("Executions · transfer-gateway", 0)


def test_changes_in_place(seen: dict[str, Any]) -> None:
    """A row changes where it is; while the list is paused nothing moves."""
    assert seen["changes"] == {"words": ["Running", "Completed"], "isTheSame": True, "isStill": True}


def test_an_execution_ends_while_it_is_open(seen: dict[str, Any]) -> None:
    """Its last state stays: why it failed first, and that the file did get through."""
    ending = seen["ending"]
    assert (ending["status"], ending["ended"], ending["last"]) == ("Running", "Failed", "Failed")
    assert "Not yet" in ending["steps"]
    for words in (
        "tag-as-processed failed",
        "TAG · ",
        "The file did get through, although a later step failed.",
        "Step archive wrote it to s3://",
        "Only tidying up failed.",
        "What to check",
    ):
        assert words in ending["failure"]
    assert ending["after"] == ["quarantine", "tag-as-failed"]
    assert all(text.startswith(("usually", "slow")) for text in ending["usually"])
    assert any("ExecutionErrored" in event for event in ending["events"])
    assert "Copy the execution’s id" in ending["copies"]
    assert all(
        link.startswith("https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:")
        for link in ending["links"]
    )
    assert len(ending["links"]) == 2
    assert ending["unknown"].startswith(("There never was one", "Unknown: "))


def test_windows_of_all_sizes(seen: dict[str, Any]) -> None:
    """Nothing is wider than the window, at 320 px, 200 % zoom and 4K; in a narrow one the detail is alone.

    What a finger is to meet is 44 px high.
    """
    assert seen["narrow"].pop("tooSmall") == []
    assert seen["narrow"].pop("sameError") == "?error=…&status=EXCEPTION"
    assert seen["narrow"].pop("isAlone")
    assert {name: width for name, width in seen["narrow"].items() if width > 0} == {}


def test_accounts_that_refuse_or_hang(seen: dict[str, Any]) -> None:
    """Others' rows come within a second, the banner names both and what to do, and is gone once they recover."""
    gaps = seen["gaps"]
    assert gaps["healthyMs"] < 1000
    assert re.search(r"claims \(.*?\) can’t be read: access denied", gaps["text"])
    assert re.search(r"logistics \(.*?\) can’t be read: AWS", gaps["text"])
    assert any(line.startswith("claims") and "permissions" in line for line in gaps["remedies"])
    assert len(gaps["targets"]) == 6
    assert any("claims" in target and "Can’t be read" in target for target in gaps["targets"])
    assert "can’t be" not in seen["recovered"]


def test_gateway_away_and_back(seen: dict[str, Any]) -> None:
    """Rows stay, marked old; what can't be asked is told from what doesn't match; all goes on by itself."""
    assert seen["away"]["old"].startswith("Old: The gateway can't be reached.")
    assert seen["away"]["rows"] > 0
    assert seen["away"]["notAsked"].startswith("This could not be asked")
    assert seen["away"]["back"].startswith("Live")


def test_sign_in_and_a_policy(seen: dict[str, Any]) -> None:
    """A token lets in, under the same address; hidden is told from unknown; only the page's documents are sent."""
    guarded = seen["guarded"]
    assert "Sign in again" in guarded["signIn"]
    assert guarded["address"] == "?status=COMPLETED"
    assert re.match(r"alice\s+until \d", guarded["who"])
    assert guarded["files"] == ["hidden from you"]
    assert "File hidden from you" in guarded["detail"]
    assert "Role\nnot recorded" in guarded["detail"]
    assert "Its output is hidden from you." in guarded["detail"]
    assert "text finds nothing: initialFileLocation is hidden from you" in guarded["filter"]
    assert guarded["stored"] == '[{},{},""]'


def test_accessible(seen: dict[str, Any]) -> None:
    """axe finds nothing in more than ten states, light and dark, wide and narrow."""
    states = seen["accessibility"]
    assert len({re.sub(r" \d+ \w+$", "", state) for state in states}) >= 10
    assert {state: found for state, found in states.items() if found} == {}
