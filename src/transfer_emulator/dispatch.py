"""Dispatches requests: determines service and operation, authenticates, applies faults, and responds."""

import asyncio
import logging
import math
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from aiohttp import web

from transfer_emulator import corrupt_responses
from transfer_emulator.calls import Call, Calls
from transfer_emulator.clock import Clock
from transfer_emulator.errors import BAD_SIGNATURE, INTERNAL, UNKNOWN_OPERATION, AwsError, expired_token
from transfer_emulator.fault_effects import (
    apply_content_fault,
    changes_tokens,
    raise_error_fault,
    without_tokens,
)
from transfer_emulator.faults import Fault, FaultKind, Faults
from transfer_emulator.identity import AccessKey
from transfer_emulator.logs import Logs, LogSettings
from transfer_emulator.model import Operation, Service, load_service
from transfer_emulator.query_protocol import parse_form
from transfer_emulator.response_shaper import Wire
from transfer_emulator.sigv4 import Authorization, SignedRequest, authorization_of, legible, verify
from transfer_emulator.sts import Sts, account_of_role
from transfer_emulator.transfer import Transfer
from transfer_emulator.world import Target, World

_log = logging.getLogger(__name__)

JsonOperation: TypeAlias = Callable[[Target, Wire, float], Wire]


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A request's service and operation, before authentication."""

    service: Service
    operation: str
    body: bytes
    form: Mapping[str, str] = field(default_factory=dict)
    error: AwsError | None = None


@dataclass(frozen=True, slots=True)
class Signer:
    """The signer of a request. If `key` is None, `error` is the response."""

    region: str
    key: AccessKey | None = None
    error: AwsError | None = None


