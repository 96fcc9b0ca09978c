from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.model.workload import Locality, Port, Workload
from mesh.wire.feed import MAX_PACKET_OCTETS, Applied, StateDelta
from mesh.wire.feed_codec import (
    FeedInvalidError,
    FeedTooLargeError,
    Message,
    Resource,
    decode,
    decode_resource,
    encode,
    encode_resource,
    resource_name,
    state_packets,
)
from mesh.wire.pack import pack
from tests.mesh.values import CONFIGURED, DELTAS, MESSAGES, POLICIES, SERVICES, WORKLOADS
from tests.mesh.worlds import delta, pod, policy, service


@pytest.mark.slow
@given(MESSAGES)
def test_what_is_sent_is_what_is_read(message: Message) -> None:
    assert decode(encode(message)) == message


@given(st.binary(max_size=300))
def test_any_octets_are_a_message_or_an_error_of_ours(octets: bytes) -> None:
    with suppress(MeshError):
        decode(octets)


@pytest.mark.slow
@settings(max_examples=50)
@given(MESSAGES, st.data())
def test_a_damaged_packet_is_a_message_or_an_error_of_ours(
    message: Message, data: st.DataObject
) -> None:
    packet = bytearray(encode(message))
    position = data.draw(st.integers(0, len(packet) - 1))
    packet[position] = data.draw(st.integers(0, 255))
    with suppress(MeshError):
        decode(bytes(packet))


@pytest.mark.parametrize(
    "value",
    [
        (),
        0,
        ("0",),
        (99, 1),
        (-1,),
        (13,),
        (13, 1, 2),
        (13, "1"),
        (0, 1, True, False, (1,), (), (), (), (), (), ()),
        (0, 1, True, False, (("uid",),), (), (), (), (), (), ()),
        (0, 1, True, False, (), (), (), (1,), (), (), ()),
        (0, 1, True, False, (), (), (), "ab", (), (), ()),
        (1, ("uid", "name", 1, "account")),
        (6, "soon"),
        None,
    ],
)
def test_what_has_not_the_shape_of_a_message_is_refused(value: object) -> None:
    with pytest.raises(FeedInvalidError):
        decode(pack(value))


@pytest.mark.slow
@settings(max_examples=50)
@given(st.one_of(WORKLOADS, SERVICES, POLICIES, CONFIGURED))
def test_a_resource_alone_comes_back(resource: Resource) -> None:
    assert decode_resource(encode_resource(resource)) == resource


@given(st.binary(max_size=200))
def test_any_octets_are_a_resource_or_an_error_of_ours(octets: bytes) -> None:
    with suppress(MeshError):
        decode_resource(octets)


def test_a_message_is_no_resource() -> None:
    with pytest.raises(FeedInvalidError):
        decode_resource(pack((7, 1)))


def test_a_resource_has_the_name_by_which_it_is_removed() -> None:
    assert resource_name(pod("a")) == "Kubernetes//Pod/shop/a"
    assert resource_name(service("web")) == "shop/web"
    assert resource_name(policy("p")) == "shop/p"


def test_what_repeats_is_one_object() -> None:
    place = Locality("north", "a")
    served = {"shop/web": (Port(80, 8080),)}
    packet = encode(
        delta(*(pod(f"p{n}", locality=place, serves=served, node=f"no{'de'}") for n in range(2)))
    )
    first, second = decoded(packet).workloads
    assert first.locality is second.locality
    assert first.services is second.services
    assert first.services["shop/web"] is second.services["shop/web"]
    assert first.node is second.node


def decoded(packet: bytes) -> StateDelta:
    message = decode(packet)
    assert isinstance(message, StateDelta)
    return message


# Packets of a large delta.


def joined(packets: list[bytes]) -> StateDelta:
    parts = [decoded(packet) for packet in packets]
    assert all(len(packet) <= MAX_PACKET_OCTETS for packet in packets)
    assert [part.last for part in parts[:-1]] == [False] * (len(parts) - 1)
    assert not any(part.reset for part in parts[1:])
    assert len({part.version for part in parts}) == 1
    return StateDelta(
        parts[0].version,
        parts[-1].last,
        parts[0].reset,
        *(
            tuple(one for part in parts for one in getattr(part, name))
            for name in (
                "workloads",
                "services",
                "policies",
                "removed_addresses",
                "removed_policies",
                "configuration",
                "removed_configuration",
            )
        ),
    )


@pytest.mark.slow
@settings(max_examples=25)
@given(DELTAS)
def test_the_packets_of_a_delta_are_the_delta(whole: StateDelta) -> None:
    assert joined(list(state_packets(whole))) == whole


def test_a_large_delta_is_cut_and_its_marks_stay_at_the_ends() -> None:
    whole = delta(
        *(pod(f"p{number}") for number in range(1000)),
        *(service(f"s{number}") for number in range(300)),
        *(policy(f"p{number}") for number in range(300)),
        reset=True,
        removed=tuple(f"gone-{number}" for number in range(300)),
        removed_policies=tuple(f"gone-{number}" for number in range(300)),
    )
    packets = list(state_packets(whole))
    assert len(packets) > 15
    assert joined(packets) == whole


def test_no_part_has_so_many_resources_that_a_worker_would_pause() -> None:
    whole = delta(*(pod(f"p{number}") for number in range(1000)))
    assert max(len(decoded(packet).workloads) for packet in state_packets(whole)) <= 128


def test_heavy_resources_are_cut_by_size() -> None:
    heavy = tuple(pod(f"p{number}", hostname=f"{number}" * 30_000) for number in range(9))
    packets = list(state_packets(delta(*heavy, reset=True)))
    assert joined(packets) == delta(*heavy, reset=True)
    removed = tuple(f"{number}" * 30_000 for number in range(9))
    assert joined(list(state_packets(delta(removed=removed)))).removed_addresses == removed


@pytest.mark.parametrize("last", [True, False])
def test_nothing_is_still_one_packet(last: bool) -> None:
    empty = delta(last=last, reset=True)
    assert [decoded(packet) for packet in state_packets(empty)] == [empty]


def test_one_resource_that_is_too_large_is_named() -> None:
    huge = replace(pod("huge"), hostname="x" * MAX_PACKET_OCTETS)
    with pytest.raises(FeedTooLargeError) as caught:
        list(state_packets(delta(huge, pod("small"))))
    assert caught.value.name == huge.uid
    assert caught.value.size > MAX_PACKET_OCTETS


def test_a_packet_is_small() -> None:
    typical: Workload = pod("web-7d4b9c-x2x9z", "10.0.0.1", serves=("shop/web",), policies=("a/b",))
    assert len(encode(delta(typical))) < 250
    assert len(encode(Applied(3))) < 5
