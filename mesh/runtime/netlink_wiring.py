"""Links, addresses and routes between namespaces: what joins the nodes and pods of a lab.

1. A netlink socket belongs to the namespace in which it was made, and pyroute2 makes one for each
   thread: `wiring` enters, works and leaves within one throwaway thread, and nothing of it escapes.
2. Everything is usable when the call returns: duplicate address detection is off.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Final, Protocol, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from mesh.errors import UnavailableError
from mesh.runtime.netns import enter, in_throwaway_thread

_NO_DAD: Final = 0x02
_AF_INET: Final = 2
_AF_INET6: Final = 10
_SCOPE_LINK: Final = 253
OutcomeT = TypeVar("OutcomeT")


class WiringError(UnavailableError):
    """The kernel refuses a link, an address or a route."""

    code = "wiring_refused"

    def __init__(self, reason: str) -> None:
        """Keep the kernel's reason."""
        super().__init__(f"network of a namespace: {reason}")
        self.reason = reason


class _Route(Protocol):
    """What is used of pyroute2's IPRoute, which has no types."""

    def link_lookup(self, **match: str) -> list[int]: ...
    def link(self, command: str, **words: object) -> object: ...
    def addr(self, command: str, **words: object) -> object: ...
    def route(self, command: str, **words: object) -> object: ...


class Wiring:
    """The links of the namespace in which the calling thread is. Made by `wire` only."""

    def __init__(self, route: _Route) -> None:
        self._route = route

    def _index(self, name: str) -> int:
        found = self._route.link_lookup(ifname=name)
        if not found:
            raise WiringError(f"no link {name}")
        return found[0]

    def up(self, name: str) -> None:
        """Switch a link on."""
        self._route.link("set", index=self._index(name), state="up")

    def bridge(self, name: str) -> None:
        """Make a bridge, switched on."""
        self._route.link("add", ifname=name, kind="bridge", state="up")

    def veth(self, name: str, peer: str, peer_netns: int, *, bridge: str | None = None) -> None:
        """Make a cable: this end is switched on, the other is `peer` in another namespace.

        Args:
            name: of this end, at most 15 octets.
            peer: of the other end.
            peer_netns: a descriptor.
            bridge: whose port this end becomes.
        """
        extra = {} if bridge is None else {"master": self._index(bridge)}
        other = {"ifname": peer, "net_ns_fd": peer_netns}
        self._route.link("add", ifname=name, kind="veth", state="up", peer=other, **extra)

    def remove(self, name: str) -> None:
        """Take a link away, and a veth's other end with it; no such link is fine."""
        for index in self._route.link_lookup(ifname=name):
            self._route.link("del", index=index)

    def address(self, name: str, address: str) -> None:
        """Give a link an address with its prefix (`10.0.0.1/24`)."""
        interface = ip_interface(address)
        family = _AF_INET if interface.version == 4 else _AF_INET6
        self._route.addr(
            "add",
            index=self._index(name),
            family=family,
            address=str(interface.ip),
            prefixlen=interface.network.prefixlen,
            flags=0 if family == _AF_INET else _NO_DAD,
        )

    def route(self, target: str, *, via: str | None = None, link: str) -> None:
        """Send what goes to a network over a link, through a gateway or straight."""
        network = ip_network(target)
        words: dict[str, object] = {"dst": str(network), "oif": self._index(link)}
        if via is not None:
            words["gateway"] = via
        elif network.version == 4:
            words["scope"] = _SCOPE_LINK
        self._route.route(
            "replace", family=_AF_INET if network.version == 4 else _AF_INET6, **words
        )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        raise WiringError(str(error)) from error


def wire(netns: int, work: Callable[[Wiring], OutcomeT]) -> OutcomeT:
    """Run something with the links of a namespace; blocks for some milliseconds.

    Raises:
        NetnsGoneError: the descriptor is no network namespace.
        WiringError: the kernel refused something; what was done before it stays.
    """

    def run() -> OutcomeT:
        enter(netns)
        with _translated(), IPRoute() as route:
            return work(Wiring(route))

    return in_throwaway_thread(run)


def set_kernel(netns: int, settings: dict[str, str]) -> None:
    """Write settings below /proc/sys/net of a namespace (`ipv4/ip_forward`).

    Raises:
        WiringError: a setting that this kernel does not have, or no right.
    """

    def run() -> None:
        enter(netns)
        for name, value in settings.items():
            try:
                Path("/proc/sys/net", name).write_text(value)
            except OSError as error:
                raise WiringError(f"setting net/{name}: {error.strerror}") from error

    in_throwaway_thread(run)
