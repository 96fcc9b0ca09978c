"""PROXY v2 headers, octet by octet."""

from mesh.model.address import SocketAddress
from mesh.model.identity import Identity
from mesh.wire.proxy_protocol import SIGNATURE, header

V4 = SocketAddress.parse("192.0.2.1:40000")
V4_TOO = SocketAddress.parse("192.0.2.2:80")
V6 = SocketAddress.parse("[2001:db8::1]:40000")
V6_TOO = SocketAddress.parse("[2001:db8::2]:80")
WEB = Identity("cluster.local", "shop", "web")


def test_ipv4_has_twelve_octets_of_addresses() -> None:
    octets = header(V4, V4_TOO, None)
    assert octets == SIGNATURE + bytes.fromhex("2111000c c0000201 c0000202 9c40 0050")


def test_the_signature_is_the_standards() -> None:
    assert SIGNATURE.hex() == "0d0a0d0a000d0a515549540a"


def test_ipv6_has_thirty_six_octets_of_addresses() -> None:
    octets = header(V6, V6_TOO, None)
    assert octets[12:16] == bytes.fromhex("21210024")
    assert octets[16:48] == V6.ip + V6_TOO.ip
    assert octets[48:] == bytes.fromhex("9c400050")


def test_two_families_are_both_written_as_ipv6() -> None:
    octets = header(V4, V6_TOO, None)
    assert octets[13] == 0x21
    assert octets[16:32] == bytes(10) + b"\xff\xff" + V4.ip


def test_the_callers_identity_follows_as_a_tlv() -> None:
    octets = header(V4, V4_TOO, WEB)
    name = b"spiffe://cluster.local/ns/shop/sa/web"
    assert octets[28:] == b"\xd0" + len(name).to_bytes(2, "big") + name
    assert int.from_bytes(octets[14:16], "big") == len(octets) - 16
