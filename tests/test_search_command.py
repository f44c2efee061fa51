"""`transfer-gateway search`, against a running gateway."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from command import run, run_on_terminal, run_unread
from doors import GraphQLDoor
from recorded import REMEMBERS, id_of, key_of, recorded_world, until_read, uploaded
from transfer_gateway import server
from wire import GUARDED, PLAIN, becomes, calling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings

_GAPS = r"\d of \d accounts and regions may lack executions \(\d [a-z ]+(, \d [a-z ]+)*\)"
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def world() -> World:
    return recorded_world()


@asynccontextmanager
async def reading(settings: Callable[..., Settings]) -> AsyncIterator[str]:
    """The URL of a service that has read all logs."""
    async with server.running(settings(**REMEMBERS)) as service, calling(service.url) as gateway:
        await until_read(GraphQLDoor(gateway))
        yield service.url


async def found(url: str, *options: str) -> list[str]:
    code, out, told = await run("search", *options, "--url", url)
    # On a busy machine a search may take longer than it may.
    return [json.loads(line)["id"] for line in out.splitlines()] if code == 0 else [told]


async def test_what_it_finds(world: World, aws: Emulator, settings: Callable[..., Settings]) -> None:
    """JSON lines in a pipe; what may be missing is told on stderr, in one line unless asked for."""
    failed = uploaded(world, "payments", failing_step=1, duration_s=60)
    other = uploaded(world, "claims", ago_s=1200, duration_s=30)
    async with reading(settings) as url:
        await becomes(lambda: found(url), [id_of(key_of(failed)), id_of(key_of(other))])
        assert await found(url, "--status", "exception", "--since", "1h") == [id_of(key_of(failed))]
        for options in (
            ["--min-duration", "50"],
            ["--max-duration", "50s"],
            ["--ended-since", "1h", "--ended-until", "10m"],
        ):
            assert len(await found(url, *options)) == 1, options
        name = failed.file.path.rpartition("/")[2]
        code, out, told = await run("search", name.upper(), "--url", f"{url}/graphql/")
        assert (code, json.loads(out)["id"]) == (0, id_of(key_of(failed)))
        assert json.loads(out)["failedStep"]["error"]["type"]
        assert re.fullmatch(rf"note: {_GAPS}; --coverage lists them\n", told)

        _, out, told = await run("search", "--limit", "1", "--coverage", "--account", PLAIN, "--url", url)
        assert out.count("\n") == 1
        lines = told.splitlines()
        assert lines[0] == "note: showing the first 1; more match: raise --limit, or narrow the search"
        assert re.fullmatch(f"note: {_GAPS}", lines[1])
        assert [line.partition(" (")[0] for line in lines[2:]] == [PLAIN, PLAIN]

        _, out, told = await run("search", "--counts", "--url", url)
        assert {each["status"]: each["count"] for each in json.loads(out)["counts"]} == {
            "COMPLETED": 1,
            "EXCEPTION": 1,
        }
        assert "more match" not in told

        assert await run_unread("search", "--url", url) == (141, "")  # as of `search | head -0`


@pytest.mark.thorough
async def test_what_people_paste(world: World, aws: Emulator, settings: Callable[..., Settings]) -> None:
    """Ids as the API prints them and locations of files find what they name, whatever the store has of them."""
    on_efs = uploaded(world, "payments")
    on_s3 = uploaded(world, "claims", account_id=GUARDED)
    uploads = {"fs-": on_efs, "transfer-landing": on_s3}
    async with reading(settings) as url:
        await becomes(lambda: found(url, "--limit", "3", "--order", "oldest"), sorted_by_start(on_efs, on_s3))
        _, out, _ = await run("search", "--url", url)
        for line in out.splitlines():
            node = json.loads(line)
            [place, path] = [*(node["initialFileLocation"]["s3FileLocation"] or {}).values()] or [
                *node["initialFileLocation"]["efsFileLocation"].values()
            ]
            place, path = str(place), str(path).lstrip("/")
            assert any(place.startswith(start) for start in uploads)
            for text in (
                node["id"],
                node["id"].upper(),
                node["id"].rpartition("/")[0],
                f"{node['accountId']}/{node['region']}/{node['serviceMetadata']['userDetails']['serverId']}",
                f"{place}/{path}",
                f"s3://{place}/{path}",
                f"arn:aws:s3:::{place}/{path}",
                f"…/{path.partition('/')[2]}",
                node["accountId"],
            ):
                assert await found(url, text) == [node["id"]], text
            for options in (
                ["--server", node["serviceMetadata"]["userDetails"]["serverId"].upper()],
                ["--workflow", node["workflowId"].upper(), "--region", node["region"].upper()],
            ):
                assert await found(url, *options) == [node["id"]], options
            _, _, told = await run("search", f"s3://{place}/{path}", "--url", url)
            assert told.startswith(f"note: buckets and file systems can't be searched: these have {path} in ")
            code, _, told = await run("search", node["id"], "--region", "ap-south-1", "--url", url)
            excluded = f"error: the text is an id with {node['region']}, which --region excludes\n"
            assert (code, told) == (2, excluded)
            code, out, told = await run("search", f"{place} *", "--url", url)
            assert (code, out) == (0, "")
            notes = [
                "note: names of buckets, file systems and accounts ",
                "note: * and ? are no wildcards",
                f'note: "{place} *" was searched as one text',
            ]
            for said, note in zip(told.splitlines(), notes, strict=False):
                assert said.startswith(note)
        assert await found(url, "999999999999") == []
        code, out, told = await run("search", "--user", "ACME-BANK", "--url", url)
        assert (code, out) == (0, "")
        assert told.startswith("note: --user and --session match whole names in their case; ")


def sorted_by_start(*uploads: object) -> list[str]:
    ordered = sorted(uploads, key=lambda upload: upload.started_at)  # type: ignore[attr-defined]
    return [id_of(key_of(upload)) for upload in ordered]  # type: ignore[arg-type]


async def test_table(world: World, aws: Emulator, settings: Callable[..., Settings]) -> None:
    """A line each where all columns fit, else two. Names and ids of files and executions come first."""
    uploads = [uploaded(world, "payments", failing_step=1), uploaded(world, "claims", ago_s=90)]
    async with reading(settings) as url:
        await becomes(lambda: found(url, "--order", "oldest"), sorted_by_start(*uploads))
        headings = {"STATUS", "STARTED", "FILE", "EXECUTION", "FAILED", "TOOK", "USER", "ACCOUNT"}
        for columns, lines_each in (
            (80, 2),
            (100, 2),
            (120, 2),
            (160, 1),
            (300, 1),
        ):
            code, shown = await run_on_terminal("search", "--url", url, columns=columns)
            assert code == 0
            lines = _STYLE.sub("", shown).splitlines()
            rows = [line for line in lines if not line.startswith("note:")]
            assert len(rows) == 3 * lines_each
            assert max(map(len, rows)) <= columns
            assert set(" ".join(rows[:lines_each]).split()) == headings
            for upload in uploads:
                assert sum(upload.execution_id in row for row in rows) == 1
                assert sum(upload.file.path.rpartition("/")[2] in row for row in rows) == 1

        _, out, _ = await run("search", "--table", "--url", url)
        assert out.count("\n") == 3
        for upload in uploads:
            assert upload.file.path.strip("/") in out
        _, out, _ = await run("search", "--table", "--counts", "--url", url)
        assert [line.split() for line in out.splitlines()] == [
            ["COMPLETED", "1"],
            ["EXCEPTION", "1"],
            ["all", "2"],
        ]


async def test_what_the_gateway_refuses(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """With the options' names instead of the fields'."""
    async with server.running(settings(**REMEMBERS)) as service:
        for options, says in (
            (["--since", "1h", "--until", "2h"], "--since must not be later than --until."),
            (
                ["--min-duration", "2", "--max-duration", "1"],
                "--min-duration must not be above --max-duration.",
            ),
            (
                ["x" * 128, "x" * 128],
                "the text must have 1 to 256 characters besides spaces at its ends; got 257.",
            ),
        ):
            code, out, told = await run("search", *options, "--url", service.url)
            assert (code, out, told) == (2, "", f"error: {says} (BAD_USER_INPUT)\n")
        code, out, told = await run("search", "--url", f"http://{service.grpc}")
        assert (code, out, told.count("\n")) == (1, "", 1)
        assert told.endswith("the gRPC port can't be searched\n")


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--url", "ftp://x"], 2, "is not a URL"),
        (["--url", "http://127.0.0.1:1"], 1, "reached: Connection refused. Is a gateway running there?"),
        (["--account", "111111111111", "--account", "claims"], 2, "ids or aliases, not both"),
        (["--since", "yesterday"], 2, "must be a time or an age such as 2h"),
        (["--min-duration", "2 m"], 2, "--min-duration: must be seconds, or as in 90s, 30m, 2h; got '2 m'"),
        (["--limit", "0"], 2, "must be 1 to 100,000"),
        (["--status", "exeption"], 2, "--status: must be one of IN_PROGRESS, COMPLETED, EXCEPTION, "),
        (["--error-type", "TIMEOUTT"], 2, "--error-type: must be one of PERMISSION_DENIED, "),
        (["--token-file", "/nonexistent"], 1, "the token can't be read"),
        (["--server", "payments"], 2, "ServerId must match s-([0-9a-f]{17})"),
        (["--workflow", "payments"], 2, "WorkflowId must match w-([a-z0-9]{17})"),
        (["--region", "Mars"], 2, "Region must match"),
        (["--result-unknown", "--status", "EXCEPTION"], 2, "goes without --status"),
        (["--result-unknown", "--running"], 2, "not allowed with argument"),
        (["s3://bucket"], 2, "no search finds the files of a bucket"),
    ],
)
@pytest.mark.variants(keep=4)
async def test_what_it_refuses(options: list[str], code: int, says: str) -> None:
    exit_code, out, told = await run("search", *options)
    assert (exit_code, out) == (code, "")
    assert says in told
