"""Gateways and GatewayClasses, each by itself."""

from collections.abc import Mapping
from typing import Final

from controlplane.translate import labels
from controlplane.translate.facts import ClassFacts, GatewayFacts, ListenerFacts
from controlplane.translate.read_services import ip_at, port_at
from mesh.model.address import Ip
from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject
from mesh.model.names import GATEWAY_GROUP, MANAGED, REMOTE_CLASS

TRAFFIC_TYPES: Final = ("service", "workload", "all", "none")
_NOT_COPIED: Final = ("kubectl.kubernetes.io/last-applied-configuration",)


def read_class(found: KubernetesObject) -> ClassFacts:
    """A GatewayClass.

    Raises:
        FieldInvalidError: a wrong type.
    """
    waypoint_for, problems = _waypoint_for(found)
    spec = found.at("spec")
    return ClassFacts(
        found.key,
        waypoint_for,
        found.annotations.get(labels.INBOUND_BINDING, ""),
        spec.text("controllerName"),
        found.labels.get(labels.MANAGED_BY) == MANAGED,
        spec.has("parametersRef"),
        problems,
    )


def read_gateway(found: KubernetesObject) -> GatewayFacts:
    """A Gateway, with the addresses that its status has.

    Raises:
        FieldInvalidError: a wrong type or address.
    """
    spec, notes = found.at("spec"), found.annotations
    class_name = spec.text("gatewayClassName")
    waypoint_for, problems = _waypoint_for(found)
    ips, hostname = _addresses(found.at("status"))
    service_name = notes.get(labels.NAME_OVERRIDE) or found.key.name
    own_account = notes.get(labels.GATEWAY_ACCOUNT, "")
    is_remote = class_name == REMOTE_CLASS
    infrastructure = spec.at("infrastructure")
    return GatewayFacts(
        key=found.key,
        uid=found.uid,
        class_name=class_name,
        waypoint_for=waypoint_for,
        inbound_binding=notes.get(labels.INBOUND_BINDING, ""),
        ips=ips,
        hostname=hostname,
        network=found.labels.get(labels.NETWORK, "") if is_remote else "",
        account=own_account or (f"{found.key.name}-{class_name}" if is_remote else service_name),
        has_own_account=bool(own_account),
        listeners=tuple(_listener(part) for part in spec.parts("listeners")),
        asked=_asked(spec),
        service_name=service_name,
        service_type=notes.get(labels.SERVICE_TYPE) or "ClusterIP",
        for_account=notes.get(labels.FOR_ACCOUNT, ""),
        tells_client_certificate=notes.get(labels.TELLS_CERTIFICATE) == "true",
        copied_labels=_copied(infrastructure, "labels", found.labels),
        copied_annotations=_copied(infrastructure, "annotations", notes),
        has_parameters=infrastructure.has("parametersRef"),
        problems=problems,
    )


def _waypoint_for(found: KubernetesObject) -> tuple[str, tuple[str, ...]]:
    wanted = found.labels.get(labels.WAYPOINT_FOR, "")
    if wanted in ("", *TRAFFIC_TYPES):
        return wanted, ()
    field = f"metadata.labels[{labels.WAYPOINT_FOR}]"
    mend = f"{wanted!r} accepts nothing: write service, workload, all or none"
    return wanted, (f"{field}: {mend}",)


def _addresses(status: Part) -> tuple[tuple[tuple[Ip, str], ...], str]:
    ips: list[tuple[Ip, str]] = []
    hostname = ""
    for part in status.parts("addresses"):
        value = part.text("value")
        match part.text("type", "IPAddress"):
            case "IPAddress":
                ips.append((ip_at(part, "value", value), value))
            case "Hostname":
                hostname = hostname or value
            case _:
                continue  # another controller's own kind of address
    return tuple(ips), hostname


def _asked(spec: Part) -> tuple[tuple[str, str], ...]:
    return tuple(
        (part.text("type", "IPAddress"), part.text("value")) for part in spec.parts("addresses")
    )


def _listener(part: Part) -> ListenerFacts:
    allowed = part.at("allowedRoutes")
    kinds = None
    if allowed.has("kinds"):
        kinds = tuple(
            (each.text("group", GATEWAY_GROUP), each.text("kind"))
            for each in allowed.parts("kinds")
        )
    return ListenerFacts(
        part.text("name"),
        port_at(part, "port"),
        part.text("protocol"),
        allowed.at("namespaces"),
        kinds,
    )


def _copied(infrastructure: Part, field: str, own: Mapping[str, str]) -> Mapping[str, str]:
    """What is copied to things that are made: the Gateway's own, unless it says what else."""
    if infrastructure.has(field):
        return infrastructure.strings(field)
    return {name: value for name, value in own.items() if name not in _NOT_COPIED}
