"""The kinds of objects that a lab holds, how people write them, and those that come later."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mesh.model.kubernetes import CLUSTER_WIDE
from mesh.model.names import GATEWAY_GROUP
from sluice.lab.entry_shapes import SERVICE_ENTRY, WORKLOAD_ENTRY
from sluice.lab.errors import LabRefusedError
from sluice.lab.gateway_shapes import (
    BACKEND_TLS_POLICY,
    DESTINATION_RULE,
    FILTER,
    GATEWAY,
    GATEWAY_CLASS,
    GRPC_ROUTE,
    HTTP_ROUTE,
    REFERENCE_GRANT,
    REQUEST_AUTHENTICATION,
    STREAM_ROUTE,
)
from sluice.lab.schema import Fields
from sluice.lab.shapes import (
    AUTHORIZATION_POLICY,
    DATA,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    NODE,
    PEER_AUTHENTICATION,
    PLAIN,
    POD,
    SERVICE,
    SERVICE_ACCOUNT,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of object."""

    name: str
    plural: str
    shape: Fields
    short: tuple[str, ...] = ()
    group: str = ""
    versions: tuple[str, ...] = ("v1",)
    has_generation: bool = field(default=True)

    @property
    def is_cluster_wide(self) -> bool:
        """Whether its objects live in no namespace."""
        return self.name in CLUSTER_WIDE

    @property
    def api_versions(self) -> tuple[str, ...]:
        """What may stand in `apiVersion`."""
        return tuple(f"{self.group}/{v}" if self.group else v for v in self.versions)


_SECURITY: Final = "security.istio.io"


def _gateway_kind(name: str, plural: str, shape: Fields, *short: str) -> Kind:
    """A kind of the Gateway API; every version that any of them has had is taken."""
    return Kind(
        name=name,
        plural=plural,
        short=short,
        group=GATEWAY_GROUP,
        versions=("v1", "v1beta1", "v1alpha3", "v1alpha2"),
        shape=shape,
    )


def _istio_kind(name: str, plural: str, shape: Fields, *short: str) -> Kind:
    """A kind of Istio's group for traffic; every version that it has had is taken."""
    return Kind(
        name=name,
        plural=plural,
        short=short,
        group="networking.istio.io",
        versions=("v1", "v1beta1", "v1alpha3"),
        shape=shape,
    )


KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            name="Namespace", plural="namespaces", short=("ns",), shape=PLAIN, has_generation=False
        ),
        Kind(name="Node", plural="nodes", short=("no",), shape=NODE, has_generation=False),
        Kind(
            name="ServiceAccount",
            plural="serviceaccounts",
            short=("sa",),
            shape=SERVICE_ACCOUNT,
            has_generation=False,
        ),
        Kind(
            name="ConfigMap", plural="configmaps", short=("cm",), shape=DATA, has_generation=False
        ),
        Kind(name="Secret", plural="secrets", shape=DATA, has_generation=False),
        Kind(name="Pod", plural="pods", short=("po",), shape=POD),
        Kind(
            name="Deployment",
            plural="deployments",
            short=("deploy",),
            group="apps",
            shape=DEPLOYMENT,
        ),
        Kind(name="Service", plural="services", short=("svc",), shape=SERVICE),
        Kind(
            name="EndpointSlice",
            plural="endpointslices",
            group="discovery.k8s.io",
            shape=ENDPOINT_SLICE,
        ),
        Kind(
            name="PeerAuthentication",
            plural="peerauthentications",
            short=("pa",),
            group=_SECURITY,
            versions=("v1", "v1beta1"),
            shape=PEER_AUTHENTICATION,
        ),
        Kind(
            name="AuthorizationPolicy",
            plural="authorizationpolicies",
            short=("ap",),
            group=_SECURITY,
            versions=("v1", "v1beta1"),
            shape=AUTHORIZATION_POLICY,
        ),
        Kind(
            name="RequestAuthentication",
            plural="requestauthentications",
            short=("ra",),
            group=_SECURITY,
            versions=("v1", "v1beta1"),
            shape=REQUEST_AUTHENTICATION,
        ),
        _istio_kind("DestinationRule", "destinationrules", DESTINATION_RULE, "dr"),
        _istio_kind("ServiceEntry", "serviceentries", SERVICE_ENTRY, "se"),
        _istio_kind("WorkloadEntry", "workloadentries", WORKLOAD_ENTRY, "we"),
        Kind(
            name="Filter",
            plural="filters",
            group="sluice.dev",
            versions=("v1alpha1",),
            shape=FILTER,
        ),
        _gateway_kind("GatewayClass", "gatewayclasses", GATEWAY_CLASS, "gc"),
        _gateway_kind("Gateway", "gateways", GATEWAY, "gtw"),
        _gateway_kind("HTTPRoute", "httproutes", HTTP_ROUTE),
        _gateway_kind("GRPCRoute", "grpcroutes", GRPC_ROUTE),
        _gateway_kind("TCPRoute", "tcproutes", STREAM_ROUTE),
        _gateway_kind("TLSRoute", "tlsroutes", STREAM_ROUTE),
        _gateway_kind("ReferenceGrant", "referencegrants", REFERENCE_GRANT, "refgrant"),
        _gateway_kind("BackendTLSPolicy", "backendtlspolicies", BACKEND_TLS_POLICY, "btlspolicy"),
    )
}

