"""What a lab holds before anybody has asked for anything."""

from collections.abc import Iterator, Sequence
from typing import Final

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject
from sluice.lab.addresses import CONTROL, DNS_SERVICE, node_address
from sluice.lab.dns import DNS_PORT
from sluice.lab.home import PROXY_ACCOUNT, SYSTEM_NAMESPACE
from sluice.lab.objects import make_object
from sluice.lab.slices import SERVICE_LABEL

KEPT_NAMESPACES: Final = ("default", "kube-system", SYSTEM_NAMESPACE)
"""Namespaces that cannot be deleted."""

_DNS_NAME: Final = "kube-dns"


def base_objects(nodes: Sequence[str]) -> list[KubernetesObject]:
    """What a lab holds before anybody has asked for anything."""
    account = {"name": PROXY_ACCOUNT, "namespace": SYSTEM_NAMESPACE}
    return [
        *(_namespace(name) for name in KEPT_NAMESPACES),
        make_object("ServiceAccount", "v1", account),
        *(_node(node) for node in nodes),
        *_dns_objects(),
    ]


def _namespace(name: str) -> KubernetesObject:
    labels: dict[str, Json] = {"kubernetes.io/metadata.name": name}
    metadata: dict[str, Json] = {"name": name, "labels": labels}
    return make_object("Namespace", "v1", metadata, status={"phase": "Active"})


def _node(node: str) -> KubernetesObject:
    address = node_address(node)
    labels: dict[str, Json] = {"kubernetes.io/hostname": node, "kubernetes.io/os": "linux"}
    addresses: list[Json] = [
        {"type": "InternalIP", "address": address.v4},
        {"type": "InternalIP", "address": address.v6},
        {"type": "Hostname", "address": node},
    ]
    return make_object(
        "Node",
        "v1",
        {"name": node, "labels": labels},
        spec={},
        status={"addresses": addresses, "conditions": [{"type": "Ready", "status": "True"}]},
    )


def _dns_objects() -> Iterator[KubernetesObject]:
    """The service by which everybody asks for names; the keeper is who answers."""
    named: dict[str, Json] = {"name": _DNS_NAME, "namespace": "kube-system"}
    protocols = ("UDP", "TCP")
    ports: list[Json] = [
        {
            "name": f"dns-{each.lower()}",
            "port": DNS_PORT,
            "targetPort": DNS_PORT,
            "protocol": each,
        }
        for each in protocols
    ]
    yield make_object(
        "Service",
        "v1",
        named,
        spec={
            "type": "ClusterIP",
            "clusterIP": DNS_SERVICE,
            "clusterIPs": [DNS_SERVICE],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": ports,
        },
        status={"loadBalancer": {}},
    )
    served: list[Json] = [
        {"name": f"dns-{each.lower()}", "port": DNS_PORT, "protocol": each} for each in protocols
    ]
    endpoint: Json = {"addresses": [CONTROL.v4], "conditions": {"ready": True}}
    yield make_object(
        "EndpointSlice",
        "discovery.k8s.io/v1",
        {**named, "labels": {SERVICE_LABEL: _DNS_NAME}},
        addressType="IPv4",
        endpoints=[endpoint],
        ports=served,
    )
