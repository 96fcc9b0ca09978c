"""Which port of an endpoint serves a service port: each kind of both has its own rule (Istio's)."""

from collections.abc import Mapping

from controlplane.translate.facts import PodFacts, ServiceFacts
from mesh.model.workload import Port


def ports_at_pod(service: ServiceFacts, pod: PodFacts) -> tuple[Port, ...]:
    """The service's ports at one pod; one whose name the pod does not have is left out."""
    if service.fixed_ports is not None:
        return service.fixed_ports
    ports = []
    for port in service.ports:
        if service.entry is not None:
            target = _named(pod, port.name, "TCP") or port.target
        else:
            named = port.target_name
            target = _named(pod, named, port.protocol) if named else port.target
        if target:
            ports.append(Port(port.number, target))
    return tuple(ports)


def _named(pod: PodFacts, name: str, protocol: str) -> int:
    if not name:
        return 0
    found = (own.number for own in pod.named_ports if (own.name, own.protocol) == (name, protocol))
    return next(found, 0)


def ports_at_place(service: ServiceFacts, named: Mapping[str, int]) -> tuple[Port, ...]:
    """The service's ports at something outside the cluster, which gives ports of its own names.

    Of a Service, a target that has a name is looked up by that name and left out without it; any
    other port is looked up by its own name.
    """
    ports = []
    for port in service.ports:
        target = named.get(port.target_name or port.name) or port.target
        if target:
            ports.append(Port(port.number, target))
    return tuple(ports)
