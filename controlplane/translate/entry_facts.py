"""What a ServiceEntry and a WorkloadEntry say by themselves, beside what a Service says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from mesh.model.address import Ip
from mesh.model.kubernetes import ObjectKey
from mesh.model.workload import NO_LOCALITY, Locality, Workload


class Resolution(Enum):
    """How the endpoints of a ServiceEntry are found."""

    NONE = "NONE"
    """Whatever address was called is called."""
    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceFacts:
    """Where something outside the cluster is: a WorkloadEntry's spec, or an inline endpoint."""

    text: str
    """Its address as it is written; empty: it is reached by the gateway of its network."""
    addresses: tuple[Ip, ...] = ()
    hostname: str = ""
    network: str = ""
    """Empty: the cluster's own."""
    account: str = ""
    locality: Locality = NO_LOCALITY
    capacity: int = 1
    ports: Mapping[str, int] = field(default_factory=dict)
    """By the name of a service port, what serves it there."""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """A WorkloadEntry."""

    key: ObjectKey
    labels: Mapping[str, str]
    """Those of its metadata and of its spec."""
    place: PlaceFacts
    workload: Workload
    """As far as the entry alone says it."""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFacts:
    """What a ServiceEntry says that no Service says."""

    hosts: tuple[str, ...]
    ranges: tuple[tuple[Ip, int | None], ...]
    """Addresses, some with a prefix length."""
    resolution: Resolution
    places: tuple[PlaceFacts, ...]
    """Its inline endpoints."""
    workload: Workload
    """What its endpoints have in common."""
    created: str
    """For whom of several comes first."""
    is_by_name: bool
    """Whether each host is reached at what its own name means: it has no other endpoints."""
    wants_addresses: bool
    """Whether it is given addresses of our own choice."""
    kept: tuple[tuple[str, Ip], ...] = ()
    """By host, those that its status says that it has been given."""
