"""Which rules put a pod's connections into its node proxy, as values.

1. One model; a renderer for each firewall (`iptables`) turns it into text.
2. The rules are Istio's, rule for rule, so that either side's agent can follow the other's.
3. A marked packet is the proxy's own: it is not captured again. A marked connection runs from the
   proxy to the application with the client's address as its source: the application's answers get
   the mark back, and a route of their own (`mesh/runtime/netlink.py`) brings them to the proxy.
4. Only TCP is captured, and DNS where that is wanted. Nothing within the pod is: not loopback, not
   the pod's own address.
5. The proxy's own DNS queries are tracked apart (a zone of their own): the application may have one
   open from the same port to the same server, whose answer is not that of ours.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from mesh.model.names import (
    CONNECTION_MARK,
    DNS_PORT,
    HBONE_PORT,
    INBOUND_PLAINTEXT_PORT,
    MARK_MASK,
    OUTBOUND_PORT,
    PACKET_MARK,
    PROBE_SOURCE_V4,
    PROBE_SOURCE_V6,
)

LOOPBACK_LINK: Final = "lo"
DNS_SERVER_PORT: Final = 53
OWN_QUERIES_ZONE: Final = 1


class Family(Enum):
    """The addresses that the rules of one IP version name, as prefixes."""

    V4 = ("127.0.0.1/32", f"{PROBE_SOURCE_V4}/32")
    V6 = ("::1/128", f"{PROBE_SOURCE_V6}/128")

    def __init__(self, loopback: str, probe_source: str) -> None:
        self.loopback = loopback
        self.probe_source = probe_source


class Table(Enum):
    """The sets of rules, in the order in which they are written."""

    MANGLE = "mangle"
    NAT = "nat"
    RAW = "raw"


class Chain(Enum):
    """Where packets pass: on arrival from a link, and on their way out of a local socket."""

    ARRIVING = ("PREROUTING", "ISTIO_PRERT")
    LEAVING = ("OUTPUT", "ISTIO_OUTPUT")

    def __init__(self, hook: str, own: str) -> None:
        self.hook = hook
        self.own = own


@dataclass(frozen=True, slots=True)
class Mark:
    """Some bits of a packet's or connection's mark."""

    value: int
    mask: int = MARK_MASK


PROXYS: Final = Mark(PACKET_MARK)
"""On packets of the proxy's sockets."""
ANSWERED: Final = Mark(CONNECTION_MARK)
"""On connections whose answers must come back to the proxy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which packets a rule means: those for which everything that is given holds."""

    is_tcp: bool = False
    is_udp: bool = False
    source: str = ""
    destination: str = ""
    destination_not: str = ""
    in_link: str = ""
    out_link: str = ""
    out_link_not: str = ""
    port: int = 0
    port_not: int = 0
    source_port: int = 0
    mark: Mark | None = None
    mark_not: Mark | None = None
    connection_mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Accept:
    """Let it pass as it is."""


@dataclass(frozen=True, slots=True)
class Return:
    """Look no further in this chain."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Give it to a port of this namespace; the socket can ask for the original destination."""

    port: int


@dataclass(frozen=True, slots=True)
class MarkConnection:
    """Mark the packet's connection."""

    mark: Mark


@dataclass(frozen=True, slots=True)
class RestoreMark:
    """Give the packet its connection's mark."""


@dataclass(frozen=True, slots=True)
class TrackApart:
    """Track its connection in a zone of its own."""

    zone: int


Target = Accept | Return | Redirect | MarkConnection | RestoreMark | TrackApart


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; those of a table and chain hold in their order."""

    table: Table
    chain: Chain
    match: Match
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """What of a pod's traffic is captured.

    `virtual_links` are links of machines nested in the pod: what arrives there is outbound.
    """

    inbound: bool = True
    virtual_links: tuple[str, ...] = ()
    dns: bool = False


def capture_rules(capture: Capture, family: Family) -> tuple[Rule, ...]:
    """All rules of an enrolled pod, for one family."""
    return (
        *answer_rules(),
        *_arriving(capture, family),
        *_leaving(capture, family),
        *(_own_queries() if capture.dns else ()),
    )


def answer_rules() -> tuple[Rule, ...]:
    """What connections from the proxy to the application need as long as they live.

    These alone capture nothing: they stay while a pod that was freed has such connections.
    """
    mangle = Table.MANGLE
    return (
        Rule(mangle, Chain.ARRIVING, Match(mark=PROXYS), MarkConnection(ANSWERED)),
        Rule(mangle, Chain.LEAVING, Match(connection_mark=ANSWERED), RestoreMark()),
    )


def _arriving(capture: Capture, family: Family) -> list[Rule]:
    matches: list[tuple[Match, Target]] = []
    for link in capture.virtual_links:
        nested = Match(is_tcp=True, in_link=link)
        matches += [(nested, Redirect(OUTBOUND_PORT)), (nested, Return())]
    if capture.inbound:
        captured = Match(
            is_tcp=True,
            destination_not=family.loopback,
            port_not=HBONE_PORT,
            mark_not=PROXYS,
        )
        matches += [
            (Match(is_tcp=True, source=family.probe_source), Accept()),
            (captured, Redirect(INBOUND_PLAINTEXT_PORT)),
        ]
    return [Rule(Table.NAT, Chain.ARRIVING, match, target) for match, target in matches]


def _own_queries() -> tuple[Rule, ...]:
    asked = Match(is_udp=True, mark=PROXYS, port=DNS_SERVER_PORT)
    answered = Match(is_udp=True, mark_not=PROXYS, source_port=DNS_SERVER_PORT)
    apart = TrackApart(OWN_QUERIES_ZONE)
    return (
        Rule(Table.RAW, Chain.ARRIVING, answered, apart),
        Rule(Table.RAW, Chain.LEAVING, asked, apart),
    )


def _leaving(capture: Capture, family: Family) -> list[Rule]:
    captured = Match(is_tcp=True, destination_not=family.loopback, mark_not=PROXYS)
    own_address = Match(destination_not=family.loopback, out_link=LOOPBACK_LINK)
    matches: list[tuple[Match, Target]] = [
        (Match(is_tcp=True, destination=family.probe_source), Accept()),
        *(_queries(family) if capture.dns else ()),
        (Match(is_tcp=True, mark=ANSWERED), Accept()),
        (own_address, Accept()),
        (captured, Redirect(OUTBOUND_PORT)),
    ]
    return [Rule(Table.NAT, Chain.LEAVING, match, target) for match, target in matches]


def _queries(family: Family) -> tuple[tuple[Match, Target], ...]:
    datagrams = Match(
        is_udp=True, out_link_not=LOOPBACK_LINK, mark_not=PROXYS, port=DNS_SERVER_PORT
    )
    streams = Match(
        is_tcp=True, destination_not=family.loopback, mark_not=PROXYS, port=DNS_SERVER_PORT
    )
    return ((datagrams, Redirect(DNS_PORT)), (streams, Redirect(DNS_PORT)))
