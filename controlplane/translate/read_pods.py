"""Pods and nodes, each by itself."""

import re
from collections.abc import Mapping
from sys import intern
from typing import Final

from controlplane.translate.facts import NO_LABELS, ContainerPort, NodeFacts, PodFacts
from controlplane.translate.labels import REGION, SUBZONE, TUNNEL, ZONE
from controlplane.translate.read_services import ip_at, port_at
from controlplane.translate.settings import Settings
from mesh.model.address import Ip
from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject
from mesh.model.names import REDIRECTION_ANNOTATION
from mesh.model.workload import (
    NO_LOCALITY,
    Locality,
    NetworkMode,
    TunnelProtocol,
    Workload,
    WorkloadStatus,
    WorkloadType,
)

_ENDED: Final = ("Succeeded", "Failed")
_OF_A_CRON_JOB: Final = re.compile(r"(.+)-\d{8,10}")  # the minute of its start


def read_node(found: KubernetesObject) -> NodeFacts:
    """A Node."""
    labels = found.labels
    locality = Locality(
        *(intern(labels.get(name, "")) for name in (REGION, ZONE, SUBZONE)),
    )
    return NodeFacts(found.key, NO_LOCALITY if locality == NO_LOCALITY else locality)


def read_pod(found: KubernetesObject, settings: Settings) -> PodFacts:
    """A Pod.

    Raises:
        FieldInvalidError: a wrong type, port or address.
    """
    spec, status = found.at("spec"), found.at("status")
    labels = found.labels or NO_LABELS
    node = intern(spec.text("nodeName"))
    ports = _named_ports(spec)
    addresses = _pod_ips(status)
    if not addresses or status.text("phase") in _ENDED:
        return PodFacts(found.key, found.uid, labels, node, ports, None)
    namespace, name = intern(found.key.namespace), found.key.name
    workload_name = _workload_name(found, labels)
    protocol, is_native = tunnel_of(labels, found.annotations)
    workload = Workload(
        uid=f"{settings.cluster_id}//Pod/{namespace}/{name}",
        name=name,
        namespace=namespace,
        addresses=addresses,
        protocol=protocol,
        trust_domain=settings.trust_domain,
        service_account=intern(spec.text("serviceAccountName") or "default"),
        node=node,
        canonical_name=intern(canonical_name(labels, workload_name)),
        canonical_revision=intern(canonical_revision(labels)),
        workload_type=WorkloadType.POD,
        workload_name=intern(workload_name),
        native_tunnel=is_native,
        status=_health(found, status),
        cluster_id=settings.cluster_id,
        network_mode=_network_mode(spec),
        services={},
    )
    return PodFacts(found.key, found.uid, labels, node, ports, workload)


def _pod_ips(status: Part) -> tuple[Ip, ...]:
    ips = [ip_at(part, "ip", part.text("ip")) for part in status.parts("podIPs")]
    if not ips and (only := status.text("podIP")):
        ips = [ip_at(status, "podIP", only)]
    return tuple(ips)


def _health(found: KubernetesObject, status: Part) -> WorkloadStatus:
    is_ready = any(
        condition.text("type") == "Ready" and condition.text("status") == "True"
        for condition in status.parts("conditions")
    )
    is_ending = found.get("metadata", "deletionTimestamp") is not None
    return WorkloadStatus.HEALTHY if is_ready and not is_ending else WorkloadStatus.UNHEALTHY


def _network_mode(spec: Part) -> NetworkMode:
    return NetworkMode.HOST_NETWORK if spec.flag("hostNetwork") else NetworkMode.STANDARD


def _named_ports(spec: Part) -> tuple[ContainerPort, ...]:
    running = [
        *spec.parts("containers"),
        # A restartable init container runs beside the others as long as the pod lives.
        *(c for c in spec.parts("initContainers") if c.text("restartPolicy") == "Always"),
    ]
    return tuple(
        ContainerPort(
            port.text("name"), port.text("protocol", "TCP"), port_at(port, "containerPort")
        )
        for container in running
        for port in container.parts("ports")
        if port.text("name")
    )


def tunnel_of(
    labels: Mapping[str, str], annotations: Mapping[str, str]
) -> tuple[TunnelProtocol, bool]:
    """How something is reached, and whether it ends the tunnel itself."""
    is_native = "http" in labels.get(TUNNEL, "").split(",")
    has_tunnel = is_native or annotations.get(REDIRECTION_ANNOTATION) == "enabled"
    return (TunnelProtocol.HBONE if has_tunnel else TunnelProtocol.NONE), is_native


# Names.


def canonical_name(labels: Mapping[str, str], workload_name: str) -> str:
    """Whom telemetry names; Istio's rule."""
    return (
        labels.get("service.istio.io/canonical-name")
        or labels.get("app.kubernetes.io/name")
        or labels.get("app")
        or workload_name
    )


def canonical_revision(labels: Mapping[str, str]) -> str:
    """Which revision of it; Istio's rule."""
    return (
        labels.get("service.istio.io/canonical-revision")
        or labels.get("app.kubernetes.io/version")
        or labels.get("version")
        or "latest"
    )


def _workload_name(found: KubernetesObject, labels: Mapping[str, str]) -> str:
    """The name of what made the pod: of the Deployment rather than of its ReplicaSet."""
    if given := labels.get("service.istio.io/workload-name"):
        return given
    metadata = found.at("metadata")
    owner = next((o for o in metadata.parts("ownerReferences") if o.flag("controller")), None)
    # A pod that was made by hand keeps its own name, whoever adopted it.
    if owner is None or not metadata.text("generateName"):
        return found.key.name
    name = owner.text("name")
    match owner.text("kind"):
        case "ReplicaSet":
            return name.removesuffix(f"-{labels.get('pod-template-hash', '')}")
        case "Job":
            of_a_cron_job = _OF_A_CRON_JOB.fullmatch(name)
            return of_a_cron_job[1] if of_a_cron_job else name
        case "ReplicationController":
            config = labels.get("deploymentconfig", "")
            return config if config and name.startswith(f"{config}-") else name
        case _:
            return name
