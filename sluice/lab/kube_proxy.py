"""What kube-proxy does: connections to a service's address go to one of its endpoints.

One nftables table for each node, replaced as a whole whenever it changes. Pods outside the mesh,
the node itself and all UDP need it; for the TCP of pods in the mesh their node proxy does it.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import trio

from mesh.model.kubernetes import KubernetesObject
from sluice.lab.addresses import SERVICES_V4, SERVICES_V6
from sluice.lab.errors import PodRefusedError
from sluice.lab.home import Home
from sluice.lab.objects import Objects
from sluice.lab.service_addresses import cluster_ips
from sluice.lab.slices import SERVICE_LABEL
from sluice.lab.spawn import run_in
from sluice.lab.store import Store

TABLE: Final = "sluice-proxy"
_VARIABLES: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_AGAIN_S: Final = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Front:
    """One port of one address of a service."""

    ip: str
    protocol: str
    port: int

    @property
    def family(self) -> str:
        """`4` or `6`."""
        return "6" if ":" in self.ip else "4"

    @property
    def chain(self) -> str:
        """The name of its chain."""
        return f"to-{self.ip.replace(':', '-').replace('.', '-')}-{self.protocol}-{self.port}"


@dataclass(frozen=True, slots=True, order=True)
class Back:
    """One endpoint of a service's port."""

    ip: str
    port: int


def fronts(objects: Objects, node: str) -> dict[Front, list[Back]]:
    """Every service port with the endpoints that a node may use for it.

    A service whose `internalTrafficPolicy` is Local has only endpoints of the node itself.
    """
    slices: dict[tuple[str, str], list[KubernetesObject]] = {}
    for each in objects.of("EndpointSlice"):
        name = each.labels.get(SERVICE_LABEL, "")
        slices.setdefault((each.key.namespace, name), []).append(each)
    found: dict[Front, list[Back]] = {}
    for service in objects.of("Service"):
        own = slices.get((service.key.namespace, service.key.name), [])
        local = service.at("spec").text("internalTrafficPolicy") == "Local"
        for ip in cluster_ips(service):
            for port in service.at("spec").parts("ports"):
                protocol = port.text("protocol", "TCP").lower()
                front = Front(ip, protocol, port.number("port"))
                backs = _backs(own, port.text("name"), protocol, node if local else "")
                found[front] = sorted(b for b in backs if (":" in b.ip) == (front.family == "6"))
    return found


def _backs(
    slices: Iterable[KubernetesObject], name: str, protocol: str, node: str
) -> Iterator[Back]:
    for each in slices:
        numbers = [
            port.number("port")
            for port in each.root.parts("ports")
            if port.text("name") == name and port.text("protocol", "TCP").lower() == protocol
        ]
        for endpoint in each.root.parts("endpoints"):
            is_elsewhere = bool(node) and endpoint.text("nodeName") != node
            if is_elsewhere or not endpoint.at("conditions").flag("ready", default=True):
                continue
            for ip in endpoint.texts("addresses"):
                yield from (Back(ip, number) for number in numbers)


def rules(found: Mapping[Front, list[Back]]) -> str:
    """The node's table as nft reads it, replacing the one that is there."""
    lines = [f"table inet {TABLE}", f"delete table inet {TABLE}", f"table inet {TABLE} {{"]
    served = {front: backs for front, backs in found.items() if backs}
    for family in "46":
        lines += _tables_of_family(family, served)
    for front, backs in served.items():
        lines += [f"chain {front.chain} {{", f"  {_choice(front, backs)}", "}"]
    lines += _HOOKS
    return "\n".join([*lines, "}", ""])


def _tables_of_family(family: str, served: Mapping[Front, list[Back]]) -> list[str]:
    own = {front: backs for front, backs in served.items() if front.family == family}
    chosen = [f"{f.ip} . {f.protocol} . {f.port} : goto {f.chain}" for f in own]
    to_itself = {f"{b.ip} . {b.ip}" for backs in own.values() for b in backs}
    kind = f"ipv{family}_addr"
    return [
        f"map services{family} {{",
        f"  type {kind} . inet_proto . inet_service : verdict",
        *([f"  elements = {{ {', '.join(chosen)} }}"] if chosen else []),
        "}",
        f"set itself{family} {{",
        f"  type {kind} . {kind}",
        *([f"  elements = {{ {', '.join(sorted(to_itself))} }}"] if to_itself else []),
        "}",
    ]


def _choice(front: Front, backs: list[Back]) -> str:
    family = "ip6" if front.family == "6" else "ip"
    targets = ", ".join(f"{n} : {back.ip} . {back.port}" for n, back in enumerate(backs))
    match = f"meta l4proto {front.protocol} dnat {family} to"
    return f"{match} numgen random mod {len(backs)} map {{ {targets} }}"


# A connection that a pod makes to itself by its service would be answered past the node: hence the
# node's address as its source. What no rule sent anywhere has no endpoint, and is refused at once.
_FIND: Final = """\
  ip daddr . meta l4proto . th dport vmap @services4
  ip6 daddr . meta l4proto . th dport vmap @services6"""
_REFUSE: Final = f"""\
  ip daddr {SERVICES_V4} meta l4proto tcp reject with tcp reset
  ip6 daddr {SERVICES_V6} meta l4proto tcp reject with tcp reset
  ip daddr {SERVICES_V4} reject
  ip6 daddr {SERVICES_V6} reject"""
_HOOKS: Final = f"""\
chain arriving {{
  type nat hook prerouting priority dstnat
{_FIND}
}}
chain own {{
  type nat hook output priority -100
{_FIND}
}}
chain leaving {{
  type nat hook postrouting priority srcnat
  ip saddr . ip daddr @itself4 masquerade
  ip6 saddr . ip6 daddr @itself6 masquerade
}}
chain unknown {{
  type filter hook forward priority filter
{_REFUSE}
}}
chain own-unknown {{
  type filter hook output priority filter
{_REFUSE}
}}""".splitlines()


async def follow(home: Home, store: Store, node: str) -> None:
    """Keep a node's table as the store says, for ever.

    Cancellation: the table stays as it is.
    """
    applied = ""
    while True:
        seen = store.changed.count
        wanted = rules(fronts(store.objects, node))
        if wanted != applied:
            try:
                await apply(home, node, wanted)
                applied = wanted
            except PodRefusedError as error:
                log.warning("services of %s: %s", node, error)
                await trio.sleep(_AGAIN_S)
                continue
        await store.changed.wait_past(seen)


async def check(home: Home, node: str) -> None:
    """Try everything that a table may need on a node, and leave it empty.

    Raises:
        PodRefusedError: no nft, or a kernel without what it needs; says what.

    Cancellation: a table may stay.
    """
    one, two = Back("10.244.1.1", 1), Back("10.244.1.2", 1)
    six = Back("fd00:10:244:1::1", 1)
    tried = {Front("10.96.0.1", "tcp", 1): [one, two], Front("fd00:10:96::1", "udp", 1): [six]}
    await apply(home, node, rules(tried))
    await apply(home, node, rules({}))


async def apply(home: Home, node: str, wanted: str) -> None:
    """Replace a node's table.

    Raises:
        PodRefusedError: no nft, or a kernel without what it needs.

    Cancellation: the table may be the new one or the old one, nothing between.
    """
    netns = home.netns(node)
    code, _, err = await run_in(netns, ("nft", "-f", "-"), _VARIABLES, wanted.encode())
    if code:
        raise PodRefusedError(f"nft: {err.decode(errors='replace').strip()[:300]}")
