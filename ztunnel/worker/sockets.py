"""Sockets in a pod's network namespace: listening, dialling, and where a connection was going.

Numbers that Python's socket module lacks are from linux/in.h, linux/in6.h, linux/netfilter_ipv4.h.
"""

import errno
import os
import socket
import struct
from typing import Final

import trio

from mesh.errors import ConfigError, UnavailableError
from mesh.model.address import Ip, SocketAddress, format_ip, ip_from_bytes
from mesh.model.names import PACKET_MARK
from mesh.runtime.netns import socket_in

BACKLOG: Final = 1024
CONNECT_SECONDS: Final = 10.0
KEEPALIVE_SECONDS: Final = 180
KEEPALIVE_PROBES: Final = 9

_SO_ORIGINAL_DST: Final = 80
_IP_TRANSPARENT: Final = 19
_IPV6_TRANSPARENT: Final = 75
_SOCKADDR_IN: Final = struct.Struct("!2xH4s8x")
_SOCKADDR_IN6: Final = struct.Struct("!2xH4x16s4x")


class ConnectFailedError(UnavailableError):
    """The application (or the peer proxy) does not accept a connection."""

    code = "connect_failed"


class ListenFailedError(ConfigError):
    """A listener cannot be opened in a pod."""

    code = "listen_failed"


def address_of(name: tuple[str, int] | tuple[str, int, int, int]) -> SocketAddress:
    """A socket name of Python's as a value; a v4-mapped address becomes the IPv4 one."""
    host = name[0].partition("%")[0]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return SocketAddress(ip_from_bytes(socket.inet_pton(family, host)), name[1])


def original_destination(accepted: socket.socket) -> SocketAddress:
    """Where a redirected connection was going; its local address when it was not redirected."""
    for level, layout in (
        (socket.SOL_IP, _SOCKADDR_IN),
        (socket.IPPROTO_IPV6, _SOCKADDR_IN6),
    ):
        try:
            raw = accepted.getsockopt(level, _SO_ORIGINAL_DST, layout.size)
        except OSError:
            continue
        port, ip = layout.unpack(raw)
        return SocketAddress(ip_from_bytes(ip), port)
    return address_of(accepted.getsockname())


def listen(netns: int, port: int, *, transparent: bool) -> list[socket.socket]:
    """Listen on a port of every address of a pod, sharing it with other workers.

    Returns one socket for both families where the pod has IPv6, else one for IPv4.

    Raises:
        ListenFailedError: the port is taken by somebody else, or a right is missing.
    """
    try:
        return [_listener(netns, socket.AF_INET6, "::", port, transparent=transparent)]
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise _not_listening(port, error) from error
    try:
        return [_listener(netns, socket.AF_INET, "0.0.0.0", port, transparent=transparent)]  # noqa: S104 - every address of the pod is the point
    except OSError as error:
        raise _not_listening(port, error) from error


def _not_listening(port: int, error: OSError) -> ListenFailedError:
    return ListenFailedError(
        (f"cannot listen on port {port} in the pod: {error.strerror}; free the port there",)
    )


def _listener(
    netns: int, family: int, host: str, port: int, *, transparent: bool
) -> socket.socket:
    listener = socket_in(netns, family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, PACKET_MARK)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if transparent:
            _make_transparent(listener, family)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _make_transparent(endpoint: socket.socket, family: int) -> None:
    """Allow addresses that are not ours: the peer's, when we dial the application for it."""
    if family == socket.AF_INET6:
        endpoint.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
    endpoint.setsockopt(socket.SOL_IP, _IP_TRANSPARENT, 1)


def tune(connection: socket.socket, *, keepalive: bool) -> None:
    """What every connection of the data plane has."""
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if keepalive:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)


async def dial(netns: int, to: SocketAddress, source: Ip | None = None) -> socket.socket:
    """Connect from inside a pod, marked as ours; with `source`, from that foreign address.

    Cancellation: the half-open socket is closed.

    Raises:
        ConnectFailedError: refused, unreachable, or no answer within CONNECT_SECONDS.
    """
    family = socket.AF_INET if len(to.ip) == 4 else socket.AF_INET6
    try:
        connection = socket_in(netns, family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectFailedError(f"no socket for {to}: {error.strerror}") from error
    try:
        tune(connection, keepalive=True)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, PACKET_MARK)
        if source is not None and len(source) == len(to.ip):
            _make_transparent(connection, family)
            connection.bind((format_ip(source), 0))
        status = connection.connect_ex((format_ip(to.ip), to.port))
        if status == errno.EINPROGRESS:
            with trio.move_on_after(CONNECT_SECONDS):
                await trio.lowlevel.wait_writable(connection)
                status = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except OSError as error:
        connection.close()
        raise ConnectFailedError(f"{to}: {error.strerror}") from error
    except BaseException:
        connection.close()
        raise
    if status:
        connection.close()
        late = status == errno.EINPROGRESS
        reason = f"no answer within {CONNECT_SECONDS:g} s" if late else os.strerror(status)
        raise ConnectFailedError(f"{to}: {reason}")
    return connection
