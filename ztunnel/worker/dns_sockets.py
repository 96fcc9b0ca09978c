"""The sockets on which a pod's DNS queries arrive."""

import errno
import os
import socket
from dataclasses import dataclass
from typing import Final

from mesh.model.names import DNS_PORT
from mesh.runtime.netns import socket_in
from mesh.runtime.worker import sockets
from mesh.runtime.worker.sockets import ListenFailedError
from ztunnel.config import Config

_LOOPBACK: Final = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_BACKLOG: Final = 128


@dataclass(frozen=True, slots=True, eq=False)
class DnsSockets:
    """Bound, and its owner's to close."""

    datagrams: tuple[socket.socket, ...]
    listeners: tuple[socket.socket, ...]

    def close(self) -> None:
        """Close all of them. Twice is fine."""
        for each in (*self.datagrams, *self.listeners):
            each.close()


NO_DNS: Final = DnsSockets((), ())


def listen_dns(netns: int, config: Config) -> DnsSockets:
    """Bind UDP and TCP at a pod's loopback addresses, as far as it has them.

    Raises:
        ListenFailedError: the port is taken by somebody else, or a right is missing.
        NetnsGoneError: the descriptor is no network namespace.
    """
    made: dict[int, list[socket.socket]] = {socket.SOCK_DGRAM: [], socket.SOCK_STREAM: []}
    try:
        for family, host in _LOOPBACK.items():
            if family == socket.AF_INET6 and not config.ipv6_enabled:
                continue
            for kind, bound in made.items():
                try:
                    bound.append(_bind(netns, family, kind, host, config))
                except OSError as error:
                    if family != socket.AF_INET6 or error.errno not in _NO_IPV6:
                        raise _taken(error) from error
    except BaseException:
        for each in (*made[socket.SOCK_DGRAM], *made[socket.SOCK_STREAM]):
            each.close()
        raise
    return DnsSockets(tuple(made[socket.SOCK_DGRAM]), tuple(made[socket.SOCK_STREAM]))


def _bind(netns: int, family: int, kind: int, host: str, config: Config) -> socket.socket:
    bound = socket_in(netns, family, kind)
    try:
        if config.inpod_port_reuse:
            sockets.share_port(bound)
        if kind == socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sockets.mark(bound, config.packet_mark)
        bound.bind((host, DNS_PORT))
        if kind == socket.SOCK_STREAM:
            bound.listen(_BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _taken(error: OSError) -> ListenFailedError:
    reason = error.strerror or os.strerror(error.errno or 0)
    return ListenFailedError(
        (f"cannot listen on port {DNS_PORT} in the pod: {reason}; free the port there",)
    )
