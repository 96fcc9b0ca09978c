"""Invariant: a request of any octets is taken or is a MeshError, and what is said is decodable."""

from mesh.errors import MeshError
from mesh.proto.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from mesh.proto.node_pb2 import Node
from mesh.wire.discovery_catalogue import ADDRESS_TYPE, Catalogue, Published, make_resource
from mesh.wire.discovery_server import DiscoveryStream

NODE = Node(id="ztunnel~192.0.2.9~pod.ns~ns.svc.cluster.local")
RESOURCE = make_resource(ADDRESS_TYPE, "a", b"octets", aliases=("/192.0.2.1",), node="")
PUBLISHED = Published(1, {ADDRESS_TYPE: Catalogue({"a": RESOURCE})})
SEEDS = tuple(
    request.SerializeToString()
    for request in (
        DeltaDiscoveryRequest(type_url=ADDRESS_TYPE, node=NODE),
        DeltaDiscoveryRequest(
            type_url=ADDRESS_TYPE, node=NODE, resource_names_subscribe=["a", "/192.0.2.1", "b"]
        ),
        DeltaDiscoveryRequest(
            type_url=ADDRESS_TYPE, node=NODE, initial_resource_versions={"a": "0", "b": ""}
        ),
    )
)


def one_input(octets: bytes) -> None:
    """Take the octets as a first request, and as one in the middle of a stream."""
    for before in ((), SEEDS[:1], SEEDS[1:2]):
        stream = DiscoveryStream(PUBLISHED)
        try:
            for request in (*before, octets, octets):
                stream.receive(request)
                while (response := stream.next_response()) is not None:
                    DeltaDiscoveryResponse.FromString(response)
        except MeshError:
            continue
