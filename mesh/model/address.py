"""Addresses as octets: four or sixteen, in network order.

Octets instead of `ipaddress` objects, because a worker keeps one for each pod of the cluster
(37 octets against 120), and because they are what the workload API carries.
"""

import socket
from dataclasses import dataclass
from typing import NewType

from mesh.errors import PeerError

Ip = NewType("Ip", bytes)
"""An IPv4 (4 octets) or IPv6 (16 octets) address; a v4-mapped one is kept as IPv4."""

V4_MAPPED = bytes(10) + b"\xff\xff"


class AddressInvalidError(PeerError):
    """A text or octets that are not an address, or not an address with a port."""

    code = "address_invalid"

    def __init__(self, text: str) -> None:
        """Keep the offending text."""
        super().__init__(f"{text!r} is not an address")
        self.text = text


def ip_from_bytes(octets: bytes) -> Ip:
    """Check the length, and make a v4-mapped IPv6 address the IPv4 address that it means.

    Raises:
        AddressInvalidError: neither four nor sixteen octets.
    """
    if len(octets) == 16 and octets.startswith(V4_MAPPED):
        return Ip(octets[12:])
    if len(octets) not in (4, 16):
        raise AddressInvalidError(octets.hex())
    return Ip(octets)


def parse_ip(text: str) -> Ip:
    """Read `192.0.2.1` or `2001:db8::1` (no brackets, no zone).

    Raises:
        AddressInvalidError: anything else.
    """
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        return ip_from_bytes(socket.inet_pton(family, text))
    except (OSError, ValueError):
        raise AddressInvalidError(text) from None


def format_ip(ip: Ip) -> str:
    """The text of an address, without brackets."""
    return socket.inet_ntop(socket.AF_INET if len(ip) == 4 else socket.AF_INET6, ip)


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """An address with a TCP port."""

    ip: Ip
    port: int

    @classmethod
    def parse(cls, text: str) -> "SocketAddress":
        """Read `192.0.2.1:80` or `[2001:db8::1]:80`, as an HBONE authority carries it.

        Raises:
            AddressInvalidError: no such address, or a port outside 0..65535.
        """
        host, _, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if bracketed != (":" in host) or not (port.isascii() and port.isdecimal()):
            raise AddressInvalidError(text)
        if len(port) > 5 or int(port) > 65535:
            raise AddressInvalidError(text)
        return cls(parse_ip(host.strip("[]") if bracketed else host), int(port))

    def __str__(self) -> str:
        host = format_ip(self.ip)
        return f"[{host}]:{self.port}" if len(self.ip) == 16 else f"{host}:{self.port}"
