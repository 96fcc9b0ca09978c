"""Namespaces, Gateways and GatewayClasses, each by itself."""

from controlplane.translate import labels
from controlplane.translate.facts import ClassFacts, GatewayFacts, NamespaceFacts
from controlplane.translate.read_services import about_canary, balancing_by_note, ip_at
from mesh.model.address import Ip
from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject
from mesh.model.names import HBONE_PORT

TRAFFIC_TYPES = ("service", "workload", "all", "none")


def read_namespace(found: KubernetesObject) -> NamespaceFacts:
    """A Namespace."""
    balancing, problems = balancing_by_note(found)
    return NamespaceFacts(
        found.key,
        {labels.NAMESPACE_NAME: found.key.name, **found.labels},
        balancing,
        (*problems, *about_canary(found)),
    )


def read_class(found: KubernetesObject) -> ClassFacts:
    """A GatewayClass."""
    waypoint_for, problems = _waypoint_for(found)
    binding = found.annotations.get(labels.INBOUND_BINDING, "")
    return ClassFacts(found.key, waypoint_for, binding, problems)


def read_gateway(found: KubernetesObject) -> GatewayFacts:
    """A Gateway, with the addresses that its status has.

    Raises:
        FieldInvalidError: a wrong type or address.
    """
    spec, status = found.at("spec"), found.at("status")
    class_name = spec.text("gatewayClassName")
    waypoint_for, problems = _waypoint_for(found)
    if labels.FOR_ACCOUNT in found.annotations:
        mend = "is not read yet, so the account's workloads do not go by this waypoint"
        problems = (*problems, f"metadata.annotations[{labels.FOR_ACCOUNT}]: {mend}")
    ips, hostname = _addresses(status)
    return GatewayFacts(
        found.key,
        class_name,
        waypoint_for,
        found.annotations.get(labels.INBOUND_BINDING, ""),
        ips,
        hostname,
        found.labels.get(labels.NETWORK, "") if class_name == "istio-remote" else "",
        found.annotations.get(labels.GATEWAY_ACCOUNT) or f"{found.key.name}-{class_name}",
        _allowed(spec),
        problems,
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


def _allowed(spec: Part) -> Part:
    for listener in spec.parts("listeners"):
        if listener.text("protocol") == "HBONE" and listener.number("port") == HBONE_PORT:
            return listener.at("allowedRoutes", "namespaces")
    return spec.at("no HBONE listener")
