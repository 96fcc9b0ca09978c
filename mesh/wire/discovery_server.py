"""One discovery stream as the server sees it (delta ADS), without the stream itself.

1. One response of a type is on the way at a time: until the client has answered it, changes gather,
   and the next response holds their sum. A slow client costs no memory and hears of the newest.
2. What was rejected is not sent again until it changes; the rejection is remembered meanwhile.
3. A response is sent when something differs, or when an answer is owed: to the first request of a
   type, and to a name that was asked for.
4. A policy is sent before the workloads that name it, and removed after them: a workload that
   names a policy which its proxy does not know is closed, and that would cut live connections. So
   is configuration: a waypoint knows how to treat a service before it hears that it serves it.
5. Only waypoints are told configuration, and each only what is for its own Gateway. Which that is
   the shell has to see to: by the first request it is only what the client says.
6. A client that breaks the protocol ends its own stream: the error is raised to the caller.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import DecodeError

from mesh.errors import PeerError
from mesh.model.address import AddressInvalidError, parse_ip
from mesh.proto import discovery_pb2
from mesh.wire.configuration import CONFIGURATION_TYPE
from mesh.wire.discovery_catalogue import (
    ADDRESS_TYPE,
    AUTHORIZATION_TYPE,
    Catalogue,
    Difference,
    Published,
)
from mesh.wire.discovery_interest import Everything, ForWaypoint, Named

ALL: Final = "*"
ORDER: Final = (AUTHORIZATION_TYPE, CONFIGURATION_TYPE, ADDRESS_TYPE)
WAYPOINT: Final = "waypoint"
KINDS: Final[Mapping[str, frozenset[str]]] = {
    "ztunnel": frozenset({AUTHORIZATION_TYPE, ADDRESS_TYPE}),
    WAYPOINT: frozenset({CONFIGURATION_TYPE, ADDRESS_TYPE}),
}
"""Kinds of clients, and which types each must have asked for to know all that it needs."""
MAX_NAMES: Final = 100_000
"""Single names that one stream may ask for."""
MAX_NAME_LENGTH: Final = 1024
MAX_REASON_LENGTH: Final = 2000


class DiscoveryRequestInvalidError(PeerError):
    """A discovery request that makes no sense: the stream ends."""

    code = "discovery_request_invalid"

    def __init__(self, reason: str) -> None:
        """Keep what is wrong with it."""
        super().__init__(f"discovery request: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ClientNode:
    """Who a client says that it is: `KIND~IP~POD.NAMESPACE~NAMESPACE.svc.DOMAIN`, and its node."""

    id: str
    pod: str
    namespace: str
    node_name: str
    kind: str = "ztunnel"
    gateway: str = ""
    """The name of a waypoint's Gateway, which is in its namespace."""

    @property
    def waypoint(self) -> str:
        """`namespace/name` of a waypoint's Gateway; empty for other kinds."""
        return f"{self.namespace}/{self.gateway}" if self.kind == WAYPOINT else ""

    @classmethod
    def parse(cls, node_id: str, node_name: str, gateway: str = "") -> "ClientNode":
        """Read a node id.

        Args:
            node_id: as above.
            node_name: of the metadata.
            gateway: of the metadata.

        Raises:
            DiscoveryRequestInvalidError: not of this form, or of a kind that we do not serve.
        """
        match node_id.split("~"):
            case [kind, ip, pod_and_namespace, _] if kind in KINDS:
                pod, dot, namespace = pod_and_namespace.rpartition(".")
            case _:
                mend = f"must be {'|'.join(sorted(KINDS))}~IP~POD.NAMESPACE~DOMAIN"
                raise DiscoveryRequestInvalidError(f"node id {node_id[:200]!r} {mend}")
        try:
            parse_ip(ip)
        except AddressInvalidError:
            raise DiscoveryRequestInvalidError(f"node id with the address {ip[:60]!r}") from None
        if not (dot and pod and namespace):
            raise DiscoveryRequestInvalidError(f"node id without POD.NAMESPACE: {node_id[:200]!r}")
        if kind == WAYPOINT and not gateway:
            raise DiscoveryRequestInvalidError("a waypoint without GATEWAY_NAME in its metadata")
        return cls(node_id, pod, namespace, node_name, kind, gateway)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The client has taken a response."""

    type_url: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The client has refused a response, or some of it."""

    type_url: str
    reason: str


Event = Acknowledged | Rejected


