"""PROXY protocol, version 2: the header that tells an application who really calls.

    +-------------------+------+--------+------------+-----------+-----------+-------------------+
    | signature, 12     | 0x21 | family | length, 16 | addresses | two ports | TLV: type, length |
    +-------------------+------+--------+------------+-----------+-----------+-------------------+

Only what a node proxy says to a waypoint behind it: the command PROXY over TCP, and the caller's
identity as a TLV of type 0xD0 (Istio's number, in the range for own use).
"""

import struct
from typing import Final

from mesh.model.address import SocketAddress
from mesh.model.identity import Identity

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
VERSION_AND_COMMAND: Final = 0x21
TCP_V4: Final = 0x11
TCP_V6: Final = 0x21
IDENTITY_TLV: Final = 0xD0
V4_MAPPED: Final = bytes(10) + b"\xff\xff"

_HEAD: Final = struct.Struct(">BBH")
_PORTS: Final = struct.Struct(">HH")
_TLV: Final = struct.Struct(">BH")


def header(source: SocketAddress, destination: SocketAddress, peer: Identity | None) -> bytes:
    """The octets to send before the connection's own.

    Args:
        source: who calls. Of another family than the destination, both are written as IPv6.
        destination: what was called.
        peer: the caller by its certificate, None when there was none.
    """
    if len(source.ip) == len(destination.ip) == 4:
        family, ips = TCP_V4, source.ip + destination.ip
    else:
        family, ips = TCP_V6, _as_v6(source.ip) + _as_v6(destination.ip)
    body = ips + _PORTS.pack(source.port, destination.port)
    if peer is not None:
        name = str(peer).encode()
        body += _TLV.pack(IDENTITY_TLV, len(name)) + name
    return SIGNATURE + _HEAD.pack(VERSION_AND_COMMAND, family, len(body)) + body


def _as_v6(ip: bytes) -> bytes:
    return ip if len(ip) == 16 else V4_MAPPED + ip
