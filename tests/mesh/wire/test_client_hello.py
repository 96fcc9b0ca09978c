import ssl
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.wire.client_hello import (
    MAX_HELLO_OCTETS,
    MOST_RECORDS,
    ClientHelloInvalidError,
    server_name,
)


def hello(name: str | None) -> bytes:
    """What a real client says first."""
    said = ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    client = context.wrap_bio(ssl.MemoryBIO(), said, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return said.read()


def in_records(octets: bytes, size: int) -> bytes:
    """The same message in records of so many octets."""
    message = octets[5:]
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(piece)) + piece for piece in pieces)


def test_the_name_is_read_in_lower_case() -> None:
    assert server_name(hello("Shop.Example.ORG")) == "shop.example.org"


def test_a_client_may_name_nobody() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    said = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), said).do_handshake()
    assert server_name(said.read()) == ""


def test_every_beginning_wants_more_and_what_follows_does_not_matter() -> None:
    whole = hello("a.example")
    assert {server_name(whole[:size]) for size in range(len(whole))} == {None}
    assert server_name(whole + b"anything") == "a.example"


@pytest.mark.parametrize("size", [70, 100, 10_000])
def test_how_it_is_cut_into_records_does_not_matter(size: int) -> None:
    assert server_name(in_records(hello("a.example"), size)) == "a.example"


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x02\x00\x00\x05",
        b"\x17\x03\x01\x00\x05",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\x00\x08\x01\x00\x00\x04\x03\x03\x00\x00",
    ],
)
def test_what_is_no_client_hello_says_so(octets: bytes) -> None:
    with pytest.raises(ClientHelloInvalidError):
        server_name(octets)


def test_a_hello_without_end_is_refused_by_its_announcement() -> None:
    announced = (MAX_HELLO_OCTETS + 1).to_bytes(3, "big")
    with pytest.raises(ClientHelloInvalidError):
        server_name(b"\x16\x03\x01\x00\x10\x01" + announced + bytes(12))


@given(st.binary(max_size=400))
def test_garbage_raises_only_our_own_errors(octets: bytes) -> None:
    for start in (b"", b"\x16\x03\x01\x01\x00", b"\x16\x03\x01\x00\x60\x01\x00\x00\x5c\x03\x03"):
        with suppress(MeshError):
            server_name(start + octets)


@given(st.integers(min_value=0, max_value=600), st.binary(min_size=1, max_size=20))
def test_a_hello_with_garbage_in_it_raises_only_our_own_errors(at: int, garbage: bytes) -> None:
    whole = bytearray(HELLO)
    whole[at : at + len(garbage)] = garbage
    with suppress(MeshError):
        server_name(bytes(whole))


HELLO = hello("a.example")


def test_a_message_in_more_records_than_anybody_needs_is_refused() -> None:
    record = b"\x16\x03\x01\x00\x01"
    message = b"\x01\x00\x20\x00" + bytes(MOST_RECORDS)
    octets = b"".join(record + message[at : at + 1] for at in range(len(message)))
    with pytest.raises(ClientHelloInvalidError):
        server_name(octets)
    assert server_name(octets[: len(record) * 3 + 3]) is None