@dataclass(slots=True)
class _Subscription:
    """One type on one stream."""

    type_url: str
    interest: Everything | Named | ForWaypoint
    owed: bool = True
    """An answer is due even when nothing differs."""
    taken: Catalogue | None = None
    generation: int = 0
    """Of what was last sent (or found to need no sending)."""
    acknowledged: int = 0
    nonce: str = ""
    """Of the response on the way; empty when none is."""
    sent: tuple[str, ...] = ()
    """Names in the response on the way."""
    disputed: frozenset[str] = frozenset()
    """Names that a rejection named, and that were not in any response since."""
    reason: str = ""
    deferred: tuple[str, ...] = ()
    """Removals that wait for another type to be sent first."""


@dataclass(slots=True)
class DiscoveryStream:
    """The state of one stream. Give it requests and publications; ask it for responses."""

    published: Published
    nonce_prefix: str = ""
    node: ClientNode | None = None
    """Set by the first request."""
    _subscriptions: dict[str, _Subscription] = field(default_factory=dict)
    _responses: int = 0

    def publish(self, published: Published) -> None:
        """There is something newer to tell."""
        self.published = published

    def receive(self, octets: bytes) -> Event | None:
        """Take one request.

        Raises:
            DiscoveryRequestInvalidError: the stream must be ended.
        """
        try:
            request = discovery_pb2.DeltaDiscoveryRequest.FromString(octets)
        except DecodeError:
            raise DiscoveryRequestInvalidError("cannot be decoded") from None
        if self.node is None:
            self.node = _node_of(request)
        if request.type_url not in self.published.catalogues:
            raise DiscoveryRequestInvalidError(f"unknown type {request.type_url[:200]!r}")
        if request.type_url == CONFIGURATION_TYPE and not self.node.waypoint:
            raise DiscoveryRequestInvalidError("configuration is for waypoints only")
        subscription = self._subscriptions.get(request.type_url)
        if subscription is None:
            self._subscriptions[request.type_url] = self._subscribed(self.node, request)
            return None
        event = _answered(subscription, request)
        self._resubscribe(self.node, subscription, request)
        return event

    def _subscribed(
        self, node: ClientNode, request: discovery_pb2.DeltaDiscoveryRequest
    ) -> _Subscription:
        wanted = set(request.resource_names_subscribe)
        unwanted = set(request.resource_names_unsubscribe)
        _check_names(wanted)
        versions = dict(request.initial_resource_versions)
        if request.type_url == CONFIGURATION_TYPE:
            configuration = ForWaypoint(node.waypoint, versions)
            configuration.subscribe(wanted - {ALL})
            return _Subscription(request.type_url, configuration)
        if (not wanted and not unwanted) or ALL in wanted - unwanted:
            everything = Everything(versions)
            everything.subscribe(wanted - {ALL})
            return _Subscription(request.type_url, everything)
        named = Named(node.node_name, versions)
        named.subscribe(wanted - unwanted - {ALL})
        return _Subscription(request.type_url, named)

    def _resubscribe(
        self,
        node: ClientNode,
        subscription: _Subscription,
        request: discovery_pb2.DeltaDiscoveryRequest,
    ) -> None:
        wanted = set(request.resource_names_subscribe)
        unwanted = set(request.resource_names_unsubscribe)
        if not wanted and not unwanted:
            return
        _check_names(wanted)
        interest = subscription.interest
        if ALL in wanted and isinstance(interest, Named):
            subscription.interest = interest = Everything(interest.versions())
            subscription.owed = True
        elif ALL in unwanted and isinstance(interest, Everything):
            # What it was sent as a part of everything it has no longer.
            subscription.interest = interest = Named(node.node_name, {})
            subscription.owed = True
        subscription.owed |= interest.unsubscribe(unwanted - {ALL})
        subscription.owed |= interest.subscribe(wanted - {ALL})
        if isinstance(interest, Named) and len(interest.names) > MAX_NAMES:
            raise DiscoveryRequestInvalidError(f"more than {MAX_NAMES} names asked for")

    def next_response(self) -> bytes | None:
        """The next response to send, or None when there is nothing to say just now.

        What it holds counts as sent: send it, or end the stream.
        """
        for type_url in ORDER:
            subscription = self._subscriptions.get(type_url)
            if subscription is None or subscription.nonce:
                continue
            if type_url == ADDRESS_TYPE and not all(map(self._is_current, ORDER[:-1])):
                continue
            response = self._respond(subscription)
            if response is not None:
                return response
        return None

    def _is_current(self, type_url: str) -> bool:
        """Whether the newest of a type has been sent, or nobody has asked for it."""
        subscription = self._subscriptions.get(type_url)
        return subscription is None or subscription.taken is self.published.catalogues[type_url]

    def _respond(self, subscription: _Subscription) -> bytes | None:
        owed = self._take(subscription)
        must_answer, subscription.owed = subscription.owed, False
        if not owed and not must_answer:
            self._in_step(subscription)
            return None
        self._responses += 1
        subscription.nonce = f"{self.nonce_prefix}{self._responses}"
        subscription.generation = self.published.generation
        subscription.sent = (*(resource.name for resource in owed.changed), *owed.removed)
        return self._encoded(subscription, owed)

    def _take(self, subscription: _Subscription) -> Difference:
        """What is to be sent now; removals of other types wait until addresses have been told."""
        catalogue = self.published.catalogues[subscription.type_url]
        if catalogue is subscription.taken and not subscription.owed:
            owed = Difference()
        else:
            owed = subscription.interest.take(catalogue)
            subscription.taken = catalogue
        if not subscription.deferred and not owed.removed:
            return owed
        changed = {resource.name for resource in owed.changed}
        waiting = (name for name in subscription.deferred if name not in changed)
        removed = tuple(dict.fromkeys((*waiting, *owed.removed)))
        if subscription.type_url != ADDRESS_TYPE and not self._is_current(ADDRESS_TYPE):
            subscription.deferred = removed
            return Difference(owed.changed)
        subscription.deferred = ()
        return Difference(owed.changed, removed)

    def _in_step(self, subscription: _Subscription) -> None:
        """A generation that changes nothing for this client needs no acknowledgement."""
        if subscription.deferred:
            return
        if subscription.acknowledged == subscription.generation:
            subscription.acknowledged = self.published.generation
        subscription.generation = self.published.generation

    def _encoded(self, subscription: _Subscription, owed: Difference) -> bytes:
        head = discovery_pb2.DeltaDiscoveryResponse(
            type_url=subscription.type_url,
            system_version_info=str(self.published.generation),
            nonce=subscription.nonce,
            removed_resources=owed.removed,
        )
        if subscription.interest.with_aliases:
            resources = b"".join(resource.framed_with_aliases for resource in owed.changed)
        else:
            resources = b"".join(resource.framed for resource in owed.changed)
        return head.SerializeToString() + resources

    @property
    def acknowledged_generation(self) -> int:
        """The newest generation of which the client has acknowledged everything that concerns it.

        0 until it has asked for every type that a client of its kind needs.
        """
        if self.node is None or not KINDS[self.node.kind] <= self._subscriptions.keys():
            return 0
        return min(subscription.acknowledged for subscription in self._subscriptions.values())

    @property
    def rejection(self) -> str:
        """Why something that it was sent is rejected still; empty when nothing is."""
        return "; ".join(s.reason for s in self._subscriptions.values() if s.reason)

    @property
    def is_waiting(self) -> bool:
        """Whether a response is on the way."""
        return any(subscription.nonce for subscription in self._subscriptions.values())


