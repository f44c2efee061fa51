"""The door: which service and operation a request means, who signed it, and what is answered."""

import asyncio
import logging
import math
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import web

from transfer_emulator import damage
from transfer_emulator.calls import Call, Calls
from transfer_emulator.clock import Clock
from transfer_emulator.errors import (
    BAD_SIGNATURE,
    INTERNAL,
    THROTTLED,
    UNAVAILABLE,
    UNKNOWN_OPERATION,
    AwsError,
    Failure,
    expired_token,
    not_authorized,
)
from transfer_emulator.faults import Fault, FaultKind, Faults
from transfer_emulator.identity import AccessKey
from transfer_emulator.model import Operation, Service, load_service
from transfer_emulator.query import parse_form
from transfer_emulator.sigv4 import Authorization, SignedRequest, authorization_of, legible, verify
from transfer_emulator.sts import Sts, account_of_role
from transfer_emulator.transfer import Transfer
from transfer_emulator.world import World
from transfer_emulator.writing import Wire

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for, before anybody believes it."""

    service: Service
    operation: str
    body: bytes
    form: Mapping[str, str] = field(default_factory=dict)
    refusal: AwsError | None = None


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose signature a request bears. Without a `key` there is the `refusal` to answer with."""

    region: str
    key: AccessKey | None = None
    refusal: AwsError | None = None


