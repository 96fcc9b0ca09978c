"""Delta discovery, the client's side: subscriptions, answers, what is retained."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.proto.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from mesh.wire.discovery_client import (
    ADDRESS_TYPE,
    AUTHORIZATION_TYPE,
    INVALID_ARGUMENT,
    DiscoveryClient,
    DiscoveryInvalidError,
    decode_response,
    make_node,
)

NODE = make_node("ztunnel~1.1.1.1~z.ns~ns.svc.cluster.local", {"NAMESPACE": "ns"})
TYPES = (ADDRESS_TYPE, AUTHORIZATION_TYPE)


@pytest.fixture
def client() -> DiscoveryClient:
    return DiscoveryClient(NODE, TYPES)


def response(
    resources: Mapping[str, str],
    *,
    removed: tuple[str, ...] = (),
    type_url: str = ADDRESS_TYPE,
    inside: str = "",
) -> DeltaDiscoveryResponse:
    """A response with a resource per (name, version)."""
    made = DeltaDiscoveryResponse(type_url=type_url, nonce="n1", removed_resources=removed)
    for name, version in resources.items():
        resource = made.resources.add(name=name, version=version)
        resource.resource.type_url = inside or type_url
        resource.resource.value = name.encode()
    return made


def take(
    client: DiscoveryClient,
    resources: Mapping[str, str],
    *,
    removed: tuple[str, ...] = (),
    rejected: Mapping[str, str] | None = None,
    type_url: str = ADDRESS_TYPE,
) -> DeltaDiscoveryRequest:
    received = client.receive(response(resources, removed=removed, type_url=type_url))
    return client.accept(received, rejected or {})


def test_the_first_requests_ask_for_everything_of_each_type(client: DiscoveryClient) -> None:
    first = client.first_requests()
    assert [request.type_url for request in first] == list(TYPES)
    assert all(request.node == NODE for request in first)
    assert not any(request.resource_names_subscribe for request in first)


def test_an_ack_names_type_and_nonce_and_nothing_else(client: DiscoveryClient) -> None:
    expected = DeltaDiscoveryRequest(type_url=ADDRESS_TYPE, response_nonce="n1")
    assert take(client, {"a": "1"}) == expected


def test_a_rejected_resource_is_named_and_the_others_of_its_response_count(
    client: DiscoveryClient,
) -> None:
    answer = take(client, {"a": "1", "b": "1"}, rejected={"b": "no such protocol"})
    assert answer.error_detail.code == INVALID_ARGUMENT
    assert answer.error_detail.message == "b: no such protocol"
    assert client.retained(ADDRESS_TYPE) == {"a": "1"}


def test_a_new_stream_says_what_is_retained(client: DiscoveryClient) -> None:
    take(client, {"a": "1", "b": "1", "c": "1"})
    take(client, {"a": "2"}, removed=("b",))
    take(client, {"p": ""}, type_url=AUTHORIZATION_TYPE)
    addresses, policies = client.first_requests()
    assert dict(addresses.initial_resource_versions) == {"a": "2", "c": "1"}
    assert dict(policies.initial_resource_versions) == {"p": ""}


def test_a_rejected_update_is_asked_for_again(client: DiscoveryClient) -> None:
    take(client, {"a": "1"})
    take(client, {"a": "2"}, rejected={"a": "bad"})
    assert dict(client.first_requests()[0].initial_resource_versions) == {"a": ""}


def test_what_came_from_the_disk_is_retained() -> None:
    client = DiscoveryClient(NODE, TYPES, {ADDRESS_TYPE: {"a": "7"}})
    assert dict(client.first_requests()[0].initial_resource_versions) == {"a": "7"}


def test_it_is_synced_when_each_type_has_come_on_this_stream(client: DiscoveryClient) -> None:
    synced = []
    for step in (
        client.first_requests,
        lambda: take(client, {}),
        lambda: take(client, {}, type_url=AUTHORIZATION_TYPE),
        client.first_requests,
    ):
        step()
        synced.append(client.is_synced)
    assert synced == [False, False, True, False]


def test_a_name_that_is_removed_and_sent_at_once_is_there(client: DiscoveryClient) -> None:
    received = client.receive(response({"a": "2"}, removed=("a", "b")))
    assert received.removed == ("b",)


def test_an_unknown_name_may_be_removed(client: DiscoveryClient) -> None:
    assert not take(client, {}, removed=("never seen",)).HasField("error_detail")


def test_a_resource_of_another_type_is_rejected_alone(client: DiscoveryClient) -> None:
    received = client.receive(response({"a": "1"}, inside="type.googleapis.com/other"))
    assert received.offered == ()
    assert "other" in client.accept(received, {}).error_detail.message


def test_a_response_that_was_not_asked_for_is_an_error(client: DiscoveryClient) -> None:
    with pytest.raises(DiscoveryInvalidError, match="not asked for"):
        client.receive(response({}, type_url="type.googleapis.com/other"))


def test_a_nameless_resource_is_an_error(client: DiscoveryClient) -> None:
    with pytest.raises(DiscoveryInvalidError, match="name"):
        client.receive(response({"": "1"}))


def test_a_long_list_of_reasons_is_cut(client: DiscoveryClient) -> None:
    answer = take(client, {"a": "1"}, rejected={"a": "x" * 10_000})
    assert len(answer.error_detail.message) == 4096


@given(st.binary(max_size=200))
def test_garbage_raises_only_our_own_errors(octets: bytes) -> None:
    client = DiscoveryClient(NODE, TYPES)
    try:
        client.accept(client.receive(decode_response(octets)), {})
    except MeshError:
        assert client.retained(ADDRESS_TYPE) == {}


names = st.sampled_from("abcd")
steps = st.lists(
    st.tuples(
        st.dictionaries(names, st.sampled_from("12")), st.lists(names, max_size=2), st.sets(names)
    ),
    max_size=8,
)


@given(steps)
def test_what_is_retained_is_what_a_caller_holds(
    steps: list[tuple[dict[str, str], list[str], set[str]]],
) -> None:
    client, held = DiscoveryClient(NODE, TYPES), set[str]()
    for resources, removed, unusable in steps:
        rejected = {name: "unusable" for name in resources if name in unusable}
        take(client, resources, removed=tuple(removed), rejected=rejected)
        held -= set(removed) - set(resources)
        held |= set(resources) - unusable
        assert set(client.retained(ADDRESS_TYPE)) == held
