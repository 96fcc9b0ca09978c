"""Sockets in a pod's network namespace: listening, and where a connection comes from and goes to.

Numbers that Python's socket module lacks are from linux/in.h, linux/in6.h, linux/netfilter_ipv4.h.
"""

import errno
import logging
import socket
import struct
from dataclasses import dataclass
from typing import Final

from mesh.errors import ConfigError
from mesh.model.address import SocketAddress, ip_from_bytes
from mesh.runtime.netns import socket_in
from ztunnel.config import Config, Keepalive

BACKLOG: Final = 1024
ANY_V4: Final = "0.0.0.0"
ANY_V6: Final = "::"

_SO_ORIGINAL_DST: Final = 80
_IP_TRANSPARENT: Final = 19
_IPV6_TRANSPARENT: Final = 75
_SOCKADDR_IN: Final = struct.Struct("!2xH4s8x")
_SOCKADDR_IN6: Final = struct.Struct("!2xH4x16s4x")
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})

log = logging.getLogger(__name__)

SocketName = tuple[str, int] | tuple[str, int, int, int]


class ListenFailedError(ConfigError):
    """A listener cannot be opened in a pod."""

    code = "listen_failed"


@dataclass(frozen=True, slots=True, eq=False)
class Listener:
    """A listening socket for all addresses of a pod."""

    port: int
    socket: socket.socket
    transparent: bool
    """Whether we may answer, and dial, from addresses that are not ours."""


def address_of(name: SocketName) -> SocketAddress:
    """A socket name of Python's as a value; a v4-mapped address becomes the IPv4 one."""
    host = name[0].partition("%")[0]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return SocketAddress(ip_from_bytes(socket.inet_pton(family, host)), name[1])


def original_destination(accepted: socket.socket, peer: SocketAddress) -> SocketAddress:
    """Where a redirected connection was going; its own local address when nothing tracked it.

    Args:
        accepted: The connection.
        peer: Who opened it: of the same family as its destination.

    Raises:
        OSError: it has gone.
    """
    if len(peer.ip) == 4:
        level, layout = socket.SOL_IP, _SOCKADDR_IN
    else:
        level, layout = socket.IPPROTO_IPV6, _SOCKADDR_IN6
    try:
        raw = accepted.getsockopt(level, _SO_ORIGINAL_DST, layout.size)
    except OSError:
        return address_of(accepted.getsockname())
    port, ip = layout.unpack(raw)
    return SocketAddress(ip_from_bytes(ip), port)


def listen(netns: int, port: int, config: Config, *, spoofing: bool) -> Listener:
    """Listen on a port of every address of a pod, sharing it with other workers.

    One socket serves both families where the pod has IPv6.

    Args:
        netns: The pod.
        port: One of the proxy's own.
        config: The settings.
        spoofing: Whether the listener should be transparent, so that what it accepts may be
            carried on from the peer's own address.

    Raises:
        ListenFailedError: the port is taken by somebody else, or a right is missing.
    """
    if config.ipv6_enabled:
        try:
            return _listener(netns, ANY_V6, port, config, spoofing=spoofing)
        except OSError as error:
            if error.errno not in _NO_IPV6:
                raise _not_listening(port, error) from error
    try:
        return _listener(netns, ANY_V4, port, config, spoofing=spoofing)
    except OSError as error:
        raise _not_listening(port, error) from error


def _not_listening(port: int, error: OSError) -> ListenFailedError:
    return ListenFailedError(
        (f"cannot listen on port {port} in the pod: {error.strerror}; free the port there",)
    )


def _listener(netns: int, host: str, port: int, config: Config, *, spoofing: bool) -> Listener:
    family = socket.AF_INET6 if host == ANY_V6 else socket.AF_INET
    listener = socket_in(netns, family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if config.inpod_port_reuse:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        mark(listener, config)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        transparent = spoofing and _become_transparent(listener, family, config)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return Listener(port, listener, transparent)


def _become_transparent(listener: socket.socket, family: int, config: Config) -> bool:
    """Whether it worked; ENABLE_ORIG_SRC makes it a must, a must not, or (unset) a wish."""
    demanded = config.enable_orig_src
    if demanded is False:
        return False
    try:
        make_transparent(listener, family)
    except OSError as error:
        if demanded:
            raise
        log.warning("applications will see the proxy's address: %s", error.strerror)
        return False
    return True


def make_transparent(endpoint: socket.socket, family: int) -> None:
    """Allow addresses that are not ours: the peer's, when we dial the application for it."""
    if family == socket.AF_INET6:
        endpoint.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
    endpoint.setsockopt(socket.SOL_IP, _IP_TRANSPARENT, 1)


def mark(endpoint: socket.socket, config: Config) -> None:
    """Set the mark that keeps the pod's rules from capturing our own packets."""
    if config.packet_mark is not None:
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, config.packet_mark)


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
