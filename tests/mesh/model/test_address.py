import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.model.address import (
    V4_MAPPED,
    AddressInvalidError,
    Ip,
    SocketAddress,
    format_ip,
    ip_from_bytes,
    parse_ip,
)

OCTETS = st.one_of(
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=16, max_size=16).filter(lambda octets: not octets.startswith(V4_MAPPED)),
)


@given(OCTETS, st.integers(0, 65_535))
def test_what_is_written_can_be_read_again(octets: bytes, port: int) -> None:
    address = SocketAddress(ip_from_bytes(octets), port)
    assert SocketAddress.parse(str(address)) == address
    assert parse_ip(format_ip(address.ip)) == address.ip


@given(st.text())
def test_any_text_is_an_address_or_an_error_of_ours(text: str) -> None:
    for read in (parse_ip, SocketAddress.parse):
        try:
            read(text)
        except MeshError:
            continue


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("192.0.2.1", "c0000201"),
        ("2001:db8::1", "20010db8000000000000000000000001"),
        ("::ffff:192.0.2.1", "c0000201"),
    ],
)
def test_an_address_is_its_octets_and_a_mapped_one_is_ipv4(text: str, octets: str) -> None:
    assert parse_ip(text).hex() == octets


@pytest.mark.parametrize(
    "text",
    ["", "192.0.2", "192.0.2.256", "192.0.2.1/24", "fe80::1%eth0", "[::1]", "web", "1::2::3"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressInvalidError) as caught:
        parse_ip(text)
    assert caught.value.text == text


@pytest.mark.parametrize("octets", [b"", b"123", b"12345", b"x" * 17])
def test_octets_of_another_length_are_refused(octets: bytes) -> None:
    with pytest.raises(AddressInvalidError):
        ip_from_bytes(octets)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("192.0.2.1:80", "192.0.2.1:80"),
        ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1:80"),
        ("192.0.2.1:0", "192.0.2.1:0"),
        ("192.0.2.1:00080", "192.0.2.1:80"),
    ],
)
def test_an_address_with_a_port_is_written_as_an_authority(text: str, written: str) -> None:
    assert str(SocketAddress.parse(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.0.2.1",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "192.0.2.1:-1",
        "192.0.2.1:+1",
        "192.0.2.1:٣",
        "[192.0.2.1]:80",
        "2001:db8::1:80",
        "[2001:db8::1]",
        "[2001:db8::1]80",
        "web:80",
    ],
)
def test_what_is_no_address_with_a_port_is_refused(text: str) -> None:
    with pytest.raises(AddressInvalidError):
        SocketAddress.parse(text)


def test_addresses_are_octets_at_run_time() -> None:
    assert Ip(b"1234") == b"1234"
