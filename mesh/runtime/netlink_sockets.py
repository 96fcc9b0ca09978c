"""The TCP sockets of a network namespace: which there are, and ending one (linux/inet_diag.h).

Raw messages, since the kernel's answer is one struct and there may be ten thousand of them. The
netlink socket is made inside the namespace, and the thread is home again before anything is asked.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mesh.errors import UnavailableError
from mesh.model.address import SocketAddress, ip_from_bytes
from mesh.runtime.netns import inside

_SOCK_DIAG: Final = 4
_BY_FAMILY: Final = 20
_DESTROY: Final = 21
_ERROR: Final = 2
_DONE: Final = 3
_REQUEST: Final = 0x1
_ACK: Final = 0x4
_DUMP: Final = 0x300
_MARK: Final = 15
_LISTEN: Final = 10
# Everything but LISTEN and what is over: TIME_WAIT and CLOSE.
_OPEN_STATES: Final = sum(1 << state for state in (1, 2, 3, 4, 5, 8, 9, 11))
_RECEIVE_OCTETS: Final = 64 * 1024

_HEADER: Final = struct.Struct("=IHHII")
_ASK: Final = struct.Struct("=BBBxI")
_ID: Final = struct.Struct("!HH16s16s")
_ID_OCTETS: Final = 48
_FOUND: Final = struct.Struct("=BBBB48s20x")
_ATTRIBUTE: Final = struct.Struct("=HH")
_NUMBER: Final = struct.Struct("=I")
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)


class SocketsUnknownError(UnavailableError):
    """The kernel does not tell a pod's sockets, or does not end one."""

    code = "sockets_unknown"

    def __init__(self, number: int) -> None:
        """Keep the kernel's error number."""
        super().__init__(f"sockets of a namespace: {os.strerror(number)}")
        self.number = number


@dataclass(frozen=True, slots=True)
class Connection:
    """One end of a TCP connection (or a listening socket) as the kernel holds it."""

    local: SocketAddress
    remote: SocketAddress
    mark: int
    is_listening: bool
    identity: bytes
    """What the kernel calls it; no other socket ever has the same, also after this one ended."""

    @property
    def cookie(self) -> str:
        """What tells it from every other socket, as text to be remembered."""
        return self.identity[40:48].hex()


def connections(netns: int) -> tuple[Connection, ...]:
    """Every open TCP connection's end in a namespace, and every listening socket.

    Raises:
        NetnsGoneError: the descriptor is no network namespace.
        SocketsUnknownError: the kernel does not tell.
    """
    found: list[Connection] = []
    with _asking(netns) as asking:
        for family in _FAMILIES:
            states = _OPEN_STATES | 1 << _LISTEN
            body = _ASK.pack(family, socket.IPPROTO_TCP, 0, states) + bytes(_ID_OCTETS)
            _ask(asking, _BY_FAMILY, _DUMP, body)
            found += (_connection(message) for message in _answers(asking))
    return tuple(found)


def end_connection(netns: int, ended: Connection) -> bool:
    """Abort a connection: both ends see a reset.

    Returns:
        Whether it was still there.

    Raises:
        NetnsGoneError: the descriptor is no network namespace.
        SocketsUnknownError: the kernel cannot do this (CONFIG_INET_DIAG_DESTROY).
    """
    with _asking(netns) as asking:
        family = ended.identity[_ID_OCTETS]
        body = _ASK.pack(family, socket.IPPROTO_TCP, 0, 0) + ended.identity[:_ID_OCTETS]
        _ask(asking, _DESTROY, _ACK, body)
        try:
            list(_answers(asking))
        except SocketsUnknownError as error:
            if error.number == errno.ENOENT:
                return False
            raise
    return True


def _asking(netns: int) -> socket.socket:
    with inside(netns):
        return socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _SOCK_DIAG)


def _ask(asking: socket.socket, kind: int, flags: int, body: bytes) -> None:
    head = _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 0, 0)
    asking.send(head + body)


def _answers(asking: socket.socket) -> Iterator[bytes]:
    """The bodies of the messages up to the end of the answer."""
    while True:
        packet = asking.recv(_RECEIVE_OCTETS)
        while packet:
            size, kind, *_ = _HEADER.unpack_from(packet)
            body, packet = packet[_HEADER.size : size], packet[size + 3 & ~3 :]
            if kind == _DONE:
                return
            if kind == _ERROR:
                (number,) = struct.unpack_from("=i", body)
                if number:
                    raise SocketsUnknownError(-number)
                return
            yield body


def _connection(body: bytes) -> Connection:
    family, state, _timer, _retransmits, identity = _FOUND.unpack_from(body)
    octets = 4 if family == socket.AF_INET else 16
    local_port, remote_port, local, remote = _ID.unpack_from(identity)
    return Connection(
        local=SocketAddress(ip_from_bytes(local[:octets]), local_port),
        remote=SocketAddress(ip_from_bytes(remote[:octets]), remote_port),
        mark=_mark(body[_FOUND.size :]),
        is_listening=state == _LISTEN,
        identity=identity + bytes((family,)),
    )


def _mark(attributes: bytes) -> int:
    while len(attributes) >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(attributes)
        if kind == _MARK:
            (mark,) = _NUMBER.unpack_from(attributes, _ATTRIBUTE.size)
            return int(mark)
        attributes = attributes[max(size + 3 & ~3, _ATTRIBUTE.size) :]
    return 0
