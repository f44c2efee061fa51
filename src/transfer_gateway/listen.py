"""Binds the addresses that the service listens on."""

from __future__ import annotations

import errno
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transfer_gateway.api.rpc.server import RpcServer


class PortNotAvailable(Exception):
    """The service can't listen on the address; the message has the address and the reason."""


@contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket, bound before anything else starts. Port 0: any free one."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _not_available(host, port, error) from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(2048)
        except OSError as error:
            raise _not_available(host, port, error) from error
        yield listener


def _not_available(host: str, port: int, error: OSError) -> PortNotAvailable:
    hints = {
        errno.EADDRINUSE: "; choose another port with --http-port or --grpc-port, 0 for any free one",
        errno.EACCES: "; choose a port above 1023",
    }
    hint = hints.get(error.errno or 0, "")
    return PortNotAvailable(f"cannot listen on {host}:{port}: {error.strerror}{hint}")


def listen_rpc(rpc: RpcServer, host: str, port: int) -> str:
    """Bind the gRPC server. Returns: its address."""
    with listen(host, port):
        pass  # checks the address: gRPC accepts no open socket, and its own errors are unclear
    try:
        port = rpc.listen(host, port)
    except OSError as error:
        raise PortNotAvailable(f"cannot listen on {host}:{port}: {error}") from error
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url_of(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
