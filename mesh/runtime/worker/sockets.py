"""Sockets of a worker: listening, and what every connection of the data plane has.

Numbers that Python's socket module lacks are from linux/in.h, linux/in6.h.
"""

import errno
import socket
from collections.abc import Callable
from typing import Final

from mesh.errors import ConfigError
from mesh.model.address import SocketAddress, ip_from_bytes
from mesh.runtime.netns import socket_in
from mesh.runtime.settings import Keepalive

BACKLOG: Final = 1024
ANY_V4: Final = "0.0.0.0"
ANY_V6: Final = "::"

_IP_TRANSPARENT: Final = 19
_IPV6_TRANSPARENT: Final = 75
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})

SocketName = tuple[str, int] | tuple[str, int, int, int]
Prepare = Callable[[socket.socket], None]


class ListenFailedError(ConfigError):
    """A listener cannot be opened in a pod."""

    code = "listen_failed"


def address_of(name: SocketName) -> SocketAddress:
    """A socket name of Python's as a value; a v4-mapped address becomes the IPv4 one."""
    host = name[0].partition("%")[0]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return SocketAddress(ip_from_bytes(socket.inet_pton(family, host)), name[1])


def new_socket(netns: int | None, family: int) -> socket.socket:
    """A non-blocking TCP socket in a namespace; None is this process's own.

    Raises:
        NetnsGoneError: the descriptor is no network namespace.
        OSError: the kernel makes no such socket.
    """
    if netns is not None:
        return socket_in(netns, family, socket.SOCK_STREAM)
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setblocking(False)
    return made


def listen(netns: int | None, port: int, *, ipv6: bool, prepare: Prepare) -> socket.socket:
    """Listen on a port of every address of a pod: one socket, for both families where it can be.

    Args:
        netns: The pod; None for this process's own namespace.
        port: One of the proxy's own.
        ipv6: Whether to listen on IPv6 addresses, too.
        prepare: Sets what has to be set before the socket is bound.

    Raises:
        ListenFailedError: the port is taken by somebody else, or a right is missing.
    """
    if ipv6:
        try:
            return _listener(netns, ANY_V6, port, prepare)
        except OSError as error:
            if error.errno not in _NO_IPV6:
                raise _not_listening(port, error) from error
    try:
        return _listener(netns, ANY_V4, port, prepare)
    except OSError as error:
        raise _not_listening(port, error) from error


def _not_listening(port: int, error: OSError) -> ListenFailedError:
    return ListenFailedError(
        (f"cannot listen on port {port} in the pod: {error.strerror}; free the port there",)
    )


def _listener(netns: int | None, host: str, port: int, prepare: Prepare) -> socket.socket:
    family = socket.AF_INET6 if host == ANY_V6 else socket.AF_INET
    listener = new_socket(netns, family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        prepare(listener)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def share_port(endpoint: socket.socket) -> None:
    """Let other workers listen on the same port."""
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def make_transparent(endpoint: socket.socket) -> None:
    """Allow addresses that are not ours: the peer's, when we dial the application for it."""
    if endpoint.family == socket.AF_INET6:
        endpoint.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
    endpoint.setsockopt(socket.SOL_IP, _IP_TRANSPARENT, 1)


def mark(endpoint: socket.socket, packet_mark: int | None) -> None:
    """Set the mark that keeps the pod's rules from capturing our own packets."""
    if packet_mark is not None:
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, packet_mark)


def tune(connection: socket.socket, keepalive: Keepalive | None) -> None:
    """What every connection of the data plane has; keep-alive only where no PING does its job."""
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if keepalive is None or not keepalive.enabled:
        return
    idle_s, interval_s = max(1, round(keepalive.time_s)), max(1, round(keepalive.interval_s))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval_s)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, keepalive.retries)
    if keepalive.user_timeout:
        patience_ms = (idle_s + keepalive.retries * interval_s) * 1000
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience_ms)
