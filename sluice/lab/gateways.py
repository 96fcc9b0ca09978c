"""Gateways as a lab's user sees them: whether they are ready, and what is still waited for."""

from collections.abc import Iterator, Mapping
from typing import Final

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.names import (
    GATEWAY_CONTROLLER,
    GATEWAY_NAME_LABEL,
    MANAGED,
    MANAGED_LABEL,
    OWN_CLASSES,
)
from sluice.lab.objects import Objects, is_leaving, is_ready

_WAITS: Final = frozenset({"AddressNotAssigned", "Pending"})
"""Reasons for which a Gateway is not ready yet, and may get ready without anybody's doing."""

Merged = Mapping[ObjectKey, KubernetesObject]


def missing_classes(objects: Objects, merged: Merged) -> Iterator[str]:
    """What is still waited for until the classes that a lab has are there and accepted."""
    for name in OWN_CLASSES:
        key = ObjectKey("GatewayClass", "", name)
        if objects.get(key) is None:
            yield f"{key}: to be made by the control plane"
    for found in objects.of("GatewayClass"):
        if _is_ours(found) and _told(merged.get(found.key), "Accepted") is None:
            yield f"{found.key}: to be looked at by the control plane"


def missing_of_gateway(gateway: KubernetesObject, objects: Objects, merged: Merged) -> str:
    """Why a Gateway is waited for; empty when it is ready, or cannot get ready by waiting."""
    name = gateway.at("spec").text("gatewayClassName")
    of_class = objects.find("GatewayClass", "", name)
    if of_class is None or not _is_ours(of_class):
        return ""
    told = merged.get(gateway.key)
    accepted, programmed = _told(told, "Accepted"), _told(told, "Programmed")
    if accepted is None or programmed is None:
        return "to be looked at by the control plane"
    if accepted.get("status") == "True" and programmed.get("reason") in _WAITS:
        return str(programmed.get("message"))
    return ""


def _is_ours(of_class: KubernetesObject) -> bool:
    return of_class.at("spec").text("controllerName") == GATEWAY_CONTROLLER


def _told(found: KubernetesObject | None, kind: str) -> Mapping[str, Json] | None:
    """A condition, when it is about the object as it is now."""
    each = condition_of(found, kind)
    if found is None or each is None:
        return None
    generation = found.get("metadata", "generation")
    return each if each.get("observedGeneration") == generation else None


def condition_of(found: KubernetesObject | None, kind: str) -> Mapping[str, Json] | None:
    """A condition of an object by its type."""
    conditions = found.get("status", "conditions") if found is not None else None
    for each in conditions if isinstance(conditions, list) else ():
        if isinstance(each, dict) and each.get("type") == kind:
            return each
    return None


def is_met(found: KubernetesObject, kind: str) -> str:
    """A condition's status, as kubectl shows it; `Unknown` when it is not there."""
    each = condition_of(found, kind)
    return str(each.get("status")) if each is not None else "Unknown"


def addresses_of(gateway: KubernetesObject) -> list[str]:
    """The addresses of a Gateway's status."""
    entries = gateway.get("status", "addresses")
    listed = entries if isinstance(entries, list) else []
    values = (each.get("value") for each in listed if isinstance(each, dict))
    return [value for value in values if isinstance(value, str)]


def waypoint_pods(objects: Objects) -> Iterator[KubernetesObject]:
    """Pods of waypoints that are ready: they are clients of the control plane."""
    for pod in objects.of("Pod"):
        labels = pod.labels
        is_waypoint = labels.get(MANAGED_LABEL) == MANAGED and GATEWAY_NAME_LABEL in labels
        if is_waypoint and is_ready(pod) and not is_leaving(pod):
            yield pod


def gateway_status(gateway: KubernetesObject) -> dict[str, Json]:
    """A Gateway, as `lab status` shows it."""
    addresses = addresses_of(gateway)
    return {
        "namespace": gateway.key.namespace,
        "name": gateway.key.name,
        "class": gateway.at("spec").text("gatewayClassName"),
        "address": next(iter(addresses), ""),
        "addresses": [*addresses],
        "programmed": is_met(gateway, "Programmed") == "True",
    }
