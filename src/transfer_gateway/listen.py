"""Binds the addresses that the service listens on."""

from __future__ import annotations

import errno
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transfer_gateway.api.rpc.server import RpcServer

BACKLOG = 2048


class PortNotAvailable(Exception):
    """The service can't listen on the address; the message has the address and the reason."""


@contextmanager
def listen(host: str, port: int, *, shared: bool = False) -> Iterator[socket.socket]:
    """A listening socket, bound before anything else starts. Port 0: any free one.

    `shared`: the port is reserved, and other workers listen there. Then it does not listen yet, since connections would
    wait for this worker's start while others could take them.
    """
    with _bound(host, port, shared=shared) as listener:
        try:
            if not shared:
                listener.listen(BACKLOG)
        except OSError as error:
            raise _not_available(host, port, error) from error
        yield listener


@contextmanager
def reserved(host: str, port: int) -> Iterator[int]:
    """A port that is kept for this process's workers. Port 0: any free one. Nobody listens yet."""
    with _bound(host, port, shared=False) as keeper:
        # Bound as by one process, so that it fails if anybody has the port, another parent included. From now on
        # sockets of this user may share it, and only those that ask for it.
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield keeper.getsockname()[1]


@contextmanager
def _bound(host: str, port: int, *, shared: bool) -> Iterator[socket.socket]:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _not_available(host, port, error) from error
    with bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            bound.bind(address)
        except OSError as error:
            raise _not_available(host, port, error) from error
        yield bound


def _not_available(host: str, port: int, error: OSError) -> PortNotAvailable:
    hints = {
        errno.EADDRINUSE: "; choose another port with --http-port or --grpc-port, 0 for any free one",
        errno.EACCES: "; choose a port above 1023",
    }
    hint = hints.get(error.errno or 0, "")
    return PortNotAvailable(f"cannot listen on {host}:{port}: {error.strerror}{hint}")


def listen_rpc(rpc: RpcServer, host: str, port: int, *, shared: bool = False) -> str:
    """Bind the gRPC server. Returns: its address."""
    with listen(host, port, shared=shared):
        pass  # checks the address: gRPC accepts no open socket, and its own errors are unclear
    try:
        port = rpc.listen(host, port)
    except OSError as error:
        raise PortNotAvailable(f"cannot listen on {host}:{port}: {error}") from error
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url_of(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
