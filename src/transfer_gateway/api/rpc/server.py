"""The gRPC server: limits, services and shutdown."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from transfer_api.v1 import execution_service_pb2
from transfer_api.v1.execution_service_pb2_grpc import add_ExecutionServiceServicer_to_server
from transfer_gateway.api.rpc.active_calls import ActiveCalls, CallLimits
from transfer_gateway.api.rpc.calls import Calls
from transfer_gateway.api.rpc.grpc_internals import ServerEnded, accept_faster, make_server, until_ended
from transfer_gateway.api.rpc.health import Health
from transfer_gateway.api.rpc.servicer import ExecutionService
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from transfer_gateway.api.auth import Admission
    from transfer_gateway.api.rpc.tls import RpcTls
    from transfer_gateway.api.unread import UnreadBytes
    from transfer_gateway.telemetry import Requests

_log = get_logger(__name__)
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_SERVICE = execution_service_pb2.DESCRIPTOR.services_by_name["ExecutionService"].full_name
_CLIENTS_MAY_PING_EVERY_S = 10  # grpc-go clients can't choose less
_STATUS_GRACE_S = 1.0
# Twice the longest token, as HTTP's head has by default: so the token's own limit decides, the same at both servers.
# grpc's default of 8 KB refuses tokens at random up to 16 KB, and always above.
_MAX_METADATA_BYTES = 32_768


@dataclass(frozen=True, slots=True)
class RpcLimits:
    """`max_concurrent_streams`: per connection, further calls wait. Above `max_concurrent_rpcs`, calls are rejected.

    `max_connection_age_s`: then clients are asked to reconnect, and no subscription lasts longer.
    """

    max_message_bytes: int
    max_connections: int
    max_concurrent_rpcs: int
    max_concurrent_streams: int
    max_public_streams: int
    message_timeout_s: float
    keepalive_s: float
    max_connection_age_s: float
    max_connection_idle_s: float
    handshake_timeout_s: float


class RpcServer:
    """After `stop`, active calls have `grace_s` to finish; then they are ended with UNAVAILABLE.

    `shared`: other processes listen on its port, too.
    """

    def __init__(
        self,
        admission: Admission,
        limits: RpcLimits,
        requests: Requests,
        unread: UnreadBytes,
        *,
        request_timeout_s: float,
        grace_s: float,
        tls: RpcTls | None = None,
        shared: bool = False,
    ) -> None:
        self._grace_s = grace_s
        self.tls = tls
        self._health = Health(("", _SERVICE))
        self._active_calls = ActiveCalls(
            CallLimits(
                limits.max_concurrent_rpcs,
                request_timeout_s,
                limits.message_timeout_s,
                limits.max_public_streams,
                limits.max_connection_age_s,
            ),
            unread,
        )
        service = ExecutionService(
            admission,
            self._active_calls.set_caller,
            request_timeout_s,
            by_certificate=tls is not None and tls.requires_client_certificate,
        )
        self._stream_queue = service.stream_queue
        self._calls = Calls(
            requests, self._active_calls, deserializers={f"/{_SERVICE}/GetExecution": service.lookups.read}
        )
        calls: Any = self._calls  # acts as the server that services are added to
        add_ExecutionServiceServicer_to_server(service, calls)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, calls)
        names = (_SERVICE, _HEALTH, reflection.SERVICE_NAME)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]  # it publishes no types
            reflection.aio.ReflectionServicer(names), calls
        )
        self._server = make_server(
            self._calls.methods,
            self._calls,
            _options(limits, request_timeout_s, shared=shared),
            limits.max_concurrent_rpcs,
            lambda: self._active_calls.subscriptions,
        )

    def listen(self, host: str, port: int) -> int:
        """Bind the address. Port 0: any free one. Returns: the port. Raises: OSError."""
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self.tls is None:
                return self._server.add_insecure_port(address)
            return self._server.add_secure_port(address, self.tls.credentials())
        except RuntimeError as error:
            raise OSError(str(error)) from error

    async def start(self) -> None:
        self._watching = asyncio.create_task(self._active_calls.watch())
        await self._server.start()

    async def until_ended(self) -> None:
        """Wait for the server to end unexpectedly; cancel this before `stop`. Raises: ServerEnded."""
        try:
            await until_ended(self._server)
        except ServerEnded as ended:
            _log.critical("grpc_server_ended", detail=str(ended))
            raise

    async def set_ready(self, ready: bool) -> None:  # noqa: FBT001  the only argument
        """Set the health status of the service and of the whole server."""
        self._health.set_ready(ready)

    async def stop(self) -> None:
        """Accept no more calls, and let active ones finish."""
        accept_faster(self._server)
        await self._active_calls.until_accepted()
        self._active_calls.end_public()
        self._stream_queue.stop()
        end_of_grace = asyncio.get_running_loop().call_later(self._grace_s, self.stop_now)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._server.stop(self._grace_s + _STATUS_GRACE_S))
            await asyncio.sleep(0)  # clients learn first that this server takes no new calls
            self._active_calls.end_subscriptions()
            await self._active_calls.drain()
            # Closes connections whose clients do not acknowledge the shutdown; grpc would wait for them.
            await self._server.stop(_STATUS_GRACE_S)
        end_of_grace.cancel()
        self._watching.cancel()
        await asyncio.wait([self._watching])

    def stop_now(self) -> None:
        """End the grace period: end all calls now."""
        self._active_calls.end_all()


def _options(limits: RpcLimits, request_timeout_s: float, *, shared: bool) -> list[tuple[str, int]]:
    """Source: grpc/impl/channel_arg_names.h."""
    return [
        ("grpc.so_reuseport", int(shared)),  # 0: fail if another process uses the port
        ("grpc.http2.bdp_probe", 0),  # keep 64 KB windows, so that incomplete messages can't use more memory
        ("grpc.max_receive_message_length", limits.max_message_bytes),
        ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.max_allowed_incoming_connections", limits.max_connections),
        ("grpc.max_concurrent_streams", limits.max_concurrent_streams),
        ("grpc.keepalive_time_ms", round(limits.keepalive_s * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _CLIENTS_MAY_PING_EVERY_S * 1000),
        ("grpc.max_connection_age_ms", round(limits.max_connection_age_s * 1000)),
        ("grpc.max_connection_idle_ms", round(limits.max_connection_idle_s * 1000)),
        ("grpc.server_handshake_timeout_ms", round(limits.handshake_timeout_s * 1000)),
        # Until then all streams have ended by themselves: grpc would cut them off without a status.
        (
            "grpc.max_connection_age_grace_ms",
            round((limits.max_connection_age_s + request_timeout_s * 2) * 1000),
        ),
    ]
