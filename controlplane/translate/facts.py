"""What one object says by itself, whatever the others say: the first half of a translation.

Strings that come again and again are interned: the values of a large mesh share them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh.model.address import Ip
from mesh.model.fields import Part
from mesh.model.kubernetes import ObjectKey
from mesh.model.policy import Authorization
from mesh.model.workload import (
    LoadBalancing,
    Locality,
    Port,
    Service,
    Workload,
)
from mesh.policy.peer_authentication import PeerAuthentication

NO_LABELS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class NamespaceFacts:
    """A namespace."""

    key: ObjectKey
    labels: Mapping[str, str]
    balancing: LoadBalancing | None
    """What its services inherit; None: it says nothing."""

    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node."""

    key: ObjectKey
    locality: Locality
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A port that a pod gives a name."""

    name: str
    protocol: str
    number: int


@dataclass(frozen=True, slots=True)
class PodFacts:
    """A pod; without a workload when it has no address (yet), or has ended."""

    key: ObjectKey
    uid: str
    labels: Mapping[str, str]
    node: str
    named_ports: tuple[ContainerPort, ...]
    workload: Workload | None
    """As far as the pod alone says it."""

    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A service port; a named target is found in each pod."""

    name: str
    protocol: str
    number: int
    target: int
    target_name: str


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """A service; without a value when it is an ExternalName."""

    key: ObjectKey
    labels: Mapping[str, str]
    selector: Mapping[str, str]
    ports: tuple[ServicePort, ...]
    fixed_ports: tuple[Port, ...] | None
    """What every pod of it serves; None: a target has a name, and each pod must be asked."""

    addresses: tuple[Ip, ...]
    balancing: LoadBalancing | None
    """Its own preference; None: it says nothing, and the namespace may."""

    service: Service | None
    """As far as the service alone says it."""

    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address that serves, and is no pod's."""

    addresses: tuple[Ip, ...]
    text: str
    """The first address as it is written."""

    is_ready: bool


@dataclass(frozen=True, slots=True)
class SliceFacts:
    """An EndpointSlice."""

    key: ObjectKey
    service: str
    ports: Mapping[str, int]
    endpoints: tuple[Endpoint, ...]
    pods: Mapping[tuple[str, str], str]
    """(namespace, name) of the pods that it names, with the uid that it gives for each."""

    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """An AuthorizationPolicy; without a value when the node proxy does not get it."""

    key: ObjectKey
    selector: Mapping[str, str]
    targets: tuple[ObjectKey, ...]
    authorization: Authorization | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PeerFacts:
    """A PeerAuthentication."""

    key: ObjectKey
    peer: PeerAuthentication
    problems: tuple[str, ...] = ()

    @property
    def selector(self) -> Mapping[str, str]:
        """The labels of the workloads that it is about; empty: of all."""
        return self.peer.selector


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """A GatewayClass."""

    key: ObjectKey
    waypoint_for: str
    inbound_binding: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewayFacts:
    """A Gateway, as a waypoint or as the gateway of a network."""

    key: ObjectKey
    class_name: str
    waypoint_for: str
    inbound_binding: str
    ips: tuple[tuple[Ip, str], ...]
    hostname: str
    network: str
    """The network that it leads to; empty: it is no network's gateway."""

    account: str
    allowed: Part
    """`allowedRoutes.namespaces` of its HBONE listener."""

    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IgnoredFacts:
    """An object of a kind that is not translated; `problems` says so when somebody may wonder."""

    key: ObjectKey
    problems: tuple[str, ...] = ()


Facts = (
    PodFacts
    | ServiceFacts
    | SliceFacts
    | PolicyFacts
    | PeerFacts
    | NamespaceFacts
    | NodeFacts
    | GatewayFacts
    | ClassFacts
    | IgnoredFacts
)
