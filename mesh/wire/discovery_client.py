"""The client's side of delta discovery (`DeltaAggregatedResources`), for any types of resources.

1. Of each type everything is asked for: the first request of a stream names no resource.
2. A response is received, then accepted: between the two the caller uses what it can, and says
   which resources it cannot use. Those alone are rejected; the others of the response count.
3. An answer names the type and the response's nonce and nothing else: names would change the
   subscription.
4. A new stream begins with what is retained, so that only changes and removals follow. A resource
   whose update was rejected is retained without a version: it is to be sent again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct

from mesh.errors import PeerError
from mesh.proto.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from mesh.proto.node_pb2 import Node
from mesh.proto.status_pb2 import Status

METHOD: Final = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
TYPE_PREFIX: Final = "type.googleapis.com/"
ADDRESS_TYPE: Final = TYPE_PREFIX + "istio.workload.Address"
AUTHORIZATION_TYPE: Final = TYPE_PREFIX + "istio.security.Authorization"
INVALID_ARGUMENT: Final = 3
"""The status code of a rejection (google.rpc.Code)."""

MAX_REASON_CHARACTERS: Final = 4096

Metadata = str | bool | float | list["Metadata"] | dict[str, "Metadata"] | None


class DiscoveryInvalidError(PeerError):
    """A discovery response that cannot be one of this stream."""

    code = "discovery_invalid"

    def __init__(self, reason: str) -> None:
        """Keep what was wrong."""
        super().__init__(f"not a discovery response: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Offered:
    """One resource of a response, not yet looked into."""

    name: str
    version: str
    octets: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """One response: what to use, what to forget, and what cannot be used as its type is wrong."""

    type_url: str
    nonce: str
    offered: tuple[Offered, ...]
    removed: tuple[str, ...]
    misnamed: Mapping[str, str] = field(default_factory=dict)
    """Name to reason."""


def decode_response(octets: bytes) -> DeltaDiscoveryResponse:
    """A response's message.

    Raises:
        DiscoveryInvalidError: the octets are none.
    """
    response = DeltaDiscoveryResponse()
    try:
        response.ParseFromString(octets)
    except DecodeError as error:
        raise DiscoveryInvalidError(str(error)) from None
    return response


def make_node(identifier: str, metadata: Mapping[str, Metadata]) -> Node:
    """Who the client is."""
    described = Struct()
    described.update(dict(metadata))
    return Node(id=identifier, metadata=described)


class DiscoveryClient:
    """What has been asked, answered and retained; one for all streams of a client."""

    def __init__(
        self,
        node: Node,
        types: tuple[str, ...],
        retained: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """Begin.

        Args:
            node: who we are.
            types: type URLs to ask for, in this order.
            retained: versions by name of each type, when the caller still has the resources.
        """
        self._node = node
        self._versions = {type_url: dict((retained or {}).get(type_url, {})) for type_url in types}
        self._answered: set[str] = set()

    @property
    def is_synced(self) -> bool:
        """Whether the current stream has brought (and we have answered) each type at least once."""
        return self._answered == self._versions.keys()

    def first_requests(self) -> tuple[DeltaDiscoveryRequest, ...]:
        """What to send when a stream begins; whatever the stream before it had is over."""
        self._answered.clear()
        return tuple(
            DeltaDiscoveryRequest(
                node=self._node, type_url=type_url, initial_resource_versions=versions
            )
            for type_url, versions in self._versions.items()
        )

    def receive(self, response: DeltaDiscoveryResponse) -> Received:
        """Look at a response; nothing of it counts before `accept`.

        Raises:
            DiscoveryInvalidError: of a type that was not asked for, or with nameless resources.
        """
        if response.type_url not in self._versions:
            raise DiscoveryInvalidError(f"type {response.type_url[:200]!r} was not asked for")
        offered: dict[str, Offered] = {}
        misnamed: dict[str, str] = {}
        for resource in response.resources:
            if not resource.name:
                raise DiscoveryInvalidError("a resource without name")
            if resource.resource.type_url != response.type_url:
                misnamed[resource.name] = f"type {resource.resource.type_url[:200]!r}"
            else:
                offered[resource.name] = Offered(
                    resource.name, resource.version, resource.resource.value
                )
        return Received(
            type_url=response.type_url,
            nonce=response.nonce,
            offered=tuple(offered.values()),
            # A name that is removed and sent in one response is there.
            removed=tuple(name for name in response.removed_resources if name not in offered),
            misnamed=misnamed,
        )

    def accept(self, received: Received, rejected: Mapping[str, str]) -> DeltaDiscoveryRequest:
        """Retain a response, and make its answer.

        Args:
            received: what `receive` gave, and the caller uses from now on.
            rejected: names of resources that the caller cannot use, with the reasons; whatever it
                had under these names before, it has kept.
        """
        versions = self._versions[received.type_url]
        refused = {**rejected, **received.misnamed}
        for name in received.removed:
            versions.pop(name, None)
        for resource in received.offered:
            if resource.name not in refused:
                versions[resource.name] = resource.version
        for name in refused:
            if name in versions:
                versions[name] = ""
        self._answered.add(received.type_url)
        answer = DeltaDiscoveryRequest(type_url=received.type_url, response_nonce=received.nonce)
        if refused:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
            answer.error_detail.CopyFrom(
                Status(code=INVALID_ARGUMENT, message=reasons[:MAX_REASON_CHARACTERS])
            )
        return answer

    def retained(self, type_url: str) -> Mapping[str, str]:
        """The version of each resource that the caller has, by name; do not change it."""
        return self._versions[type_url]
