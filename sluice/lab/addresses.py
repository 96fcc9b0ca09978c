"""Which address everything has. Each lab has the same: its namespaces are its own.

```
172.30.0.N     fd00:172:30::N     node N           10.244.N.0/24  fd00:10:244:N::/64   its pods
172.30.1.1     fd00:172:30::1:1   control plane    10.96.0.0/16   fd00:10:96::/112     services
172.30.1.2     fd00:172:30::1:2   external client
```
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MAX_NODES: Final = 200
SERVICES_V4: Final = "10.96.0.0/16"
SERVICES_V6: Final = "fd00:10:96::/112"
DNS_SERVICE: Final = "10.96.0.10"
FABRIC_V4_BITS: Final = 16
FABRIC_V6_BITS: Final = 64
POD_GATEWAY_V6: Final = "fe80::1"
_FIRST_SERVICE: Final = 256
_LAST_OF_NODE: Final = 254


@dataclass(frozen=True, slots=True)
class Pair:
    """An IPv4 address with its IPv6 twin."""

    v4: str
    v6: str


CONTROL: Final = Pair("172.30.1.1", "fd00:172:30::1:1")
EXTERNAL: Final = Pair("172.30.1.2", "fd00:172:30::1:2")


def node_name(number: int) -> str:
    """The name of node N (from 1)."""
    return f"node-{number}"


def node_number(name: str) -> int:
    """N of a node's name."""
    return int(name.removeprefix("node-"))


def node_address(name: str) -> Pair:
    """A node's own addresses."""
    number = node_number(name)
    return Pair(f"172.30.0.{number}", f"fd00:172:30::{number:x}")


def pod_networks(node: str) -> Pair:
    """The networks of a node's pods."""
    number = node_number(node)
    return Pair(f"10.244.{number}.0/24", f"fd00:10:244:{number:x}::/64")


def pod_gateway(node: str) -> str:
    """The IPv4 address by which a node's pods leave."""
    return f"10.244.{node_number(node)}.1"


def pod_address(node: str, taken: Iterable[str], after: int = 1) -> Pair | None:
    """A free address pair on a node; None when all are taken.

    Args:
        node: where.
        taken: the IPv4 addresses in use.
        after: the last octet that was given out most recently: an address rests as long as it can.
    """
    number = node_number(node)
    used = set(taken)
    usable = range(2, _LAST_OF_NODE + 1)
    for last in [*usable[after - 1 :], *usable[: after - 1]]:
        v4 = f"10.244.{number}.{last}"
        if v4 not in used:
            return Pair(v4, f"fd00:10:244:{number:x}::{last:x}")
    return None


def service_address(taken: Iterable[str]) -> Pair | None:
    """A free pair of cluster addresses; None when all are taken."""
    used = set(taken)
    for number in range(_FIRST_SERVICE, 0xFFFF):
        pair = Pair(f"10.96.{number >> 8}.{number & 0xFF}", f"fd00:10:96::{number:x}")
        if pair.v4 not in used and pair.v6 not in used:
            return pair
    return None
