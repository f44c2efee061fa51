"""CloudWatch Logs: FilterLogEvents, and DescribeLogGroups."""

import base64
import binascii
import hmac
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b, sha256
from typing import TypeAlias

import orjson

from transfer_emulator.errors import INVALID_PARAMETER, THROTTLED, AwsError, no_log_group
from transfer_emulator.filter_patterns import Matcher, compile_pattern
from transfer_emulator.log_groups import DAY_S, LogEvent, LogGroup
from transfer_emulator.response_shaper import Wire
from transfer_emulator.token_bucket import TokenBucket
from transfer_emulator.world import Target

MAX_EVENTS, MAX_GROUPS = 10_000, 50
MAX_PAGE_BYTES = 1_048_576
EVENT_OVERHEAD_BYTES = 26  # as AWS counts an event
MAX_EVENTS_SCANNED = 10_000
MAX_CHUNKS_SCANNED = 1_000  # a day and more, if there is little in it
CHUNK_MS = 120_000
MAX_EMPTY_PAGES = 3
TOKEN_LIFETIME_S = DAY_S
NEWEST_FIRST_SINCE_MS = 1_704_067_200_000  # 2024-01-01
_GROUP_ARN = re.compile(r"arn:[\w-]+:logs:([\w-]+):(\d{12}):log-group:(.+)", re.ASCII)

# Source: the service quotas of CloudWatch Logs. Fixed, per account and region.
CALLS_PER_S = {"us-east-1": 25.0} | dict.fromkeys(
    ("ap-northeast-3", "ap-southeast-3", "ca-west-1", "eu-central-1", "il-central-1"), 5.0
)
OTHER_CALLS_PER_S = 10.0

Position: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How FilterLogEvents behaves.

    `calls_per_s`: quota per account and region; None: AWS's quota of the region; infinity: no quota.
    `empty_page_share`: share of pages (0 to 1) that are empty although more events follow.
    """

    calls_per_s: float | None = None
    empty_page_share: float = 0.1


@dataclass(frozen=True, slots=True)
class _Query:
    """A validated request. `digest`: of what must not change between pages."""

    group: LogGroup
    first_ms: int
    last_ms: int
    names: frozenset[str] | None
    prefix: str
    matches: Matcher | None
    limit: int
    digest: str
    is_bounded: bool

    def wants(self, event: LogEvent) -> bool:
        if self.names is not None and event.stream not in self.names:
            return False
        return event.stream.startswith(self.prefix) and (self.matches is None or self.matches(event.message))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins. `after`: the last event of the page before; `empties`: empty pages since then."""

    digest: str
    issued_at: float
    newest_ms: int
    is_forward: bool
    after: Position | None = None
    empties: int = 0