def _node_of(request: discovery_pb2.DeltaDiscoveryRequest) -> ClientNode:
    fields: Mapping[str, object] = dict(request.node.metadata)
    node_name, gateway = (_text(fields.get(name)) for name in ("NODE_NAME", "GATEWAY_NAME"))
    return ClientNode.parse(request.node.id, node_name, gateway)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _check_names(names: set[str]) -> None:
    if len(names) > MAX_NAMES or any(len(name) > MAX_NAME_LENGTH for name in names):
        limits = f"{MAX_NAMES} names of {MAX_NAME_LENGTH} characters"
        raise DiscoveryRequestInvalidError(f"more than {limits} asked for")


def _answered(
    subscription: _Subscription, request: discovery_pb2.DeltaDiscoveryRequest
) -> Event | None:
    """Take the request as an answer to the response on the way, if it is one."""
    if not request.response_nonce or request.response_nonce != subscription.nonce:
        return None
    names, subscription.nonce, subscription.sent = subscription.sent, "", ()
    if request.HasField("error_detail"):
        reason = request.error_detail.message[:MAX_REASON_LENGTH] or "rejected without a reason"
        subscription.reason = reason
        subscription.disputed |= frozenset(name for name in names if name in reason)
        return Rejected(subscription.type_url, reason)
    if not subscription.deferred:
        subscription.acknowledged = subscription.generation
    subscription.disputed -= frozenset(names)
    if not subscription.disputed:
        subscription.reason = ""
    return Acknowledged(subscription.type_url)
