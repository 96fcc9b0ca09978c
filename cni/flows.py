"""Which of a pod's TCP connections are whose: a decider over what the kernel tells.

1. An earlier connection was open before its pod was captured: it goes on outside the mesh.
2. A proxied connection has the application at one end and the node proxy at the other.
"""

from collections.abc import Iterable

from mesh.model.names import MARK_MASK, PACKET_MARK
from mesh.runtime.netlink_sockets import Connection


def is_proxys(found: Connection) -> bool:
    """Whether a socket is the node proxy's, by its mark."""
    return found.mark & MARK_MASK == PACKET_MARK


def outside(found: Iterable[Connection]) -> tuple[Connection, ...]:
    """The application's connections with somebody outside the pod."""
    return tuple(
        each
        for each in found
        if not (each.is_listening or is_proxys(each) or each.local.ip == each.remote.ip)
    )


def proxied(found: tuple[Connection, ...]) -> int:
    """How many of the application's connections end at the node proxy."""
    application = {each.local for each in found if not (each.is_listening or is_proxys(each))}
    return sum(
        is_proxys(each) and not each.is_listening and each.remote in application for each in found
    )


def inbound_ports(found: Iterable[Connection]) -> frozenset[int]:
    """The ports on which the application listens."""
    return frozenset(each.local.port for each in found if each.is_listening and not is_proxys(each))