@dataclass(slots=True)
class Logs:
    """The service's operations, for an account in a region. `secret` signs its tokens."""

    settings: LogSettings
    secret: str
    _quotas: dict[tuple[str, str], TokenBucket] = field(default_factory=dict)

    def take_call(self, account_id: str, region: str) -> None:
        """Count a call. Raises: AwsError (THROTTLED)."""
        rate_per_s = self.settings.calls_per_s
        if rate_per_s is None:
            rate_per_s = CALLS_PER_S.get(region, OTHER_CALLS_PER_S)
        quota = self._quotas.get((account_id, region))
        if quota is None:
            quota = self._quotas[account_id, region] = TokenBucket(rate_per_s)
        if not math.isinf(rate_per_s) and not quota.take():
            raise AwsError(THROTTLED, "Rate exceeded")

    def filter_log_events(self, target: Target, parameters: Wire, now: float) -> Wire:
        """Raises: AwsError (INVALID_PARAMETER, RESOURCE_NOT_FOUND)."""
        now_ms = int(now * 1000)
        is_forward = parameters.get("startFromHead", True)
        query = _query(target, parameters, now_ms, is_forward=is_forward)
        if (token := parameters.get("nextToken")) is None:
            place = _Place(query.digest, now, now_ms, is_forward)
        else:
            place = self._opened(token, query, now)
        if self._is_empty(query, place, now_ms):
            after = replace(place, empties=place.empties + 1)
            return {"events": [], "searchedLogStreams": [], "nextToken": self._sealed(after, now)}
        events, position = _page(query, place, now_ms)
        output: Wire = {"events": events, "searchedLogStreams": []}
        if position is not None:
            output["nextToken"] = self._sealed(replace(place, after=position, empties=0), now)
        return output

    def describe_log_groups(self, target: Target, parameters: Wire, _now: float) -> Wire:
        """By name, in pages. Raises: AwsError (INVALID_PARAMETER)."""
        prefix, part = parameters.get("logGroupNamePrefix"), parameters.get("logGroupNamePattern")
        if prefix is not None and part is not None:
            raise _invalid(
                "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
            )
        after = parameters.get("nextToken", "")
        found = sorted(
            name
            for name in target.log_groups
            if name.startswith(prefix or "") and (part or "").lower() in name.lower() and name > after
        )
        limit = parameters.get("limit", MAX_GROUPS)
        output: Wire = {"logGroups": [_described(target, target.log_groups[name]) for name in found[:limit]]}
        if len(found) > limit:
            output["nextToken"] = found[limit - 1]
        return output

    def _is_empty(self, query: _Query, place: _Place, now_ms: int) -> bool:
        """Whether this page is empty regardless. AWS's first pages mostly are if no start time is given."""
        if not query.is_bounded and place.after is None and place.empties < 2:  # noqa: PLR2004 - pages
            return True
        if place.empties >= MAX_EMPTY_PAGES:
            return False
        seed = f"{query.digest}/{place.after}/{place.empties}/{now_ms}".encode()
        chance = int.from_bytes(blake2b(seed, digest_size=4).digest()) / 2**32
        return chance < self.settings.empty_page_share

    def _sealed(self, place: _Place, now: float) -> str:
        fields = [place.digest, now, place.newest_ms, place.is_forward, place.after, place.empties]
        if place.after is not None:  # a number may exceed JSON's 64 bits
            fields[4] = [str(part) for part in place.after]
        body = base64.urlsafe_b64encode(orjson.dumps(fields)).decode()
        return f"{body}.{self._signature(body)}"

    def _opened(self, token: str, query: _Query, now: float) -> _Place:
        """Raises: AwsError (INVALID_PARAMETER) for tokens of another request, forged ones and expired ones."""
        body, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(body).encode()):
            raise _invalid("The specified nextToken is invalid.")
        try:
            fields = orjson.loads(base64.urlsafe_b64decode(body))
        except (binascii.Error, ValueError) as error:
            raise _invalid("The specified nextToken is invalid.") from error
        place = _Place(*fields)
        if place.after is not None:
            first, second, third = map(int, place.after)
            place = replace(place, after=(first, second, third))
        if place.digest != query.digest:
            raise _invalid("The specified nextToken is invalid.")
        if now - place.issued_at > TOKEN_LIFETIME_S:
            raise _invalid("The specified nextToken has expired.")
        return place

    def _signature(self, body: str) -> str:
        return hmac.new(self.secret.encode(), body.encode(), sha256).hexdigest()[:32]


def _query(target: Target, parameters: Wire, now_ms: int, *, is_forward: bool) -> _Query:
    names, prefix = parameters.get("logStreamNames"), parameters.get("logStreamNamePrefix")
    if names is not None and prefix is not None:
        raise _invalid("LogStreamNamePrefix and LogStreamNames cannot be specified together.")
    start_ms, end_ms = parameters.get("startTime"), parameters.get("endTime")
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        raise _invalid("StartTime cannot be greater than EndTime.")
    if not is_forward and (start_ms or 0) < NEWEST_FIRST_SINCE_MS:
        raise _invalid("startFromHead=false requires a startTime on or after 2024-01-01T00:00:00Z.")
    pattern = parameters.get("filterPattern", "")
    matches = compile_pattern(pattern) if pattern else None
    group = _group(target, parameters)
    fixed = [group.name, names, prefix, start_ms, end_ms, pattern]
    return _Query(
        group=group,
        first_ms=max(start_ms or 0, group.oldest_ms(now_ms)),
        last_ms=now_ms if end_ms is None else end_ms,
        names=None if names is None else frozenset(names),
        prefix=prefix or "",
        matches=matches,
        limit=parameters.get("limit", MAX_EVENTS),
        digest=blake2b(orjson.dumps(fixed), digest_size=12).hexdigest(),
        is_bounded=start_ms is not None,
    )


