"""Which kinds are read, by whom, and what is said about the others."""

from collections.abc import Callable, Mapping
from typing import Final

from controlplane.translate.facts import Facts, IgnoredFacts
from controlplane.translate.read_entries import read_entry
from controlplane.translate.read_gateways import read_class, read_gateway
from controlplane.translate.read_machines import read_machine
from controlplane.translate.read_peers import read_peer
from controlplane.translate.read_places import read_config_map, read_namespace, read_thing
from controlplane.translate.read_pods import read_node, read_pod
from controlplane.translate.read_policies import read_policy
from controlplane.translate.read_programs import read_program
from controlplane.translate.read_request_policies import read_request_policy
from controlplane.translate.read_routes import ROUTE_KINDS, read_route
from controlplane.translate.read_services import read_service, read_slice
from controlplane.translate.read_targets import has_targets
from controlplane.translate.read_token_policies import read_token_policy
from controlplane.translate.read_traffic import read_traffic
from controlplane.translate.route_facts import FILTER_GROUP
from controlplane.translate.settings import Settings
from mesh.model.kubernetes import KubernetesObject

_ISTIO: Final = "security.istio.io"
_NETWORKING: Final = "networking.istio.io"
_GATEWAY: Final = "gateway.networking.k8s.io"


def _read_authorization(found: KubernetesObject, settings: Settings) -> Facts:
    if has_targets(found.at("spec")):
        return read_request_policy(found, settings)
    return read_policy(found, settings)


_READERS: Final[Mapping[tuple[str, str], Callable[[KubernetesObject, Settings], Facts]]] = {
    ("", "Pod"): read_pod,
    ("", "Service"): read_service,
    ("", "Node"): lambda found, _: read_node(found),
    ("", "Namespace"): lambda found, _: read_namespace(found),
    ("", "ServiceAccount"): lambda found, _: read_thing(found),
    ("", "ConfigMap"): lambda found, _: read_config_map(found),
    ("apps", "Deployment"): lambda found, _: read_thing(found),
    ("discovery.k8s.io", "EndpointSlice"): lambda found, _: read_slice(found),
    (_ISTIO, "AuthorizationPolicy"): _read_authorization,
    (_ISTIO, "RequestAuthentication"): read_token_policy,
    (_ISTIO, "PeerAuthentication"): read_peer,
    (_GATEWAY, "Gateway"): lambda found, _: read_gateway(found),
    (_GATEWAY, "GatewayClass"): lambda found, _: read_class(found),
    **{(_GATEWAY, kind): lambda found, _: read_route(found) for kind in ROUTE_KINDS},
    (_NETWORKING, "DestinationRule"): read_traffic,
    (_NETWORKING, "ServiceEntry"): read_entry,
    (_NETWORKING, "WorkloadEntry"): read_machine,
    (FILTER_GROUP, "Filter"): lambda found, _: read_program(found),
}
"""By API group and kind; every version of a group is read alike."""

_NOT_YET: Final = frozenset(
    {
        "BackendTLSPolicy", "EnvoyFilter", "Gateway",
        "ListenerSet", "ProxyConfig", "ReferenceGrant",
        "Sidecar", "Telemetry", "UDPRoute", "VirtualService", "WasmPlugin",
        "WorkloadGroup", "XBackendTrafficPolicy", "XListenerSet",
    }
)  # fmt: skip
"""Kinds of Istio and of the Gateway API that somebody would expect to have an effect."""

_ELSEWHERE: Final = frozenset(
    {"apps", "batch", "autoscaling", "policy", "rbac.authorization.k8s.io", "apiextensions.k8s.io",
     "scheduling.k8s.io", "storage.k8s.io", "coordination.k8s.io", "events.k8s.io",
     "admissionregistration.k8s.io", "apiregistration.k8s.io", "certificates.k8s.io", "node.k8s.io",
     "networking.k8s.io", "flowcontrol.apiserver.k8s.io"}
)  # fmt: skip
"""Groups of Kubernetes whose objects mean nothing to a mesh: they make pods, or guard them."""

_CORE: Final = frozenset(
    {"Binding", "ConfigMap", "Endpoints", "Event", "LimitRange", "PersistentVolume",
     "PersistentVolumeClaim", "PodTemplate", "ReplicationController", "ResourceQuota", "Secret",
     "ServiceAccount"}
)  # fmt: skip


def read(found: KubernetesObject, settings: Settings) -> Facts:
    """What an object says by itself; for a kind that is not read, why it has no effect.

    Raises:
        FieldInvalidError: a field has a value that it cannot have.
    """
    group, _, _ = found.api_version.rpartition("/")
    kind = found.key.kind.partition(".")[0]
    reader = _READERS.get((group, kind))
    if reader is not None:
        return reader(found, settings)
    if group in _ELSEWHERE or (not group and kind in _CORE):
        return IgnoredFacts(found.key)
    if kind in _NOT_YET and group.endswith(("istio.io", "networking.k8s.io", "x-k8s.io")):
        return IgnoredFacts(found.key, ("kind: is not read yet, so the object has no effect",))
    mend = f"{found.api_version} {kind} is unknown and has no effect: check the spelling"
    return IgnoredFacts(found.key, (f"kind: {mend}",))
