"""What `get` shows of an object for people: for each kind, the columns that kubectl has."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject
from sluice.lab.gateways import addresses_of, is_met
from sluice.lab.objects import is_leaving, is_ready, node_of, phase, pod_ips

NONE: Final = "<none>"
Column = Callable[[KubernetesObject], str]


def columns_of(kind: str) -> Mapping[str, Column]:
    """The columns between a kind's name and its age, by their heads; AGE is not among them."""
    return _COLUMNS.get(kind, {})


def columns_after_age(kind: str) -> Mapping[str, Column]:
    """The columns after the age."""
    return _AFTER.get(kind, {})


def _pod_ready(pod: KubernetesObject) -> str:
    statuses = pod.at("status").parts("containerStatuses")
    ready = sum(each.flag("ready") for each in statuses) if statuses else int(is_ready(pod))
    return f"{ready}/{len(pod.at('spec').parts('containers'))}"


def _restarts(pod: KubernetesObject) -> str:
    statuses = pod.at("status").parts("containerStatuses")
    return str(sum(each.number("restartCount") for each in statuses))


def _state(found: KubernetesObject) -> str:
    return "Terminating" if is_leaving(found) else phase(found)


def _service_ports(service: KubernetesObject) -> str:
    return _listed(
        f"{port.number('port')}/{port.text('protocol', 'TCP')}"
        for port in service.at("spec").parts("ports")
    )


def _slice_ports(found: KubernetesObject) -> str:
    return _listed(str(port.number("port")) for port in found.root.parts("ports"))


def _slice_endpoints(found: KubernetesObject) -> str:
    return _listed(
        address
        for endpoint in found.root.parts("endpoints")
        for address in endpoint.texts("addresses")
    )


def _listed(words: Iterator[str]) -> str:
    return ",".join(words) or NONE


def _deployment_ready(found: KubernetesObject) -> str:
    wanted = found.at("spec").number("replicas", 1)
    return f"{found.at('status').number('readyReplicas')}/{wanted}"


def _count(name: str) -> Column:
    return lambda found: str(found.at("status").number(name))


def _entries(found: KubernetesObject) -> str:
    names = ("data", "binaryData", "stringData")
    return str(len({key for name in names for key in found.at(name).body}))


def _node_state(node: KubernetesObject) -> str:
    return "Ready" if is_ready(node) else "NotReady"


def _hostnames(route: KubernetesObject) -> str:
    hosts = route.at("spec").texts("hostnames")
    return json.dumps(hosts) if hosts else ""


def _text(*path: str, default: str = NONE) -> Column:
    *parents, name = path

    def read(found: KubernetesObject) -> str:
        part: Part = found.root.at(*parents)
        return part.text(name) or default

    return read


_COLUMNS: Final[Mapping[str, Mapping[str, Column]]] = {
    "Pod": {"READY": _pod_ready, "STATUS": _state, "RESTARTS": _restarts},
    "Service": {
        "TYPE": _text("spec", "type", default="ClusterIP"),
        "CLUSTER-IP": _text("spec", "clusterIP"),
        "EXTERNAL-IP": lambda _: NONE,
        "PORT(S)": _service_ports,
    },
    "Deployment": {
        "READY": _deployment_ready,
        "UP-TO-DATE": _count("updatedReplicas"),
        "AVAILABLE": _count("availableReplicas"),
    },
    "EndpointSlice": {
        "ADDRESSTYPE": _text("addressType"),
        "PORTS": _slice_ports,
        "ENDPOINTS": _slice_endpoints,
    },
    "Namespace": {"STATUS": _text("status", "phase", default="Active")},
    "Node": {"STATUS": _node_state},
    "ConfigMap": {"DATA": _entries},
    "Secret": {"TYPE": _text("type", default="Opaque"), "DATA": _entries},
    "Gateway": {
        "CLASS": _text("spec", "gatewayClassName"),
        "ADDRESS": lambda found: next(iter(addresses_of(found)), ""),
        "PROGRAMMED": lambda found: is_met(found, "Programmed"),
    },
    "GatewayClass": {
        "CONTROLLER": _text("spec", "controllerName"),
        "ACCEPTED": lambda found: is_met(found, "Accepted"),
    },
    "HTTPRoute": {"HOSTNAMES": _hostnames},
    "GRPCRoute": {"HOSTNAMES": _hostnames},
    "TLSRoute": {"HOSTNAMES": _hostnames},
    "DestinationRule": {"HOST": _text("spec", "host")},
    "PeerAuthentication": {"MODE": _text("spec", "mtls", "mode", default="")},
    "AuthorizationPolicy": {"ACTION": _text("spec", "action", default="ALLOW")},
}

_AFTER: Final[Mapping[str, Mapping[str, Column]]] = {
    "Pod": {"IP": lambda pod: next(iter(pod_ips(pod)), NONE), "NODE": lambda p: node_of(p) or NONE}
}
