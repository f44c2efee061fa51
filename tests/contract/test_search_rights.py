"""What searches tell callers, for any policy: nothing of what is denied or hidden."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, example, given
from hypothesis import settings as hypothesis_settings
from itsdangerous import URLSafeSerializer

from callers import doors_of
from doors import Failed
from examples import examples
from random_policies import EVERYONE, TARGETS, granted, hidden_from, rules, secrets_of, upload_everywhere
from recorded import id_of, key_of, recorded_world, until_read
from transfer_gateway.domain.scope import Hideable
from transfer_gateway.settings import parse_policy
from wire import GUARDED, HOME, PLAIN, REGION, becomes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from doors import Door
    from issuer import LocalIssuer
    from transfer_emulator import Upload, World
    from transfer_gateway import server

    Uploads = dict[tuple[str, str], list[Upload]]

pytestmark = pytest.mark.early

FILE, SERVICE = Hideable.INITIAL_FILE_LOCATION, Hideable.SERVICE_METADATA
ALL_TARGETS = {(account, region) for account in (PLAIN, GUARDED, HOME) for region in (REGION, "us-east-1")}


@pytest.fixture
def world() -> World:
    return recorded_world()


@pytest.fixture
def uploads(world: World) -> Uploads:
    """Those that are logged."""
    return {target: found[:3] for target, found in upload_everywhere(world).items()}


def use(service: server.Service, rules: list[dict[str, Any]]) -> None:
    service.admission.policy = parse_policy(json.dumps({"rules": rules}).encode(), name="policy.yaml")


async def read_everything(service: server.Service, issuer: LocalIssuer, uploads: Uploads) -> None:
    use(service, EVERYONE)
    async with doors_of(service, issuer, "operator") as (graphql, _):
        await until_read(graphql)

        async def found() -> dict[str, int]:
            try:
                counts = (await graphql.search({}, first=1, counts=True))["counts"]
            except Failed as failed:  # the store may be busy with what is being read
                if not failed.error["retryable"]:
                    raise
                return {}
            return {each["status"]: each["count"] for each in counts["counts"] or ()}

        await becomes(found, dict.fromkeys(("EXCEPTION", "COMPLETED", "IN_PROGRESS"), len(uploads)))


def text_of(cursor: str) -> str:
    """What is in a cursor."""
    return str(URLSafeSerializer("").load_payload(cursor.rpartition(".")[0].encode()))


async def all_pages(door: Door, order: str) -> list[dict[str, Any]]:
    """In pages of two, forward and back again."""
    pages = [await door.search({}, order, first=2)]
    while (after := pages[-1]["next"]) is not None:
        pages.append(await door.search({}, order, first=2, after=after))
    back = [pages[-1]]
    while (before := back[-1]["previous"]) is not None:
        back.append(await door.search({}, order, last=2, before=before))
    forward = [execution["id"] for page in pages for execution in page["executions"]]
    assert [execution["id"] for page in reversed(back) for execution in page["executions"]] == forward
    return pages + back


@pytest.mark.thorough
@hypothesis_settings(
    max_examples=examples(7), phases=[Phase.explicit, Phase.generate]
)  # each takes seconds: no failure is shrunk
@example(
    rules=[
        granted("ops", PLAIN, FILE, Hideable.EXECUTION_ROLE),
        granted("ops", GUARDED, SERVICE),
        granted("payments", PLAIN, FILE),
        granted("payments", PLAIN, SERVICE),
    ]
)
@given(rules=rules)
async def test_nothing_that_is_denied_or_hidden(
    remembering: server.Service, issuer: LocalIssuer, uploads: Uploads, rules: list[dict[str, Any]]
) -> None:
    """Rows, counts, orders, filters and cursors are those of a world that has only what the caller may see."""
    await read_everything(remembering, issuer, uploads)
    use(remembering, rules)
    for caller in ("operator", "payments"):
        hidden = {target: hidden_from(caller, target, rules) for target in ALL_TARGETS}
        async with doors_of(remembering, issuer, caller) as doors:
            for door in doors:
                await check_rows(door, uploads, hidden)
                await check_filters(door, uploads, hidden)
                await check_coverage(door, uploads, hidden)
                viewer = await door.viewer()
                told = {field for fields in hidden.values() for field in fields or ()}
                assert set(viewer["hiddenFields"] or ()) == told


Hidden = dict[tuple[str, str], "frozenset[Hideable] | None"]


def visible(uploads: Uploads, hidden: Hidden, *fields: Hideable) -> Iterator[Upload]:
    """Of the targets that show all these fields."""
    for target, found in uploads.items():
        if (hides := hidden[target]) is not None and hides.isdisjoint(fields):
            yield from found


def executions_of(pages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [execution for page in pages for execution in page["executions"]]


def place_of(execution: dict[str, Any]) -> tuple[str, str]:
    return execution["accountId"], execution["region"]


def position_of(upload: Upload) -> tuple[int, str]:
    """By the start in milliseconds, then by the id."""
    return round(upload.started_at * 1000), id_of(key_of(upload))


async def check_rows(door: Door, uploads: Uploads, hidden: Hidden) -> None:
    seen = sorted(visible(uploads, hidden), key=position_of, reverse=True)
    ids = [upload.execution_id for upload in seen]
    for order in ("NEWEST_FIRST", "OLDEST_FIRST", "LONGEST_FIRST"):
        pages = await all_pages(door, order)
        cursors = [page[name] for page in pages for name in ("next", "previous") if page[name] is not None]
        assert all(any(each in text_of(cursor) for each in ids) for cursor in cursors)
        told = json.dumps(pages, default=str)
        for target, found in uploads.items():
            hides = hidden[target]
            told_here = json.dumps(
                [each for each in executions_of(pages) if place_of(each) == target], default=str
            )
            for upload in found:
                assert (upload.execution_id in told) is (hides is not None)
                for field in hides or ():
                    assert not any(secret in told_here for secret in secrets_of(upload)[field]), field
    found_page = await door.search({}, counts=True)
    assert [each["executionId"] for each in found_page["executions"]] == ids
    counts = {each["status"]: each["count"] for each in found_page["counts"]["counts"] or ()}
    assert counts == Counter(upload.told(upload.started_at + 100)["status"] for upload in seen)


async def check_filters(door: Door, uploads: Uploads, hidden: Hidden) -> None:
    """A hidden field matches nothing, and the answer says where. Asked for one file in S3 and one in EFS each."""
    hiding = Counter(field for fields in hidden.values() for field in fields or ())
    for upload in (upload for found in uploads.values() for upload in found[:2]):
        name = upload.file.path.rpartition("/")[2]
        for wanted, fields in (
            ({"fileName": name}, (FILE,)),
            ({"sessionIds": [upload.session_id]}, (SERVICE,)),
            ({"serverIds": [upload.server_id]}, (SERVICE,)),
            ({"userNames": [upload.user_name]}, (SERVICE,)),
        ):
            found = await door.search(wanted, counts=True)
            expected = {
                each.execution_id
                for each in visible(uploads, hidden, *fields)
                if (name in each.file.path if FILE in fields else matches(each, wanted))
            }
            assert {each["executionId"] for each in found["executions"]} == expected
            assert found["counts"]["total"] == len(expected)
            (field,), (filter_field,) = fields, wanted
            assert found["hidden"] == (
                [{"filterField": filter_field, "hiddenField": field, "targets": hiding[field]}]
                if hiding[field]
                else []
            )
        for wanted, field in (
            ({"pathPrefix": upload.file.path}, FILE),
            ({"sessionId": upload.session_id}, SERVICE),
            ({"serverId": upload.server_id}, SERVICE),
            ({"userName": upload.user_name}, SERVICE),
        ):
            listed = await door.list_executions(filter=wanted)
            (filter_field,) = wanted
            assert listed["hidden"] == (
                [{"filterField": filter_field, "hiddenField": field, "targets": hiding[field]}]
                if hiding[field]
                else []
            )
        found = await door.search({"text": name})
        assert {each["executionId"] for each in found["executions"]} == {
            each.execution_id for each in visible(uploads, hidden, FILE) if name in each.file.path
        }


def matches(upload: Upload, wanted: dict[str, Any]) -> bool:
    ((name, values),) = wanted.items()
    own = {"sessionIds": upload.session_id, "serverIds": upload.server_id, "userNames": upload.user_name}
    return own[name] in values


async def check_coverage(door: Door, uploads: Uploads, hidden: Hidden) -> None:
    """Only visible targets are listed and counted; where servers and log groups are hidden, none is named."""
    seen = {target for target, hides in hidden.items() if hides is not None}
    beside = await door.search({}, coverage=True)
    listed = await door.coverage()
    for found, summary in ((beside["coverage"], beside["summary"]), (listed["coverage"], listed["summary"])):
        assert {(each["account"]["accountId"], each["region"]) for each in found or ()} == seen
        assert summary["total"] == len(seen)
        for place in found or ():
            hides = hidden[place["account"]["accountId"], place["region"]]
            if hides is not None and hides & {SERVICE, Hideable.LOGGING_CONFIGURATION}:
                told = json.dumps(place, default=str)
                assert place["server"] is None
                assert re.search(r"\bs-[0-9a-f]{17}", told) is None
                assert "/aws/" not in told
    for account_id in {PLAIN, GUARDED} - {account_id for account_id, _ in seen}:
        for ask in (
            door.search({"accountIds": [account_id]}),
            door.coverage(filter={"accountIds": [account_id]}),
        ):
            with pytest.raises(Failed) as refused:
                await ask
            assert refused.value.error["code"] == "ACCOUNT_NOT_AVAILABLE"


async def test_what_a_token_says(remembering: server.Service, issuer: LocalIssuer) -> None:
    """The viewer's name is the one in the audit log; the token's end is told."""
    async with doors_of(remembering, issuer, "auditor") as doors:
        for door in doors:
            viewer = await door.viewer()
            assert viewer["name"] == "auditor"
            assert viewer["expiresAt"] is not None
            assert viewer["hiddenFields"] == ["executionRole", "initialFileLocation", "stepOutputs"]
            assert [account["alias"] for account in viewer["accounts"]] == ["payments-prod"]


def test_targets_are_some_of_all() -> None:
    """The executions are in two targets of six, so that counts of targets differ from those of executions."""
    assert set(TARGETS) < ALL_TARGETS
