"""The network of a lab: a bridge in a namespace of its own, with everything else on it.

```
 node-1 --- node-2 --- control --- external        each a namespace, its eth0 a cable to the bridge
   | |        |
  pod pod    pod                                   each a namespace, its eth0 a cable to its node
```

A node routes: its pods' addresses are single ones behind their cables, other nodes' pods are behind
those nodes. The machine's own namespace has no part in it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mesh.runtime.netlink_wiring import Wiring, set_kernel, wire
from mesh.runtime.netns import create_netns, open_netns, remove_netns
from sluice.lab.addresses import (
    CONTROL,
    EXTERNAL,
    FABRIC_V4_BITS,
    FABRIC_V6_BITS,
    POD_GATEWAY_V6,
    SERVICES_V4,
    SERVICES_V6,
    Pair,
    node_address,
    pod_gateway,
    pod_networks,
)
from sluice.lab.home import NETNS, Home

FABRIC: Final = "fabric"
CONTROL_PLACE: Final = "control"
EXTERNAL_PLACE: Final = "external"
_BRIDGE: Final = "br0"
POD_LINK: Final = "eth0"
_AT_ONCE: Final = {"ipv6/conf/all/accept_dad": "0", "ipv6/conf/default/accept_dad": "0"}
"""No waiting for duplicates: every address here is one that we have given."""

_ROUTER: Final = {
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/forwarding": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
}


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor of a namespace, closed at the end."""
    netns = open_netns(path)
    try:
        yield netns
    finally:
        os.close(netns)


def in_place(path: Path, work: Callable[[Wiring], None]) -> None:
    """Run something with the links of a namespace; blocks."""
    with opened(path) as netns:
        wire(netns, work)


def build_fabric(home: Home, nodes: list[str]) -> None:
    """Make the namespaces of a lab, and join them; blocks for some tens of milliseconds.

    Raises:
        OSError: no right, or something is there already.
        WiringError: the kernel refuses something.
    """
    NETNS.mkdir(parents=True, exist_ok=True)
    addresses = {CONTROL_PLACE: CONTROL, EXTERNAL_PLACE: EXTERNAL}
    addresses |= {node: node_address(node) for node in nodes}
    for place in (FABRIC, *addresses):
        create_netns(home.netns(place))
        with opened(home.netns(place)) as netns:
            set_kernel(netns, _AT_ONCE)
    in_place(home.netns(FABRIC), lambda wiring: _lay_cables(wiring, home, list(addresses)))
    for place, address in addresses.items():
        others = [node for node in nodes if node != place]
        _configure(home.netns(place), address, others)
    for node in nodes:
        _make_router(home.netns(node), node)


def _lay_cables(wiring: Wiring, home: Home, places: list[str]) -> None:
    wiring.bridge(_BRIDGE)
    for place in places:
        with opened(home.netns(place)) as netns:
            wiring.veth(place, POD_LINK, netns, bridge=_BRIDGE)


def _configure(path: Path, address: Pair, nodes: list[str]) -> None:
    def work(wiring: Wiring) -> None:
        wiring.up("lo")
        wiring.up(POD_LINK)
        wiring.address(POD_LINK, f"{address.v4}/{FABRIC_V4_BITS}")
        wiring.address(POD_LINK, f"{address.v6}/{FABRIC_V6_BITS}")
        for node in nodes:
            networks, via = pod_networks(node), node_address(node)
            wiring.route(networks.v4, via=via.v4, link=POD_LINK)
            wiring.route(networks.v6, via=via.v6, link=POD_LINK)

    in_place(path, work)


def _make_router(path: Path, node: str) -> None:
    def work(wiring: Wiring) -> None:
        # A pod asks for its gateway on its own cable; the node answers for any address it has.
        wiring.address("lo", f"{pod_gateway(node)}/32")
        # Somewhere to go before the rules of kube-proxy say where.
        wiring.route(SERVICES_V4, link=POD_LINK)
        wiring.route(SERVICES_V6, link=POD_LINK)

    with opened(path) as netns:
        set_kernel(netns, _ROUTER)
    in_place(path, work)


def add_pod(home: Home, place: str, node: str, address: Pair, link: str) -> None:
    """Make a pod's namespace, with a cable to its node; blocks for some milliseconds.

    Args:
        home: of the lab.
        place: the pod's namespace.
        node: where the pod runs.
        address: the pod's.
        link: the node's end of the cable.

    Raises:
        OSError: no right, or something is there already.
        WiringError: the kernel refuses something.
    """
    create_netns(home.netns(place))
    with opened(home.netns(place)) as netns:
        set_kernel(netns, _AT_ONCE)

        def on_node(wiring: Wiring) -> None:
            wiring.veth(link, POD_LINK, netns)
            wiring.address(link, f"{POD_GATEWAY_V6}/64")
            wiring.route(f"{address.v4}/32", link=link)
            wiring.route(f"{address.v6}/128", link=link)

        def in_pod(wiring: Wiring) -> None:
            gateway = pod_gateway(node)
            wiring.up("lo")
            wiring.up(POD_LINK)
            wiring.address(POD_LINK, f"{address.v4}/32")
            wiring.address(POD_LINK, f"{address.v6}/128")
            wiring.route(f"{gateway}/32", link=POD_LINK)
            wiring.route("0.0.0.0/0", via=gateway, link=POD_LINK)
            wiring.route("::/0", via=POD_GATEWAY_V6, link=POD_LINK)

        in_place(home.netns(node), on_node)
        wire(netns, in_pod)


def remove_pod(home: Home, place: str, node: str, link: str) -> None:
    """Take a pod's cable and namespace away; what is gone already is fine."""
    if home.netns(node).exists():
        in_place(home.netns(node), lambda wiring: wiring.remove(link))
    remove_netns(home.netns(place))
