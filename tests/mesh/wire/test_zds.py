"""ZDS: each message there and back, the rules about descriptors and sizes, and garbage."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import PeerError
from mesh.proto import zds_pb2
from mesh.wire import zds
from mesh.wire.feed import PodInfo
from mesh.wire.zds import AddPod, DelPod, KeepPod, Request, SnapshotSent

WEB = PodInfo("uid-1", "web-1", "shop", "web")
texts = st.text(max_size=40)
uids = st.text(min_size=1, max_size=40)
requests = st.one_of(
    st.builds(AddPod, st.builds(PodInfo, uids, texts, texts, texts)),
    st.builds(KeepPod, uids),
    st.builds(DelPod, uids),
    st.just(SnapshotSent()),
)


def descriptors_of(request: Request) -> int:
    return 1 if isinstance(request, AddPod) else 0


@given(requests)
def test_a_request_arrives_as_it_was_sent(request: Request) -> None:
    assert zds.decode_request(zds.encode_request(request), descriptors_of(request)) == request


@given(st.binary(max_size=1100), st.integers(0, 2))
def test_garbage_is_a_request_or_an_error_of_the_peer(octets: bytes, descriptors: int) -> None:
    for decode in (
        lambda: zds.decode_request(octets, descriptors),
        lambda: zds.decode_response(octets),
        lambda: zds.decode_hello(octets),
    ):
        with contextlib.suppress(PeerError):
            decode()


@pytest.mark.parametrize(
    ("request_", "octets"),
    [
        (KeepPod("ab"), b"\x2a\x04\x0a\x02ab"),
        (DelPod("ab"), b"\x12\x04\x12\x02ab"),
        (SnapshotSent(), b"\x1a\x00"),
        (
            AddPod(PodInfo("u", "n", "s", "a")),
            b"\x0a\x0e\x0a\x01u\x12\x09\x0a\x01n\x12\x01s\x1a\x01a",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_request_has_the_octets_that_other_programs_send(
    request_: Request, octets: bytes
) -> None:
    assert zds.encode_request(request_) == octets


def test_the_hello_names_version_one() -> None:
    assert zds.encode_hello() == b"\x08\x01"
    zds.decode_hello(zds.encode_hello())


def test_a_hello_of_another_version_is_refused() -> None:
    for packet in (b"", b"\x08\x02"):
        with pytest.raises(zds.ZdsInvalidError, match="version"):
            zds.decode_hello(packet)


@given(st.text(max_size=900))
def test_an_answer_says_success_or_why_not(error: str) -> None:
    answered = zds.decode_response(zds.encode_response(error))
    assert error.startswith(answered)
    assert bool(answered) == bool(error)


def test_a_long_reason_is_cut_so_that_the_answer_fits() -> None:
    packet = zds.encode_response("ü" * 2000)
    assert len(packet) <= zds.MAX_PACKET_OCTETS
    assert set(zds.decode_response(packet)) == {"ü"}


@pytest.mark.parametrize(
    ("request_", "wrong"), [(AddPod(WEB), 0), (AddPod(WEB), 2), (KeepPod("u"), 1)]
)
def test_a_descriptor_too_many_or_too_few_is_refused(request_: Request, wrong: int) -> None:
    with pytest.raises(zds.ZdsInvalidError, match="descriptors"):
        zds.decode_request(zds.encode_request(request_), wrong)


def test_a_pod_without_uid_or_without_names_is_refused() -> None:
    nameless = zds_pb2.WorkloadRequest(add=zds_pb2.AddWorkload(uid="u")).SerializeToString()
    with pytest.raises(zds.ZdsInvalidError, match="workload_info"):
        zds.decode_request(nameless, 1)
    anonymous = zds_pb2.WorkloadRequest(keep=zds_pb2.KeepWorkload()).SerializeToString()
    with pytest.raises(zds.ZdsInvalidError, match="uid"):
        zds.decode_request(anonymous, 0)


def test_a_packet_one_octet_too_long_is_refused_on_both_sides() -> None:
    longest = KeepPod("x" * (zds.MAX_PACKET_OCTETS - 6))
    assert len(zds.encode_request(longest)) == zds.MAX_PACKET_OCTETS
    longer = KeepPod(longest.uid + "x")
    with pytest.raises(zds.ZdsTooLargeError):
        zds.encode_request(longer)
    with pytest.raises(zds.ZdsInvalidError, match="1025"):
        zds.decode_request(b"\x00" * 1025, 0)


def test_an_answer_that_is_no_ack_is_refused() -> None:
    with pytest.raises(zds.ZdsInvalidError, match="ack"):
        zds.decode_response(b"")
