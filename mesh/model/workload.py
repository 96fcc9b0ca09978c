"""Workloads and services: the nouns of the workload API (`istio.workload`, proto3).

Slotted and interned: a worker holds all of the cluster's. Field names are the API's.
Strings that repeat (namespace, node, network ...) must be interned by whoever builds these.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from mesh.model.address import Ip
from mesh.model.identity import Identity


class TunnelProtocol(IntEnum):
    """How a workload wants to be reached."""

    NONE = 0
    HBONE = 1


class NetworkMode(IntEnum):
    """Whether a workload has an address of its own, or shares its node's."""

    STANDARD = 0
    HOST_NETWORK = 1


class WorkloadStatus(IntEnum):
    """Whether a workload is ready for traffic."""

    HEALTHY = 0
    UNHEALTHY = 1


class WorkloadType(IntEnum):
    """What made a workload."""

    DEPLOYMENT = 0
    CRONJOB = 1
    POD = 2
    JOB = 3


class AppProtocol(IntEnum):
    """What a service port speaks."""

    UNKNOWN = 0
    HTTP11 = 1
    HTTP2 = 2
    GRPC = 3
    TCP = 4
    TLS = 5


class TunnelHeader(IntEnum):
    """What an application tunnel (a sandwiched waypoint) expects before the payload."""

    NONE = 0
    PROXY = 1


class Scope(IntEnum):
    """A locality scope that load balancing may compare."""

    UNSPECIFIED = 0
    REGION = 1
    ZONE = 2
    SUBZONE = 3
    NODE = 4
    CLUSTER = 5
    NETWORK = 6


class BalanceMode(IntEnum):
    """How the scopes of a service decide."""

    UNSPECIFIED = 0
    STRICT = 1
    FAILOVER = 2
    PASSTHROUGH = 3


class HealthPolicy(IntEnum):
    """Which endpoints may be chosen."""

    ONLY_HEALTHY = 0
    ALLOW_ALL = 1


class IpFamilies(IntEnum):
    """Which address families a service wants."""

    AUTOMATIC = 0
    IPV4_ONLY = 1
    IPV6_ONLY = 2
    DUAL = 3


class Visibility(IntEnum):
    """Who may see a service."""

    PUBLIC = 0
    NAMESPACE = 1


@dataclass(frozen=True, slots=True)
class Locality:
    """Where a workload runs; empty text means unknown."""

    region: str = ""
    zone: str = ""
    subzone: str = ""


@dataclass(frozen=True, slots=True)
class NetworkAddress:
    """An address in a network, or, with a prefix length, a range of them."""

    network: str
    ip: Ip
    prefix: int | None = None


@dataclass(frozen=True, slots=True)
class NamespacedHostname:
    """A service (or workload) by name: the key `namespace/hostname`."""

    namespace: str
    hostname: str


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """Where a waypoint or a network gateway is."""

    destination: NamespacedHostname | NetworkAddress
    hbone_mtls_port: int


@dataclass(frozen=True, slots=True)
class WeightedWaypoint:
    """One of several waypoints of a service."""

    destination: GatewayAddress
    weight: int


@dataclass(frozen=True, slots=True)
class ApplicationTunnel:
    """What a sandwiched waypoint listens to; port 0 means the port of the request."""

    protocol: TunnelHeader
    port: int = 0


@dataclass(frozen=True, slots=True)
class Port:
    """A service port; target 0 means that each endpoint says its own."""

    service_port: int
    target_port: int
    app_protocol: AppProtocol = AppProtocol.UNKNOWN


@dataclass(frozen=True, slots=True)
class LoadBalancing:
    """How a service chooses among its endpoints."""

    mode: BalanceMode = BalanceMode.UNSPECIFIED
    routing_preference: tuple[Scope, ...] = ()
    health_policy: HealthPolicy = HealthPolicy.ONLY_HEALTHY


NO_LOCALITY = Locality()
NO_BALANCING = LoadBalancing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Something with addresses that may call and be called. Defaults are those of the API."""

    uid: str
    name: str
    namespace: str
    addresses: tuple[Ip, ...] = ()
    hostname: str = ""
    network: str = ""
    protocol: TunnelProtocol = TunnelProtocol.NONE
    trust_domain: str = "cluster.local"
    service_account: str = "default"
    waypoint: GatewayAddress | None = None
    network_gateway: GatewayAddress | None = None
    application_tunnel: ApplicationTunnel | None = None
    node: str = ""
    canonical_name: str = ""
    canonical_revision: str = ""
    workload_type: WorkloadType = WorkloadType.DEPLOYMENT
    workload_name: str = ""
    native_tunnel: bool = False
    authorization_policies: tuple[str, ...] = ()
    status: WorkloadStatus = WorkloadStatus.HEALTHY
    cluster_id: str = "Kubernetes"
    locality: Locality = NO_LOCALITY
    network_mode: NetworkMode = NetworkMode.STANDARD
    capacity: int = 1
    account_waypoint: GatewayAddress | None = None
    """Of its service account; for calls to services that choose by account. Our extension."""
    services: Mapping[str, tuple[Port, ...]]
    """`namespace/hostname` of each service that it serves, with its own ports there."""

    @property
    def identity(self) -> Identity:
        """Who it is on the wire."""
        return Identity(self.trust_domain, self.namespace, self.service_account)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A name (and perhaps addresses) in front of workloads."""

    name: str
    namespace: str
    hostname: str
    addresses: tuple[NetworkAddress, ...] = ()
    ports: tuple[Port, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
    waypoint: GatewayAddress | None = None
    weighted_waypoints: tuple[WeightedWaypoint, ...] = ()
    load_balancing: LoadBalancing = NO_BALANCING
    ip_families: IpFamilies = IpFamilies.AUTOMATIC
    canonical: bool = False
    ingress_use_waypoint: bool = False
    visibility: Visibility = Visibility.PUBLIC
    chooses_by_account: bool = False
    """Its endpoints run as several accounts, some with a waypoint of their own: the endpoint is
    chosen first, then its account's waypoint. An extension of ours."""

    @property
    def key(self) -> str:
        """Its name in the workload API: `namespace/hostname`."""
        return f"{self.namespace}/{self.hostname}"
