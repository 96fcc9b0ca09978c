"""What the translation must be told, because no object says it."""

from dataclasses import dataclass

from mesh.model.routes import ExternalAuth


@dataclass(frozen=True, slots=True)
class Provider:
    """Whom CUSTOM policies can ask: one of the mesh configuration's `extensionProviders`."""

    name: str
    host: str
    """As it is written: `[NAMESPACE/]HOST`."""
    auth: ExternalAuth
    """Without the service yet."""


@dataclass(frozen=True, slots=True)
class Traces:
    """Where waypoints tell what they trace."""

    host: str
    port: int
    """Of OTLP over gRPC, in plain text."""
    percent: float
    """Of the traces that begin at a waypoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The mesh's own names."""

    cluster_id: str = "Kubernetes"
    trust_domain: str = "cluster.local"
    root_namespace: str = "istio-system"
    cluster_domain: str = "cluster.local"
    network: str | None = None
    """The cluster's network; None: what the label of the root namespace says, else the unnamed."""
    goes_direct: bool = False
    """Whether connections go direct while a waypoint that they ought to take is not ready (as
    Istio has it); else they are refused until it is."""
    auto_waypoint: bool = False
    """Whether a namespace gets a waypoint for services that have routes and no waypoint."""
    discovery_url: str = ""
    """Where the pods that are made find the control plane; empty: its service of Istio's name."""
    root_certificate: str = ""
    """PEM; whom these pods are to believe."""
    providers: tuple[Provider, ...] = ()
    traces: Traces | None = None
    """None: waypoints trace nothing."""
    path_normalisation: str = "BASE"
    """Of requests at waypoints: see `Waypoint.path_normalisation`."""
