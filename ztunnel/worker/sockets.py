"""Sockets in a pod's network namespace: listening, and where a redirected connection was going.

Numbers that Python's socket module lacks are from linux/netfilter_ipv4.h.
"""

import logging
import socket
import struct
from dataclasses import dataclass
from typing import Final

from mesh.model.address import SocketAddress, ip_from_bytes
from mesh.runtime.worker import sockets
from mesh.runtime.worker.sockets import address_of
from ztunnel.config import Config

_SO_ORIGINAL_DST: Final = 80
_SOCKADDR_IN: Final = struct.Struct("!2xH4s8x")
_SOCKADDR_IN6: Final = struct.Struct("!2xH4x16s4x")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Listener:
    """A listening socket for all addresses of a pod."""

    port: int
    socket: socket.socket
    transparent: bool
    """Whether we may answer, and dial, from addresses that are not ours."""


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

    Args:
        netns: The pod.
        port: One of the proxy's own.
        config: The settings.
        spoofing: Whether the listener should be transparent, so that what it accepts may be
            carried on from the peer's own address.

    Raises:
        ListenFailedError: the port is taken by somebody else, or a right is missing.
    """
    transparent = False

    def prepare(listener: socket.socket) -> None:
        nonlocal transparent
        if config.inpod_port_reuse:
            sockets.share_port(listener)
        sockets.mark(listener, config.packet_mark)
        transparent = spoofing and _become_transparent(listener, config)

    listener = sockets.listen(netns, port, ipv6=config.ipv6_enabled, prepare=prepare)
    return Listener(port, listener, transparent)


def _become_transparent(listener: socket.socket, config: Config) -> bool:
    """Whether it worked; ENABLE_ORIG_SRC makes it a must, a must not, or (unset) a wish."""
    demanded = config.enable_orig_src
    if demanded is False:
        return False
    try:
        sockets.make_transparent(listener)
    except OSError as error:
        if demanded:
            raise
        log.warning("applications will see the proxy's address: %s", error.strerror)
        return False
    return True