class Dispatcher:
    """Handles every signed request. `closing` releases the calls that a fault delays."""

    def __init__(
        self,
        *,
        world: World,
        clock: Clock,
        calls: Calls,
        faults: Faults,
        wall_time: Callable[[], float],
        session_lifetime_s: float | None,
        log_settings: LogSettings,
    ) -> None:
        self._world, self._clock, self._calls, self._faults = world, clock, calls, faults
        self._wall_time = wall_time
        self._transfer, self._sts = load_service("transfer"), load_service("sts")
        self._json_services = {
            service.target_prefix: service for service in (self._transfer, load_service("logs"))
        }
        sts, transfer = Sts(world, wall_time, session_lifetime_s), Transfer(self._transfer)
        self._logs = Logs(log_settings, world.home_key.secret)
        self._sts_operations = {
            "AssumeRole": sts.assume_role,
            "GetCallerIdentity": sts.get_caller_identity,
        }
        self._json_operations: dict[str, dict[str, JsonOperation]] = {
            "transfer": {
                "DescribeExecution": transfer.describe_execution,
                "DescribeServer": transfer.describe_server,
                "DescribeWorkflow": transfer.describe_workflow,
                "ListExecutions": transfer.list_executions,
                "ListServers": transfer.list_servers,
                "ListWorkflows": transfer.list_workflows,
            },
            "logs": {
                "DescribeLogGroups": self._logs.describe_log_groups,
                "FilterLogEvents": self._logs.filter_log_events,
            },
        }
        self.closing = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        parsed = self._parse(request, await request.read())
        signer = self._signer(request, parsed)
        call = _call(parsed, signer)
        self._calls.add(call)
        faults = self._faults.due(call, signer.key)
        request_id = str(uuid.uuid4())
        try:
            for fault in faults:
                if (
                    response := await self._apply_early_fault(fault, request, parsed, signer, call)
                ) is not None:
                    return response
            body = self._perform(parsed, signer, faults, request_id)
        except AwsError as error:
            return _error_response(parsed.service, error, request_id)
        except Exception:  # noqa: BLE001 - last resort: the client gets AWS's internal error
            _log.exception("operation_failed service=%s operation=%s", call.service, call.operation)
            return _error_response(parsed.service, AwsError(INTERNAL, "Internal failure"), request_id)
        return await self._apply_late_faults(
            request, _response(parsed.service, 200, body, request_id), faults
        )

    def _parse(self, request: web.BaseRequest, body: bytes) -> ParsedRequest:
        content_type = request.headers.get("Content-Type", "")
        if "X-Amz-Target" in request.headers or "json" in content_type:
            target = legible(request.headers.get("X-Amz-Target", ""))
            prefix, _, operation = target.rpartition(".")
            service = self._json_services.get(prefix, self._transfer)
            known = prefix in self._json_services and request.method == "POST"
            return ParsedRequest(service, operation if known else target, body)
        try:
            query = request.raw_path.partition("?")[2]
            form = parse_form(query.encode("utf-8", "surrogateescape")) | parse_form(body)
        except AwsError as error:
            return ParsedRequest(self._sts, "", body, error=error)
        return ParsedRequest(self._sts, form.get("Action", ""), body, form)

    def _signer(self, request: web.BaseRequest, parsed: ParsedRequest) -> Signer:
        region = ""
        try:
            authorization = authorization_of(request.headers)
            region = authorization.region
            key = self._verified_key(authorization, request, parsed)
        except AwsError as error:
            return Signer(region, error=error)
        return Signer(region, key)

    def _verified_key(
        self, authorization: Authorization, request: web.BaseRequest, parsed: ParsedRequest
    ) -> AccessKey:
        """Raises: AwsError (UNKNOWN_KEY, EXPIRED_TOKEN, BAD_SIGNATURE, INCOMPLETE_SIGNATURE)."""
        token = request.headers.get("X-Amz-Security-Token")
        key = self._world.keys.find(authorization.access_key_id, token)
        now = self._wall_time()
        if key.expires_at is not None and now >= key.expires_at:
            raise expired_token()
        if authorization.region not in self._world.regions:
            message = f"Credential should be scoped to a valid region, not '{authorization.region}'. "
            raise AwsError(BAD_SIGNATURE, message)
        if authorization.service != parsed.service.name:
            message = f"Credential should be scoped to correct service: '{parsed.service.name}'. "
            raise AwsError(BAD_SIGNATURE, message)
        signed = SignedRequest(request.method, request.raw_path, request.headers, parsed.body)
        verify(authorization, signed, key.secret, now)
        return key

    async def _apply_early_fault(  # noqa: PLR0911 - one response per fault
        self, fault: Fault, request: web.BaseRequest, parsed: ParsedRequest, signer: Signer, call: Call
    ) -> web.StreamResponse | None:
        """Apply a fault that precedes the call. Returns: a response that replaces AWS's, or None.

        Raises: AwsError for faults that are AWS errors.
        """
        match fault.kind:
            case FaultKind.LATENCY:
                await self._delay(fault.seconds)
            case FaultKind.HANG:
                await self._delay(None)
                return corrupt_responses.reset(request)
            case FaultKind.RESET:
                return corrupt_responses.reset(request)
            case FaultKind.HTML_502:
                return corrupt_responses.html_502()
            case FaultKind.EMPTY_429:
                return corrupt_responses.empty_429()
            case FaultKind.ENDLESS_HEAD:
                return await corrupt_responses.endless_head(request)
            case FaultKind.ENDLESS_CONTINUE:
                return await corrupt_responses.endless_continue(request)
            case FaultKind.REDIRECT:
                return corrupt_responses.redirect(request)
            case _:
                caller = signer.key.caller.arn if signer.key else "anonymous"
                raise_error_fault(fault, call, caller, parsed.form.get("RoleArn", ""))
        return None

    async def _apply_late_faults(
        self, request: web.BaseRequest, response: web.Response, faults: list[Fault]
    ) -> web.StreamResponse:
        """Apply the faults that change the response's bytes."""
        for fault in faults:
            body = response.body if isinstance(response.body, bytes) else b""
            match fault.kind:
                case FaultKind.TRUNCATED_BODY:
                    response.body = body[: len(body) // 2]
                case FaultKind.MANY_VALUES:
                    response.body = corrupt_responses.with_junk(body, b"[" + b"0," * 1_999_999 + b"0]")
                case FaultKind.DEEP:
                    response.body = corrupt_responses.with_junk(body, b"[" * 100_000 + b"]" * 100_000)
                case FaultKind.COMPRESSED_BODY:
                    response = corrupt_responses.compressed(response)
                case FaultKind.SHORT_BODY:
                    return await corrupt_responses.short_body(request, response)
                case FaultKind.OVERSIZED_BODY | FaultKind.ENDLESS_BODY | FaultKind.DRIP:
                    return await corrupt_responses.padded_body(
                        request,
                        response,
                        size_bytes=fault.size_bytes if fault.kind is FaultKind.OVERSIZED_BODY else math.inf,
                        pause_s=fault.seconds if fault.kind is FaultKind.DRIP else 0.0,
                        closing=self.closing,
                    )
        return response

    async def _delay(self, seconds: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.closing.wait()

    def _perform(self, parsed: ParsedRequest, signer: Signer, faults: list[Fault], request_id: str) -> bytes:
        key = signer.key
        if key is None:
            raise signer.error or AwsError(INTERNAL)
        operation = self._operation(parsed)
        if parsed.service is self._sts:
            output = self._sts_operations[operation.name](key, operation.parse_form(parsed.form))
        else:
            target = self._world.target(key.caller.account_id, signer.region)
            if operation.name == "FilterLogEvents":
                self._logs.take_call(target.account_id, target.region)
            perform = self._json_operations[parsed.service.name][operation.name]
            parameters = operation.parse_json(parsed.body)
            if changes_tokens(faults):
                parameters = without_tokens(parameters)
            output = perform(target, parameters, self._clock.now())
        wire = operation.shape_output(output)
        for fault in faults:
            wire = apply_content_fault(fault, operation, wire)
        return parsed.service.response_body(operation, wire, request_id)

    def _operation(self, parsed: ParsedRequest) -> Operation:
        """Raises: AwsError (UNKNOWN_OPERATION, MALFORMED)."""
        if parsed.error is not None:
            raise parsed.error
        operation = parsed.service.operation(parsed.operation)
        if parsed.service is self._sts:
            version = parsed.form.get("Version", "")
            if parsed.operation not in self._sts_operations or version != self._sts.api_version:
                message = f"Could not find operation {parsed.operation} for version {version or 'NO_VERSION_SPECIFIED'}"
                raise AwsError(UNKNOWN_OPERATION, message)
        elif parsed.operation not in self._json_operations[parsed.service.name]:
            detail = None if operation is None else f"{parsed.operation} exists, but is not emulated"
            raise AwsError(UNKNOWN_OPERATION, detail)
        if operation is None:
            raise AwsError(UNKNOWN_OPERATION)
        return operation


def _call(parsed: ParsedRequest, signer: Signer) -> Call:
    account_id = signer.key.caller.account_id if signer.key else ""
    if signer.key and parsed.operation == "AssumeRole":
        account_id = account_of_role(parsed.form.get("RoleArn", "")) or account_id
    return Call(parsed.service.name, parsed.operation, account_id, signer.region)


def _error_response(service: Service, error: AwsError, request_id: str) -> web.Response:
    failure = error.failure
    status = failure.json_status if service.uses_json else failure.query_status
    response = _response(service, status, service.error_body(error, request_id), request_id)
    if service.uses_json:
        response.headers["x-amzn-ErrorType"] = failure.json_code
    return response


def _response(service: Service, status: int, body: bytes, request_id: str) -> web.Response:
    content_type = "application/x-amz-json-1.1" if service.uses_json else "text/xml"
    headers = {"x-amzn-RequestId": request_id, "Content-Type": content_type}
    return web.Response(status=status, body=body, headers=headers)
