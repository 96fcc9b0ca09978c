"""Invariant: any octets give an answered discovery response or a MeshError, nothing else."""

from mesh.errors import MeshError
from mesh.proto.discovery_pb2 import DeltaDiscoveryResponse
from mesh.wire.discovery_client import (
    ADDRESS_TYPE,
    AUTHORIZATION_TYPE,
    DiscoveryClient,
    decode_response,
    make_node,
)


def _seed(type_url: str, name: str) -> bytes:
    response = DeltaDiscoveryResponse(type_url=type_url, nonce="1", removed_resources=["gone"])
    resource = response.resources.add(name=name, version="2")
    resource.resource.type_url = type_url
    resource.resource.value = b"octets"
    return response.SerializeToString()


SEEDS = (_seed(ADDRESS_TYPE, "Kubernetes//Pod/shop/web"), _seed(AUTHORIZATION_TYPE, "shop/deny"))


def one_input(octets: bytes) -> None:
    """Receive and accept; what was accepted is what the next stream begins with."""
    client = DiscoveryClient(make_node("fuzz", {}), (ADDRESS_TYPE, AUTHORIZATION_TYPE))
    try:
        received = client.receive(decode_response(octets))
    except MeshError:
        return
    answer = client.accept(received, {})
    if (answer.type_url, answer.response_nonce) != (received.type_url, received.nonce):
        raise AssertionError(f"{answer} does not answer {received}")
    retained = {offered.name for offered in received.offered} - received.misnamed.keys()
    if not retained <= client.retained(received.type_url).keys():
        raise AssertionError(f"{retained} is not retained")
