"""What the translation must be told, because no object says it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The mesh's own names."""

    cluster_id: str = "Kubernetes"
    trust_domain: str = "cluster.local"
    root_namespace: str = "istio-system"
    cluster_domain: str = "cluster.local"
    network: str | None = None
    """The cluster's network; None: what the label of the root namespace says, else the unnamed."""
