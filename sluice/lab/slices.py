"""The endpoints of services, as the endpoint-slice controller would write them."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Final

from mesh.model.fields import Json, Part
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from sluice.lab.objects import (
    FINISHED,
    Changes,
    Objects,
    is_leaving,
    is_ready,
    make_object,
    node_of,
    phase,
    pod_ips,
    selects,
)

SERVICE_LABEL: Final = "kubernetes.io/service-name"
MANAGED_LABEL: Final = "endpointslice.kubernetes.io/managed-by"
MANAGER: Final = "endpointslice-controller.k8s.io"


def plan_slices(objects: Objects) -> Changes:
    """The slices of every service with a selector; those of ours that nothing asks for go."""
    wanted = {
        each.key: each for service in objects.of("Service") for each in _slices(service, objects)
    }
    puts = [each for each in wanted.values() if not _is_there(each, objects)]
    removals: list[ObjectKey] = [
        each.key
        for each in objects.of("EndpointSlice")
        if each.labels.get(MANAGED_LABEL) == MANAGER and each.key not in wanted
    ]
    return Changes(puts, removals)


def _is_there(wanted: KubernetesObject, objects: Objects) -> bool:
    held = objects.get(wanted.key)
    return held is not None and all(
        held.get(field) == wanted.get(field) for field in ("addressType", "endpoints", "ports")
    )


def _slices(service: KubernetesObject, objects: Objects) -> Iterator[KubernetesObject]:
    spec = service.at("spec")
    selector = spec.strings("selector")
    if not selector or spec.text("type") == "ExternalName":
        return
    pods = [
        pod
        for pod in objects.of("Pod", service.key.namespace)
        if selects(selector, pod.labels) and phase(pod) not in FINISHED
    ]
    for family in spec.texts("ipFamilies"):
        groups: dict[str, list[KubernetesObject]] = {}
        for pod in pods:
            if _address(pod, family):
                groups.setdefault(json.dumps(_ports(service, pod)), []).append(pod)
        for ports, group in groups.items() or [("[]", [])]:
            yield _slice(service, family, ports, group)


def _address(pod: KubernetesObject, family: str) -> str:
    fitting = [ip for ip in pod_ips(pod) if (":" in ip) == (family == "IPv6")]
    return fitting[0] if fitting else ""


def _ports(service: KubernetesObject, pod: KubernetesObject) -> list[Json]:
    found: list[Json] = []
    for port in service.at("spec").parts("ports"):
        number = target_port(port, pod)
        if number is None:
            continue
        entry: dict[str, Json] = {
            "name": port.text("name"),
            "port": number,
            "protocol": port.text("protocol", "TCP"),
        }
        if port.has("appProtocol"):
            entry["appProtocol"] = port.text("appProtocol")
        found.append(entry)
    return found


def target_port(port: Part, pod: KubernetesObject) -> int | None:
    """The number of a service's port on a pod; None when it has no port of that name."""
    target = port.body.get("targetPort")
    if isinstance(target, int):
        return target
    if isinstance(target, str) and target.isdecimal():
        return int(target)
    for container in pod.at("spec").parts("containers"):
        for own in container.parts("ports"):
            if own.text("name") == target:
                return own.number("containerPort")
    return None


def _slice(
    service: KubernetesObject, family: str, ports: str, pods: Sequence[KubernetesObject]
) -> KubernetesObject:
    digest = hashlib.sha256(f"{service.uid}/{family}/{ports}".encode()).hexdigest()[:5]
    owner: dict[str, Json] = {
        "apiVersion": "v1",
        "kind": "Service",
        "name": service.key.name,
        "uid": service.uid,
        "controller": True,
    }
    metadata: dict[str, Json] = {
        "name": f"{service.key.name}-{digest}",
        "namespace": service.key.namespace,
        "labels": {SERVICE_LABEL: service.key.name, MANAGED_LABEL: MANAGER},
        "ownerReferences": [owner],
    }
    publishes_all = service.at("spec").flag("publishNotReadyAddresses")
    endpoints: list[Json] = [_endpoint(pod, family, service, publishes_all) for pod in pods]
    return make_object(
        "EndpointSlice",
        "discovery.k8s.io/v1",
        metadata,
        addressType=family,
        endpoints=endpoints,
        ports=json.loads(ports),
    )


def _endpoint(
    pod: KubernetesObject,
    family: str,
    service: KubernetesObject,
    publishes_all: bool,  # noqa: FBT001 - read once by the caller for all pods
) -> Json:
    ready = is_ready(pod) and not is_leaving(pod)
    endpoint: dict[str, Json] = {
        "addresses": [_address(pod, family)],
        "conditions": {
            "ready": ready or publishes_all,
            "serving": is_ready(pod),
            "terminating": is_leaving(pod),
        },
        "nodeName": node_of(pod),
        "targetRef": {
            "kind": "Pod",
            "name": pod.key.name,
            "namespace": pod.key.namespace,
            "uid": pod.uid,
        },
    }
    spec = pod.at("spec")
    if spec.text("hostname") and spec.text("subdomain") == service.key.name:
        endpoint["hostname"] = spec.text("hostname")
    return endpoint
