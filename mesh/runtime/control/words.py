"""The words of Istio's node proxy for our enumerations: in local files and in `config_dump`."""

from collections.abc import Mapping
from typing import Final

from mesh.model.policy import Action, PolicyScope
from mesh.model.workload import (
    BalanceMode,
    HealthPolicy,
    IpFamilies,
    NetworkMode,
    Scope,
    TunnelHeader,
    TunnelProtocol,
    Visibility,
    WorkloadStatus,
    WorkloadType,
)

PROTOCOL: Final[Mapping[str, TunnelProtocol]] = {
    "TCP": TunnelProtocol.NONE,
    "HBONE": TunnelProtocol.HBONE,
}
NETWORK_MODE: Final[Mapping[str, NetworkMode]] = {
    "Standard": NetworkMode.STANDARD,
    "HostNetwork": NetworkMode.HOST_NETWORK,
}
STATUS: Final[Mapping[str, WorkloadStatus]] = {
    "Healthy": WorkloadStatus.HEALTHY,
    "Unhealthy": WorkloadStatus.UNHEALTHY,
}
TYPE: Final[Mapping[str, WorkloadType]] = {
    "deployment": WorkloadType.DEPLOYMENT,
    "cronjob": WorkloadType.CRONJOB,
    "pod": WorkloadType.POD,
    "job": WorkloadType.JOB,
}
TUNNEL_HEADER: Final[Mapping[str, TunnelHeader]] = {
    "NONE": TunnelHeader.NONE,
    "PROXY": TunnelHeader.PROXY,
}
MODE: Final[Mapping[str, BalanceMode]] = {
    "Standard": BalanceMode.UNSPECIFIED,
    "Strict": BalanceMode.STRICT,
    "Failover": BalanceMode.FAILOVER,
    "Passthrough": BalanceMode.PASSTHROUGH,
}
PREFERENCE: Final[Mapping[str, Scope]] = {
    "Unspecified": Scope.UNSPECIFIED,
    "Region": Scope.REGION,
    "Zone": Scope.ZONE,
    "Subzone": Scope.SUBZONE,
    "Node": Scope.NODE,
    "Cluster": Scope.CLUSTER,
    "Network": Scope.NETWORK,
}
HEALTH: Final[Mapping[str, HealthPolicy]] = {
    "OnlyHealthy": HealthPolicy.ONLY_HEALTHY,
    "AllowAll": HealthPolicy.ALLOW_ALL,
}
FAMILIES: Final[Mapping[str, IpFamilies]] = {
    "Automatic": IpFamilies.AUTOMATIC,
    "IPv4": IpFamilies.IPV4_ONLY,
    "IPv6": IpFamilies.IPV6_ONLY,
    "Dual": IpFamilies.DUAL,
}
VISIBILITY: Final[Mapping[str, Visibility]] = {
    "Public": Visibility.PUBLIC,
    "Namespace": Visibility.NAMESPACE,
}
SCOPE: Final[Mapping[str, PolicyScope]] = {
    "Global": PolicyScope.GLOBAL,
    "Namespace": PolicyScope.NAMESPACE,
    "WorkloadSelector": PolicyScope.WORKLOAD_SELECTOR,
}
ACTION: Final[Mapping[str, Action]] = {"Allow": Action.ALLOW, "Deny": Action.DENY}


def word(choices: Mapping[str, object], meaning: object) -> str:
    """The word for a meaning."""
    return next(word for word, other in choices.items() if other == meaning)
