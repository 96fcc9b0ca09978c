"""Header lists to blocks, as a foreign decoder reads them."""

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.wire.http2.headers import HeaderDecoder, HeaderEncoder

CONNECT = (
    (b":method", b"CONNECT"),
    (b":authority", b"10.0.0.1:80"),
    (b"baggage", b"k8s.namespace.name=shop"),
)
CHANGING = (
    (b"forwarded", b'for="10.0.0.9:40000"'),
    (b"traceparent", b"00-0123456789abcdef0123456789abcdef-fedcba9876543210-00"),
)


def test_what_changes_is_in_its_place_and_never_in_the_table() -> None:
    encoder, foreign, ours = HeaderEncoder(), hpack.Decoder(), HeaderDecoder(64 * 1024)
    headers = (*CONNECT, *CHANGING, (b"x-forwarded-network", b"north"))

    first, second = encoder.encode(headers), encoder.encode(headers)

    for block in (first, second):
        read = foreign.decode(block, raw=True)
        assert tuple((bytes(field[0]), bytes(field[1])) for field in read) == headers
        assert ours.decode(block) == headers
    assert b"traceparent" in second
    assert b"baggage" not in second  # by its number


@pytest.mark.parametrize("octets", [0, 126, 127, 300])
def test_a_changing_value_of_any_length_is_read_back(octets: int) -> None:
    headers = ((b":method", b"CONNECT"), (b"forwarded", b"x" * octets))

    assert HeaderDecoder(64 * 1024).decode(HeaderEncoder().encode(headers)) == headers


def test_a_table_that_the_peer_limits_is_limited_before_the_first_field() -> None:
    encoder, foreign = HeaderEncoder(), hpack.Decoder()
    encoder.encode(CONNECT)
    encoder.limit_table(0)
    foreign.max_allowed_table_size = 0

    read = foreign.decode(encoder.encode((*CHANGING, *CONNECT)), raw=True)

    assert len(read) == len(CHANGING) + len(CONNECT)


FIELDS = st.sampled_from(
    (
        (b":path", b"/a"),
        (b":path", b"/b"),
        (b"content-type", b"application/grpc"),
        (b"grpc-status", b"0"),
        (b"traceparent", b"00-1"),
        (b"traceparent", b"00-2"),
        (b"x-long", b"x" * 300),
        (b"x-longer", b"y" * 3000),
        *((b"x-%d" % number, b"value") for number in range(6)),
    )
)
LISTS = st.lists(FIELDS, min_size=1, max_size=6)


@given(st.lists(st.tuples(LISTS, st.sampled_from((None,) * 6 + (0, 60, 200, 4096))), max_size=40))
def test_what_is_remembered_holds_for_the_table_of_the_moment(
    steps: list[tuple[list[tuple[bytes, bytes]], int | None]],
) -> None:
    encoder, foreign, ours = HeaderEncoder(), hpack.Decoder(), HeaderDecoder(64 * 1024)
    theirs, reads_theirs = hpack.Encoder(), HeaderDecoder(64 * 1024)
    for fields, limit in steps:
        if limit is not None:
            encoder.limit_table(limit)
            theirs.header_table_size = limit
        headers = ((b":status", b"200"), *fields)
        block = encoder.encode(headers)
        read = foreign.decode(block, raw=True)
        assert tuple((bytes(field[0]), bytes(field[1])) for field in read) == headers
        assert ours.decode(block) == headers
        assert reads_theirs.decode(theirs.encode(headers)) == headers


def test_a_list_that_is_sent_again_costs_no_second_reading() -> None:
    encoder, ours = HeaderEncoder(), HeaderDecoder(64 * 1024)
    headers = ((b":status", b"200"), (b"content-type", b"application/grpc"))
    blocks = [encoder.encode(headers) for _ in range(4)]
    read = [ours.decode(block) for block in blocks]
    assert blocks[2] is blocks[3]
    assert read[2] is read[3]
