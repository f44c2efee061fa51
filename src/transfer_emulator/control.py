"""The emulator's own HTTP API under /_emulator/: for whoever steers it from another process."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import chain, repeat

import orjson
from aiohttp import web

from transfer_emulator.calls import Calls
from transfer_emulator.clock import Clock
from transfer_emulator.faults import Fault, FaultKind, Faults
from transfer_emulator.world import World
from transfer_emulator.writing import Wire

PREFIX = "/_emulator/"
_NUMBERS = {
    "seconds": (int, float),
    "rate_per_s": (int, float),
    "times": (int,),
    "size_bytes": (int,),
    "status": (int,),
}
_ALIASES = ("payments-prod", "claims", "logistics")
_TEXTS = {"account_id", "region", "operation", "service", "code", "message"}


@dataclass(frozen=True, slots=True)
class Control:
    """Reads and sets what the emulator's Python API does. Bad input gets 400 and JSON naming the field."""

    world: World
    clock: Clock
    calls: Calls
    faults: Faults

    async def answer(self, request: web.BaseRequest) -> web.Response:
        name = request.raw_path.removeprefix(PREFIX).partition("?")[0]
        if (request.method, name) == ("GET", "accounts.yaml"):
            return web.Response(text=accounts_yaml(self.world), content_type="application/yaml")
        act = self._routes().get((request.method, name))
        if act is None:
            return _json({"error": f"no {request.method} {PREFIX}{name} here"}, status=404)
        try:
            return _json(act(await request.read()))
        except ValueError as error:
            return _json({"error": str(error)}, status=400)

    def _routes(self) -> dict[tuple[str, str], Callable[[bytes], object]]:
        return {
            ("GET", "health"): lambda _body: {"status": "ok"},
            ("GET", "calls"): self._show_calls,
            ("DELETE", "calls"): lambda _body: self.calls.reset(),
            ("GET", "faults"): self._show_faults,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): lambda _body: self.faults.clear(),
            ("POST", "clock"): self._advance,
            ("GET", "executions"): self._show_executions,
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
        given = _object(body)
        if (unknown := given.keys() - {"advance_s"}) or "advance_s" not in given:
            raise ValueError(f"{min(unknown, default='advance_s')}: the clock takes advance_s, and needs it")
        advance_s = given["advance_s"]
        if type(advance_s) not in {int, float}:
            raise ValueError(f"advance_s: must be a number of seconds, not {advance_s!r}")
        self.clock.advance(advance_s)
        return {"now": self.clock.now()}

    def _show_executions(self, _body: bytes) -> object:
        names = ("account_id", "region", "workflow_id", "execution_id", "status", "seconds_left")
        running = self.world.running(self.clock.now())
        return {"executions": [dict(zip(names, _finite(row), strict=True)) for row in running]}


def accounts_yaml(world: World) -> str:
    """An accounts file for transfer-gateway: every account by its first role. The first three have an alias."""
    lines = [f"defaults: {{ regions: [{', '.join(world.regions)}] }}", "accounts:"]
    for account, alias in zip(world.accounts(), chain(_ALIASES, repeat(None)), strict=False):
        for role in list(account.roles.values())[:1]:
            told = {
                "id": account.account_id,
                "alias": alias,
                "role_arn": role.arn(account.account_id),
                "external_id": role.external_id,
            }
            members = (f'{name}: "{value}"' for name, value in told.items() if value is not None)
            lines.append(f"  - {{ {', '.join(members)} }}")
    return "\n".join(lines) + "\n"


def fault_from(given: Wire) -> Fault:
    """A fault from its JSON form. Raises: ValueError, naming the field that is wrong."""
    for name, value in given.items():
        if name == "kind" or value is None:
            continue
        if name in _TEXTS:
            right = isinstance(value, str)
        elif name in _NUMBERS:
            right = type(value) in _NUMBERS[name]
        else:
            raise ValueError(f"{name}: a fault has no such field")
        if not right:
            raise ValueError(f"{name}: {value!r} is of the wrong type")
    if given.get("kind") not in list(FaultKind):
        raise ValueError(f"kind: must be one of {', '.join(FaultKind)}, not {given.get('kind')!r}")
    present = {name: value for name, value in given.items() if value is not None}
    return Fault(**{**present, "kind": FaultKind(given["kind"])})


def _object(body: bytes) -> Wire:
    value = orjson.loads(body)  # its error is a ValueError, and says where
    if not isinstance(value, dict):
        raise ValueError("body: must be a JSON object")  # noqa: TRY004 - all bad input is a ValueError here
    return value


def _finite(row: tuple[str, str, str, str, str, float]) -> list[object]:
    """JSON has no infinity: an execution that stays has no seconds left to tell."""
    *names, left = row
    return [*names, left if math.isfinite(left) else None]


def _json(value: object, status: int = 200) -> web.Response:
    body = orjson.dumps({} if value is None else value)
    return web.Response(status=status, body=body, content_type="application/json")