_WITH_INGRESS: Final = "comes with the ingress gateway, and is not there yet"
_WITH_TELEMETRY: Final = "is not there yet: waypoints log and count without it"
_OTHER_WORKLOADS: Final = "the lab runs Deployments and Pods: write it as one of these"
_NOT_AMBIENT: Final = "is for sidecars: the ambient mesh uses Gateway API routes instead"

LATER: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "UDPRoute", "ListenerSet", "XListenerSet", "XMesh", "XBackend",
            "XBackendTrafficPolicy",
        ),
        _WITH_INGRESS,
    ),
    **dict.fromkeys(("Telemetry", "WasmPlugin"), _WITH_TELEMETRY),
    "WorkloadGroup": "registers machines, which nothing does yet: write a WorkloadEntry for each",
    **dict.fromkeys(
        ("DaemonSet", "StatefulSet", "ReplicaSet", "Job", "CronJob", "ReplicationController"),
        _OTHER_WORKLOADS,
    ),
    **dict.fromkeys(
        (
            "VirtualService", "Sidecar", "EnvoyFilter", "ProxyConfig",
            "Gateway.networking.istio.io",
        ),
        _NOT_AMBIENT,
    ),
}  # fmt: skip
"""Kinds that are known and refused, and what to say about each."""

_LATER_SHORT: Final[Mapping[str, str]] = {
    "wg": "WorkloadGroup", "vs": "VirtualService", "ds": "DaemonSet",
    "sts": "StatefulSet", "rs": "ReplicaSet", "cj": "CronJob",
}  # fmt: skip


def kind_of_document(kind: str, api_version: str) -> Kind:
    """The kind of a manifest by what it says of itself.

    Raises:
        LabRefusedError: unknown, not there yet, or of an API version that the kind does not have.
    """
    found = KINDS.get(kind)
    if found is None:
        raise LabRefusedError((f"kind {kind}: {_why_not(kind)}",))
    if api_version not in found.api_versions:
        mend = f"write {' or '.join(found.api_versions)}"
        raise LabRefusedError(
            (f"kind {kind}: apiVersion {api_version!r} is not one of its: {mend}",)
        )
    return found


def _why_not(kind: str) -> str:
    # A kind that several groups have comes with its group: `Gateway.networking.istio.io`.
    known = LATER.get(kind) or LATER.get(kind.partition(".")[0])
    return known or f"unknown: a lab holds {', '.join(sorted(KINDS))}"


def kind_of_word(word: str) -> Kind:
    """A kind as people type it: `pods`, `po`, `Pod`, `deployments.apps`, `deployment.v1.apps`.

    Raises:
        LabRefusedError: no kind is written so.
    """
    name, _, rest = word.lower().partition(".")
    for kind in KINDS.values():
        if name in (kind.name.lower(), kind.plural, *kind.short) and _is_group(kind, rest):
            return kind
    later = {**{kind.lower(): kind for kind in LATER}, **_LATER_SHORT}
    singular = name.removesuffix("ies") + "y" if name.endswith("ies") else name.removesuffix("es")
    for spelling in (name, name.removesuffix("s"), singular):
        if spelling in later:
            raise LabRefusedError((f"kind {later[spelling]}: {LATER[later[spelling]]}",))
    raise LabRefusedError((f"kind {word}: {_why_not(word)}",))


def _is_group(kind: Kind, rest: str) -> bool:
    head, _, tail = rest.partition(".")
    return rest in ("", kind.group) or (head in kind.versions and tail == kind.group)