class Front:
    """Answers every signed request. `closing` releases the calls that a fault holds back."""

    def __init__(
        self,
        *,
        world: World,
        clock: Clock,
        calls: Calls,
        faults: Faults,
        wall_time: Callable[[], float],
        session_lifetime_s: float | None,
    ) -> None:
        self._world, self._clock, self._calls, self._faults = world, clock, calls, faults
        self._wall_time = wall_time
        self._transfer, self._sts = load_service("transfer"), load_service("sts")
        sts, transfer = Sts(world, wall_time, session_lifetime_s), Transfer(self._transfer)
        self._sts_operations = {
            "AssumeRole": sts.assume_role,
            "GetCallerIdentity": sts.get_caller_identity,
        }
        self._transfer_operations = {
            "DescribeExecution": transfer.describe_execution,
            "DescribeWorkflow": transfer.describe_workflow,
            "ListExecutions": transfer.list_executions,
            "ListWorkflows": transfer.list_workflows,
        }
        self.closing = asyncio.Event()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = self._asked(request, await request.read())
        signer = self._signer(request, asked)
        call = _call(asked, signer)
        self._calls.add(call)
        due = self._faults.due(call, signer.key)
        request_id = str(uuid.uuid4())
        try:
            for fault in due:
                if (response := await self._suffer(fault, request, asked, signer, call)) is not None:
                    return response
            body = self._performed(asked, signer, due, request_id)
        except AwsError as error:
            return _error_response(asked.service, error, request_id)
        except Exception:  # noqa: BLE001 - a door: whatever it was, the client gets AWS's way of saying so
            _log.exception("operation_failed service=%s operation=%s", call.service, call.operation)
            return _error_response(asked.service, AwsError(INTERNAL, "Internal failure"), request_id)
        return await self._damaged(request, _response(asked.service, 200, body, request_id), due)

    def _asked(self, request: web.BaseRequest, body: bytes) -> Asked:
        content_type = request.headers.get("Content-Type", "")
        if "X-Amz-Target" in request.headers or "json" in content_type:
            target = legible(request.headers.get("X-Amz-Target", ""))
            prefix, _, operation = target.rpartition(".")
            known = prefix == self._transfer.target_prefix and request.method == "POST"
            return Asked(self._transfer, operation if known else target, body)
        try:
            query = request.raw_path.partition("?")[2]
            form = parse_form(query.encode("utf-8", "surrogateescape")) | parse_form(body)
        except AwsError as error:
            return Asked(self._sts, "", body, refusal=error)
        return Asked(self._sts, form.get("Action", ""), body, form)

    def _signer(self, request: web.BaseRequest, asked: Asked) -> Signer:
        region = ""
        try:
            authorization = authorization_of(request.headers)
            region = authorization.region
            key = self._verified_key(authorization, request, asked)
        except AwsError as error:
            return Signer(region, refusal=error)
        return Signer(region, key)

    def _verified_key(
        self, authorization: Authorization, request: web.BaseRequest, asked: Asked
    ) -> AccessKey:
        """Raises: AwsError (UNKNOWN_KEY, EXPIRED_TOKEN, BAD_SIGNATURE, INCOMPLETE_SIGNATURE)."""
        token = request.headers.get("X-Amz-Security-Token")
        key = self._world.keys.find(authorization.access_key_id, token)
        now = self._wall_time()
        if key.expires_at is not None and now >= key.expires_at:
            raise expired_token()
        if authorization.region not in self._world.regions:
            said = f"Credential should be scoped to a valid region, not '{authorization.region}'. "
            raise AwsError(BAD_SIGNATURE, said)
        if authorization.service != asked.service.name:
            said = f"Credential should be scoped to correct service: '{asked.service.name}'. "
            raise AwsError(BAD_SIGNATURE, said)
        signed = SignedRequest(request.method, request.raw_path, request.headers, asked.body)
        verify(authorization, signed, key.secret, now)
        return key

    async def _suffer(  # noqa: PLR0911 - one answer for each fault
        self, fault: Fault, request: web.BaseRequest, asked: Asked, signer: Signer, call: Call
    ) -> web.StreamResponse | None:
        """Let `fault` happen before the call is performed: an answer that replaces AWS's, or None.

        Raises: AwsError for those faults that AWS puts into words.
        """
        match fault.kind:
            case FaultKind.LATENCY:
                await self._hold(fault.seconds)
            case FaultKind.HANG:
                await self._hold(None)
                return damage.reset(request)
            case FaultKind.RESET:
                return damage.reset(request)
            case FaultKind.HTML_502:
                return damage.html_502()
            case FaultKind.EMPTY_429:
                return damage.empty_429()
            case FaultKind.ENDLESS_HEAD:
                return await damage.endless_head(request)
            case FaultKind.ENDLESS_CONTINUE:
                return await damage.endless_continue(request)
            case FaultKind.REDIRECT:
                return damage.redirect(request)
            case _:
                _raise_if_spoken(fault, asked, signer, call)
        return None

    async def _damaged(
        self, request: web.BaseRequest, response: web.Response, due: list[Fault]
    ) -> web.StreamResponse:
        """What the faults make of an answer as it is sent."""
        for fault in due:
            body = response.body if isinstance(response.body, bytes) else b""
            match fault.kind:
                case FaultKind.TRUNCATED_BODY:
                    response.body = body[: len(body) // 2]
                case FaultKind.MANY_VALUES:
                    response.body = damage.with_junk(body, b"[" + b"0," * 1_999_999 + b"0]")
                case FaultKind.DEEP:
                    response.body = damage.with_junk(body, b"[" * 100_000 + b"]" * 100_000)
                case FaultKind.COMPRESSED_BODY:
                    response = damage.compressed(response)
                case FaultKind.SHORT_BODY:
                    return await damage.short_body(request, response)
                case FaultKind.OVERSIZED_BODY | FaultKind.ENDLESS_BODY | FaultKind.DRIP:
                    return await damage.padded_body(
                        request,
                        response,
                        size_bytes=fault.size_bytes if fault.kind is FaultKind.OVERSIZED_BODY else math.inf,
                        pause_s=fault.seconds if fault.kind is FaultKind.DRIP else 0.0,
                        closing=self.closing,
                    )
        return response

    async def _hold(self, seconds: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.closing.wait()

    def _performed(self, asked: Asked, signer: Signer, due: list[Fault], request_id: str) -> bytes:
        key = signer.key
        if key is None:
            raise signer.refusal or AwsError(INTERNAL)
        operation = self._operation(asked)
        if asked.service is self._sts:
            output = self._sts_operations[operation.name](key, operation.read_form(asked.form))
        else:
            target = self._world.target(key.caller.account_id, signer.region)
            perform = self._transfer_operations[operation.name]
            read = operation.read_json(asked.body)
            if _tells_tokens(due):
                read.pop("NextToken", None)
            output = perform(target, read, self._clock.now())
        wire = operation.shape_output(output)
        for fault in due:
            wire = _changed(fault, operation, wire)
        return asked.service.answer_body(operation, wire, request_id)

    def _operation(self, asked: Asked) -> Operation:
        """Raises: AwsError (UNKNOWN_OPERATION, MALFORMED)."""
        if asked.refusal is not None:
            raise asked.refusal
        operation = asked.service.operation(asked.operation)
        if asked.service is self._sts:
            version = asked.form.get("Version", "")
            if asked.operation not in self._sts_operations or version != self._sts.api_version:
                said = f"Could not find operation {asked.operation} for version {version or 'NO_VERSION_SPECIFIED'}"
                raise AwsError(UNKNOWN_OPERATION, said)
        elif asked.operation not in self._transfer_operations:
            real = None if operation is None else f"{asked.operation} exists, but is not emulated"
            raise AwsError(UNKNOWN_OPERATION, real)
        if operation is None:
            raise AwsError(UNKNOWN_OPERATION)
        return operation


def _call(asked: Asked, signer: Signer) -> Call:
    account_id = signer.key.caller.account_id if signer.key else ""
    if signer.key and asked.operation == "AssumeRole":
        account_id = account_of_role(asked.form.get("RoleArn", "")) or account_id
    return Call(asked.service.name, asked.operation, account_id, signer.region)


def _raise_if_spoken(fault: Fault, asked: Asked, signer: Signer, call: Call) -> None:
    match fault.kind:
        case FaultKind.THROTTLE:
            raise AwsError(THROTTLED, "Rate exceeded")
        case FaultKind.REVOKED:
            raise expired_token()
        case FaultKind.DENY:
            raise _denial(asked, signer, call)
        case FaultKind.SERVER_ERROR:
            failure = UNAVAILABLE if fault.status == UNAVAILABLE.json_status else INTERNAL
            raise AwsError(failure, fault.message or "The service could not complete the request")
        case FaultKind.ERROR:
            raise AwsError(Failure.of(fault.code or "", fault.status or 400), fault.message)


def _denial(asked: Asked, signer: Signer, call: Call) -> AwsError:
    caller = signer.key.caller.arn if signer.key else "anonymous"
    if call.operation == "AssumeRole":
        return not_authorized(caller, "sts:AssumeRole", asked.form.get("RoleArn", "*"))
    action = f"{call.service}:{call.operation}"
    resource = f"arn:aws:{call.service}:{call.region}:{call.account_id}:workflow/*"
    return not_authorized(
        caller, action, resource, f" because no identity-based policy allows the {action} action"
    )


def _tells_tokens(due: list[Fault]) -> bool:
    return any(fault.kind in {FaultKind.REPEATED_TOKEN, FaultKind.FRESH_TOKENS} for fault in due)


def _changed(fault: Fault, operation: Operation, wire: Wire) -> Wire:
    """What the fault makes of an answer before it is written."""
    changed: object = wire
    match fault.kind:
        case FaultKind.UNKNOWN_ENUM:
            changed = damage.with_unknown_enums(operation.output_shape, wire)
        case FaultKind.UNKNOWN_MEMBER:
            changed = damage.with_unknown_members(operation.output_shape, wire)
        case FaultKind.MANY_STEPS:
            changed = damage.with_many_steps(wire)
        case FaultKind.OTHER_ANSWER:
            changed = damage.with_other_ids(wire)
        case FaultKind.REPEATED_TOKEN | FaultKind.FRESH_TOKENS if (
            "NextToken" in operation.output_shape.members
        ):
            again = fault.kind is FaultKind.REPEATED_TOKEN
            changed = wire | {"NextToken": "again" if again else str(uuid.uuid4())}
    return changed if isinstance(changed, dict) else wire


def _error_response(service: Service, error: AwsError, request_id: str) -> web.Response:
    failure = error.failure
    status = failure.json_status if service.speaks_json else failure.query_status
    response = _response(service, status, service.error_body(error, request_id), request_id)
    if service.speaks_json:
        response.headers["x-amzn-ErrorType"] = failure.json_code
    return response


def _response(service: Service, status: int, body: bytes, request_id: str) -> web.Response:
    content_type = "application/x-amz-json-1.1" if service.speaks_json else "text/xml"
    headers = {"x-amzn-RequestId": request_id, "Content-Type": content_type}
    return web.Response(status=status, body=body, headers=headers)
