"""The server's side of delta discovery for waypoints: configuration, each its own, in order."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from google.protobuf.struct_pb2 import Struct

from mesh.proto.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from mesh.proto.node_pb2 import Node
from mesh.wire.configuration import CONFIGURATION_TYPE
from mesh.wire.discovery_catalogue import (
    ADDRESS_TYPE,
    AUTHORIZATION_TYPE,
    Published,
    Resource,
    make_resource,
    successor,
)
from mesh.wire.discovery_server import DiscoveryRequestInvalidError, DiscoveryStream

WAYPOINT_ID = "waypoint~192.0.2.9~way-1.shop~shop.svc.cluster.local"
ZTUNNEL_ID = "ztunnel~192.0.2.9~ztunnel-1.istio-system~istio-system.svc.cluster.local"


def route(name: str, content: str, *waypoints: str) -> Resource:
    made = make_resource(CONFIGURATION_TYPE, name, content.encode())
    return replace(made, waypoints=frozenset(waypoints))


def address(name: str, content: str = "x") -> Resource:
    return make_resource(ADDRESS_TYPE, name, content.encode())


def published(last: Published, configuration: Iterable[Resource], *who: Resource) -> Published:
    given = {CONFIGURATION_TYPE: tuple(configuration), ADDRESS_TYPE: who, AUTHORIZATION_TYPE: ()}
    catalogues = {
        type_url: successor(last.catalogues[type_url], {one.name: one for one in several})
        for type_url, several in given.items()
    }
    return Published(last.generation + 1, catalogues)


class Client:
    """A client that keeps what it is sent, and acknowledges it."""

    def __init__(self, now: Published, node_id: str = WAYPOINT_ID, gateway: str = "way") -> None:
        self.stream = DiscoveryStream(now)
        metadata = Struct()
        metadata.update({"GATEWAY_NAME": gateway, "NODE_NAME": "a"})
        self._node = Node(id=node_id, metadata=metadata)

    def ask(self, *types: str, versions: dict[str, str] | None = None) -> None:
        for type_url in types:
            request = DeltaDiscoveryRequest(
                node=self._node, type_url=type_url, initial_resource_versions=versions or {}
            )
            self.stream.receive(request.SerializeToString())

    def hear(self) -> list[str]:
        """What is said until there is no more: `+name` and `-name`."""
        said: list[str] = []
        while (octets := self.stream.next_response()) is not None:
            response = DeltaDiscoveryResponse.FromString(octets)
            said += [f"+{resource.name}" for resource in response.resources]
            said += [f"-{name}" for name in response.removed_resources]
            answer = DeltaDiscoveryRequest(
                type_url=response.type_url, response_nonce=response.nonce
            )
            self.stream.receive(answer.SerializeToString())
        return said


def client(now: Published) -> Client:
    made = Client(now)
    made.ask(CONFIGURATION_TYPE, ADDRESS_TYPE)
    return made


def test_a_waypoint_is_told_what_is_for_its_own_gateway() -> None:
    now = published(
        Published(), [route("a", "1", "shop/way"), route("b", "1", "shop/other", "else/way")]
    )
    assert client(now).hear() == ["+a"]


def test_configuration_comes_before_addresses_and_goes_after_them() -> None:
    one = published(Published(), [route("a", "1", "shop/way")], address("s"))
    waypoint = client(one)
    assert waypoint.hear() == ["+a", "+s"]

    two = published(one, [route("b", "1", "shop/way")], address("s", "other"))
    waypoint.stream.publish(two)
    assert waypoint.hear() == ["+b", "+s", "-a"]


def test_what_comes_to_be_for_a_gateway_is_told_though_it_is_the_same() -> None:
    one = published(Published(), [route("a", "1", "shop/other")])
    waypoint = client(one)
    assert waypoint.hear() == []

    two = published(one, [route("a", "1", "shop/other", "shop/way")])
    waypoint.stream.publish(two)
    assert waypoint.hear() == ["+a"]

    waypoint.stream.publish(published(two, [route("a", "1", "shop/other")]))
    assert waypoint.hear() == ["-a"]


def test_who_comes_back_is_told_what_has_changed_only() -> None:
    kept, changed = route("a", "1", "shop/way"), route("b", "2", "shop/way")
    waypoint = Client(published(Published(), [kept, changed]))
    waypoint.ask(CONFIGURATION_TYPE, versions={"a": kept.version, "b": "old", "gone": "1"})
    assert waypoint.hear() == ["+b", "-gone"]


def test_a_waypoint_has_acknowledged_when_it_has_asked_for_both_of_its_types() -> None:
    now = published(Published(), [route("a", "1", "shop/way")], address("s"))
    waypoint = Client(now)
    waypoint.ask(ADDRESS_TYPE)
    waypoint.hear()
    assert waypoint.stream.acknowledged_generation == 0

    waypoint.ask(CONFIGURATION_TYPE)
    waypoint.hear()
    assert waypoint.stream.acknowledged_generation == now.generation


def test_what_is_for_others_needs_no_acknowledgement() -> None:
    one = published(Published(), [route("a", "1", "shop/way")], address("s"))
    waypoint = client(one)
    waypoint.hear()
    two = published(one, [route("a", "1", "shop/way"), route("b", "1", "x/y")], address("s"))
    waypoint.stream.publish(two)
    assert waypoint.hear() == []
    assert waypoint.stream.acknowledged_generation == two.generation


def test_a_node_proxy_that_asks_for_configuration_is_sent_away() -> None:
    now = published(Published(), [route("a", "1", "istio-system/way")])
    with pytest.raises(DiscoveryRequestInvalidError, match="for waypoints only"):
        Client(now, ZTUNNEL_ID).ask(CONFIGURATION_TYPE)


def test_a_waypoint_that_does_not_say_whose_it_is_is_sent_away() -> None:
    with pytest.raises(DiscoveryRequestInvalidError, match="GATEWAY_NAME"):
        Client(Published(), gateway="").ask(ADDRESS_TYPE)


def test_a_name_that_is_asked_for_is_answered_when_it_is_for_the_gateway() -> None:
    now = published(Published(), [route("a", "1", "shop/way"), route("b", "1", "x/y")])
    waypoint = client(now)
    waypoint.hear()
    again = DeltaDiscoveryRequest(
        type_url=CONFIGURATION_TYPE, resource_names_subscribe=["a", "b", "c"]
    )
    waypoint.stream.receive(again.SerializeToString())
    assert waypoint.hear() == ["+a", "-b", "-c"]
