"""What one object says by itself, whatever the others say: the first half of a translation.

Strings that come again and again are interned: the values of a large mesh share them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from controlplane.translate.entry_facts import EntryFacts, MachineFacts
from controlplane.translate.route_facts import RoutingFacts
from mesh.model.address import Ip
from mesh.model.fields import Part
from mesh.model.kubernetes import ObjectKey
from mesh.model.names import HBONE_PORT
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
    canary_weight: str = ""
    """As its annotation has it; also for its services."""


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
    says: str = ""
    """Its `appProtocol`."""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """A Service, without a value when it is an ExternalName; or a ServiceEntry."""

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
    canary_weight: str = ""
    """As its annotation has it."""
    entry: EntryFacts | None = None
    """Of a ServiceEntry: what only that says; then `service` is the one of its first host."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host name that it claims."""
        if self.service is None:
            return ()
        return (self.service.hostname,) if self.entry is None else self.entry.hosts

    @property
    def services(self) -> tuple[Service, ...]:
        """A service for each of its hosts, as far as it alone says it."""
        if self.service is None or self.entry is None:
            return () if self.service is None else (self.service,)
        return tuple(replace(self.service, hostname=host) for host in self.entry.hosts)


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
    """An AuthorizationPolicy without targets; without a value when node proxies do not get it."""

    key: ObjectKey
    selector: Mapping[str, str]
    authorization: Authorization | None
    problems: tuple[str, ...] = ()
    has_unenforced: bool = False
    """Whether it says more than node proxies can decide by."""


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
    controller: str = ""
    is_managed: bool = False
    """Whether we have made it."""
    has_parameters: bool = False
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListenerFacts:
    """A listener of a Gateway."""

    name: str
    port: int
    protocol: str
    allowed: Part
    """`allowedRoutes.namespaces`."""
    kinds: tuple[tuple[str, str], ...] | None
    """Group and kind of the routes that it allows; None: all that its protocol can have."""

    @property
    def is_hbone(self) -> bool:
        """Whether it is a waypoint's."""
        return self.port == HBONE_PORT and self.protocol in ("HBONE", "istio.io/HBONE")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFacts:
    """A Gateway: a waypoint, the gateway of a network, or another controller's."""

    key: ObjectKey
    uid: str
    class_name: str
    waypoint_for: str
    inbound_binding: str
    ips: tuple[tuple[Ip, str], ...]
    """Of its status, as written too."""
    hostname: str
    """Of its status."""
    network: str
    """The network that it leads to; empty: it is no network's gateway."""

    account: str
    """The service account that it runs as."""
    has_own_account: bool
    """Whether an annotation names the account: then it may be there already."""
    listeners: tuple[ListenerFacts, ...]
    asked: tuple[tuple[str, str], ...]
    """Type and value of the addresses that it asks for."""
    service_name: str
    """Of what is made for it."""
    service_type: str
    for_account: str
    """The service account whose workloads it is the waypoint of; empty: of no account's."""
    tells_client_certificate: bool
    copied_labels: Mapping[str, str]
    """For what is made for it."""
    copied_annotations: Mapping[str, str]
    has_parameters: bool
    problems: tuple[str, ...] = ()

    @property
    def hbone(self) -> ListenerFacts | None:
        """Its first listener for the tunnel."""
        return next((each for each in self.listeners if each.is_hbone), None)


@dataclass(frozen=True, slots=True)
class ThingFacts:
    """An object of a kind that is made for Gateways: whose it is."""

    key: ObjectKey
    managed_by: str
    """Empty: a user's."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Of a ConfigMap: its data."""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IgnoredFacts:
    """An object of a kind that is not translated; `problems` says so when somebody may wonder."""

    key: ObjectKey
    problems: tuple[str, ...] = ()


Selectable = PodFacts | MachineFacts | ServiceFacts
"""What policies select by labels: of a ServiceEntry, its endpoints."""

Facts = (
    PodFacts
    | MachineFacts
    | ServiceFacts
    | SliceFacts
    | PolicyFacts
    | PeerFacts
    | NamespaceFacts
    | NodeFacts
    | GatewayFacts
    | ClassFacts
    | ThingFacts
    | RoutingFacts
    | IgnoredFacts
)
