"""Which of a pod's TCP connections are whose: a decider over what the kernel tells.

1. A proxied connection has the application at one end and the node proxy at the other, both in the
   pod. Inbound, the proxy's socket is the application's turned round: it speaks from the client's
   address. Outbound, the application's socket ends at the proxy's redirect port.
2. Any other connection with somebody outside the pod goes by no proxy: one from before the capture.
"""

from collections.abc import Iterable

from mesh.model.names import MARK_MASK, OUTBOUND_PORT, PACKET_MARK
from mesh.runtime.netlink_sockets import Connection


def is_proxys(found: Connection) -> bool:
    """Whether a socket is the node proxy's, by its mark."""
    return found.mark & MARK_MASK == PACKET_MARK


def proxied(found: Iterable[Connection]) -> tuple[Connection, ...]:
    """The application's ends of the connections that the node proxy carries."""
    return _application(found, is_proxied=True)


def unproxied(found: Iterable[Connection]) -> tuple[Connection, ...]:
    """The application's ends of the connections with others that go by no proxy."""
    outside = _application(found, is_proxied=False)
    return tuple(each for each in outside if each.local.ip != each.remote.ip)


def _application(found: Iterable[Connection], *, is_proxied: bool) -> tuple[Connection, ...]:
    ends = [each for each in found if not each.is_listening]
    proxys = [each for each in ends if is_proxys(each)]
    inbound = {(each.remote, each.local) for each in proxys}
    outbound = {each.remote for each in proxys if each.local.port == OUTBOUND_PORT}
    return tuple(
        each
        for each in ends
        if not is_proxys(each)
        and ((each.local, each.remote) in inbound or each.local in outbound) is is_proxied
    )


def inbound_ports(found: Iterable[Connection]) -> frozenset[int]:
    """The ports on which the application listens."""
    return frozenset(each.local.port for each in found if each.is_listening and not is_proxys(each))