def _group(target: Target, parameters: Mapping[str, str]) -> LogGroup:
    """Raises: AwsError (INVALID_PARAMETER, RESOURCE_NOT_FOUND)."""
    name, identifier = parameters.get("logGroupName"), parameters.get("logGroupIdentifier")
    if (name is None) == (identifier is None):
        raise _invalid("Exactly one of logGroupName and logGroupIdentifier must be specified.")
    if identifier is not None and identifier.startswith("arn:"):
        if (arn := _GROUP_ARN.fullmatch(identifier)) is None:
            raise _invalid("The specified logGroupIdentifier is not a valid ARN of a log group.")
        region, account_id, name = arn.groups()
        if (account_id, region) != (target.account_id, target.region):
            raise no_log_group()  # without a link between the accounts
    group = target.log_groups.get(name or identifier or "")
    if group is None:
        raise no_log_group()
    return group


def _page(query: _Query, place: _Place, now_ms: int) -> tuple[list[Wire], Position | None]:
    """A page, and where the next one begins; None after the last one."""
    found: list[Wire] = []
    size_bytes = scanned = 0
    after = place.after
    for chunks, (chunk, end) in enumerate(_chunks(query, place, now_ms), 1):
        for event in chunk:
            if scanned >= MAX_EVENTS_SCANNED or len(found) >= query.limit:
                return found, after
            scanned += 1
            if query.wants(event):
                message = event.message
                size_bytes += len(message.encode()) + EVENT_OVERHEAD_BYTES
                if size_bytes > MAX_PAGE_BYTES and found:
                    return found, after
                found.append(_wire(event, message))
            after = event[:3]
        after = end
        if chunks >= MAX_CHUNKS_SCANNED:
            return found, after
    # As AWS: a full page has a token, even if an empty page follows.
    return found, after if len(found) >= query.limit else None


def _chunks(query: _Query, place: _Place, now_ms: int) -> Iterator[tuple[list[LogEvent], Position]]:
    """The group's events after `place`, in the page's direction, in chunks of two minutes, each with its end."""
    after = place.after
    first_ms, last_ms = query.first_ms, query.last_ms
    if place.is_forward:
        last_ms = min(last_ms, now_ms)
        first_ms = max(first_ms, after[0] if after else 0)
        for start_ms in range(first_ms, last_ms + 1, CHUNK_MS):
            end_ms = min(start_ms + CHUNK_MS - 1, last_ms)
            events = query.group.between(start_ms, end_ms, now_ms)
            yield [event for event in events if after is None or event[:3] > after], (end_ms + 1, -1, -1)
    else:
        last_ms = min(last_ms, after[0] if after else place.newest_ms)
        for end_ms in range(last_ms, first_ms - 1, -CHUNK_MS):
            start_ms = max(end_ms - CHUNK_MS + 1, first_ms)
            events = query.group.between(start_ms, end_ms, now_ms)
            yield (
                [event for event in reversed(events) if after is None or event[:3] < after],
                (start_ms, -1, -1),
            )


def _described(target: Target, group: LogGroup) -> Wire:
    arn = f"arn:aws:logs:{target.region}:{target.account_id}:log-group:{group.name}"
    described: Wire = {
        "logGroupName": group.name,
        "creationTime": int(group.created_at * 1000),
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "logGroupArn": arn,
        "storedBytes": 0,
        "logGroupClass": "STANDARD",
    }
    if group.retention_days is not None:
        described["retentionInDays"] = group.retention_days
    return described


def _wire(event: LogEvent, message: str) -> Wire:
    return {
        "logStreamName": event.stream,
        "timestamp": event.timestamp_ms,
        "message": message,
        "ingestionTime": event.ingested_ms,
        "eventId": event.event_id,
    }


def _invalid(why: str) -> AwsError:
    return AwsError(INVALID_PARAMETER, why)
