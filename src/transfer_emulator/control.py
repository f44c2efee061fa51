"""The HTTP API under /_emulator/ that controls the emulator from other processes."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import chain, islice, repeat
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from transfer_emulator.calls import Calls
from transfer_emulator.clock import Clock
from transfer_emulator.faults import Fault, FaultKind, Faults
from transfer_emulator.response_shaper import Wire
from transfer_emulator.world import World

PREFIX = "/_emulator/"
_NUMBERS = {
    "seconds": (int, float),
    "rate_per_s": (int, float),
    "times": (int,),
    "size_bytes": (int,),
    "status": (int,),
}
_ALIASES = ("payments-prod", "claims", "logistics")
HOUR_S = 3600.0
MAX_HISTORY = 10_000
_HISTORY_IDS = ("account_id", "region", "workflow_id", "execution_id")
_TEXTS = {"account_id", "region", "operation", "service", "code", "message"}


@dataclass(frozen=True, slots=True)
class Control:
    """Offers the emulator's Python API over HTTP. Invalid input gets status 400 with JSON that names the field."""

    world: World
    clock: Clock
    calls: Calls
    faults: Faults

    async def handle(self, request: web.BaseRequest) -> web.Response:
        name, _, query = request.raw_path.removeprefix(PREFIX).partition("?")
        if (request.method, name) == ("GET", "accounts.yaml"):
            return web.Response(text=accounts_yaml(self.world), content_type="application/yaml")
        act = self._routes(query).get((request.method, name))
        if act is None:
            return _json({"error": f"unknown endpoint: {request.method} {PREFIX}{name}"}, status=404)
        try:
            return _json(act(await request.read()))
        except ValueError as error:
            return _json({"error": str(error)}, status=400)

    def _routes(self, query: str) -> dict[tuple[str, str], Callable[[bytes], object]]:
        return {
            ("GET", "health"): lambda _body: {"status": "ok"},
            ("GET", "calls"): self._show_calls,
            ("DELETE", "calls"): lambda _body: self.calls.reset(),
            ("GET", "faults"): self._show_faults,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): lambda _body: self.faults.clear(),
            ("POST", "clock"): self._advance,
            ("GET", "executions"): self._show_executions,
            ("GET", "history"): lambda _body: self._show_history(
                dict(parse_qsl(query, keep_blank_values=True))
            ),
        }

    def _show_calls(self, _body: bytes) -> object:
        return {
            "in_flight": self.calls.in_flight,
            "max_in_flight": self.calls.max_in_flight,
            "connections": self.calls.connections,
            "calls": [{**asdict(call), "count": count} for call, count in self.calls.by_call().items()],
        }

    def _show_faults(self, _body: bytes) -> object:
        return {"faults": [{"id": key, **asdict(fault)} for key, fault in self.faults.active().items()]}

    def _add_fault(self, body: bytes) -> object:
        return {"id": self.faults.add(fault_from(_object(body)))}

    def _advance(self, body: bytes) -> object:
        fields = _object(body)
        if (unknown := fields.keys() - {"advance_s"}) or "advance_s" not in fields:
            field = min(unknown, default="advance_s")
            raise ValueError(f"{field}: the body must contain advance_s and nothing else")
        advance_s = fields["advance_s"]
        if type(advance_s) not in {int, float}:
            raise ValueError(f"advance_s: must be a number of seconds, not {advance_s!r}")
        self.clock.advance(advance_s)
        return {"now": self.clock.now()}

    def _show_executions(self, _body: bytes) -> object:
        names = ("account_id", "region", "workflow_id", "execution_id", "status", "seconds_left")
        running = self.world.running(self.clock.now())
        return {"executions": [dict(zip(names, _finite(row), strict=True)) for row in running]}

    def _show_history(self, asked: dict[str, str]) -> object:
        if unknown := asked.keys() - {*_HISTORY_IDS, "since", "until", "limit"}:
            raise ValueError(f"{min(unknown)}: unknown parameter")
        now = self.clock.now()
        until = min(_number("until", asked.get("until"), now), now)
        since = _number("since", asked.get("since"), until - HOUR_S)
        limit = _number("limit", asked.get("limit"), MAX_HISTORY)
        if not 1 <= limit <= MAX_HISTORY:
            raise ValueError(f"limit: must be between 1 and {MAX_HISTORY:,}")
        account_id, region = asked.get("account_id"), asked.get("region")
        if account_id is not None and self.world.find_account(account_id) is None:
            raise ValueError(f"account_id: unknown account {account_id!r}")
        if region is not None and region not in self.world.regions:
            raise ValueError(f"region: unknown region {region!r}")
        wanted = {name: asked[name] for name in ("workflow_id", "execution_id") if name in asked}
        # Computing them takes time, in which nothing else is answered.
        found = list(islice(self.world.history(since, until, account_id, region), MAX_HISTORY + 1))
        if len(found) > MAX_HISTORY:
            raise ValueError(
                f"since: more than {MAX_HISTORY:,} uploads; ask for a shorter time or one account"
            )
        uploads = [
            upload
            for upload in found
            if all(getattr(upload, name) == value for name, value in wanted.items())
        ]
        uploads.sort(key=lambda upload: upload.started_at, reverse=True)
        return {
            "now": now,
            "count": len(uploads),
            "uploads": [upload.told(now) for upload in uploads[: int(limit)]],
        }


def _number(name: str, text: str | None, default: float) -> float:
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name}: must be a number, not {text!r}")
    return number


def accounts_yaml(world: World) -> str:
    """An accounts file for transfer-gateway, with each account's first role. The first three accounts have aliases."""
    lines = [f"defaults: {{ regions: [{', '.join(world.regions)}] }}", "accounts:"]
    for account, alias in zip(world.accounts(), chain(_ALIASES, repeat(None)), strict=False):
        for role in list(account.roles.values())[:1]:
            members = {
                "id": account.account_id,
                "alias": alias,
                "role_arn": role.arn(account.account_id),
                "external_id": role.external_id,
            }
            yaml = (f'{name}: "{value}"' for name, value in members.items() if value is not None)
            lines.append(f"  - {{ {', '.join(yaml)} }}")
    return "\n".join(lines) + "\n"


def fault_from(fields: Wire) -> Fault:
    """Parse a fault from JSON. Raises: ValueError, naming the invalid field."""
    for name, value in fields.items():
        if name == "kind" or value is None:
            continue
        if name in _TEXTS:
            is_valid = isinstance(value, str)
        elif name in _NUMBERS:
            is_valid = type(value) in _NUMBERS[name]
        else:
            raise ValueError(f"{name}: unknown field of a fault")
        if not is_valid:
            raise ValueError(f"{name}: {value!r} has the wrong type")
    if fields.get("kind") not in list(FaultKind):
        raise ValueError(f"kind: must be one of {', '.join(FaultKind)}, not {fields.get('kind')!r}")
    present = {name: value for name, value in fields.items() if value is not None}
    return Fault(**{**present, "kind": FaultKind(fields["kind"])})


def _object(body: bytes) -> Wire:
    value = orjson.loads(body)  # raises a ValueError with the position
    if not isinstance(value, dict):
        raise ValueError("body: must be a JSON object")  # noqa: TRY004 - all invalid input is a ValueError here
    return value


def _finite(row: tuple[str, str, str, str, str, float]) -> list[object]:
    """JSON has no infinity: an execution that never ends has null seconds left."""
    *names, left = row
    return [*names, left if math.isfinite(left) else None]


def _json(value: object, status: int = 200) -> web.Response:
    body = orjson.dumps({} if value is None else value)
    return web.Response(status=status, body=body, content_type="application/json")
