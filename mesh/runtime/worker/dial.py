"""Connecting from inside a pod, perhaps from an address that is not the pod's.

1. A local application answers while `connect` still runs; then nobody has to wait for it, and no
   task is needed. That is why dialling is an object with two halves, and not one coroutine.
2. From a foreign address, the kernel chooses a port without knowing which ports that client itself
   uses. A clash shows as EADDRNOTAVAIL, or as silence, since connection tracking takes our packets
   for the client's. Both are tried again, from another port.
"""

import errno
import logging
import os
import socket
from dataclasses import dataclass
from typing import Final

import trio

from mesh.errors import UnavailableError
from mesh.model.address import Ip, SocketAddress, format_ip
from mesh.runtime.settings import Keepalive
from mesh.runtime.worker import sockets

CONNECT_SECONDS: Final = 10.0
SPOOFED_SECONDS: Final = 4.0
"""How long one attempt from a foreign address may be silent."""
MOST_CLASHES: Final = 3

_IP_BIND_ADDRESS_NO_PORT: Final = 24
_ON_ITS_WAY: Final = frozenset({errno.EINPROGRESS, errno.EALREADY})
_CONNECTED: Final = frozenset({0, errno.EISCONN})

log = logging.getLogger(__name__)


class ConnectFailedError(UnavailableError):
    """The application (or the peer proxy) does not accept a connection."""

    code = "connect_failed"


class ConnectTimedOutError(UnavailableError):
    """Nobody answered a connection attempt."""

    code = "connect_timed_out"


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """From where to dial, and with which settings."""

    netns: int | None
    """The pod's; None is this process's own."""
    keepalive: Keepalive | None
    packet_mark: int | None
    spoofs: bool = False
    """Whether the pod lets us dial its applications from their clients' addresses."""


def source_for(way: Way, client: Ip, to: SocketAddress) -> Ip | None:
    """From whose address to dial an application: its client's, unless that makes no sense.

    A pod that calls itself would get packets from itself that it has not sent, and the loopback
    knows no foreign addresses.
    """
    if not way.spoofs or client == to.ip or is_loopback(to.ip) or is_loopback(client):
        return None
    return client


def is_loopback(ip: Ip) -> bool:
    """127.0.0.0/8 or ::1."""
    return ip[0] == 127 if len(ip) == 4 else int.from_bytes(ip, "big") == 1


class Dial:
    """One connection that is being made; it is on its way when the object is there."""

    __slots__ = ("_clashes", "_source", "_way", "connected", "connection", "to")

    def __init__(self, way: Way, to: SocketAddress, source: Ip | None = None) -> None:
        """Begin, from inside the pod, marked as ours; with `source`, from that foreign address.

        Raises:
            ConnectFailedError: refused, or unreachable.
        """
        self._way = way
        self._source = source if source is not None and len(source) == len(to.ip) else None
        self._clashes = 0
        self.to = to
        self.connected = False
        """Whether `connection` is ready to be used now."""
        self.connection = self._begin()

    async def wait(self) -> socket.socket:
        """The connection, which is the caller's from then on.

        Raises:
            ConnectFailedError: refused, or unreachable.
            ConnectTimedOutError: no answer within CONNECT_SECONDS.

        Cancellation: the half-open socket is closed.
        """
        with trio.move_on_after(CONNECT_SECONDS):
            while not self.connected:
                await self._attempt()
            return self.connection
        raise ConnectTimedOutError(f"{self.to}: no answer within {CONNECT_SECONDS:g} s")

    async def _attempt(self) -> None:
        seconds = SPOOFED_SECONDS if self._source is not None else CONNECT_SECONDS
        try:
            with trio.move_on_after(seconds) as silence:
                await trio.lowlevel.wait_writable(self.connection)
        except BaseException:
            self.connection.close()
            raise
        if silence.cancelled_caught:
            self.connection.close()
            self.connection = self._begin()
            return
        status = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if status:
            self.connection.close()
            raise ConnectFailedError(f"{self.to}: {os.strerror(status)}")
        self.connected = True

    def _begin(self) -> socket.socket:
        while True:
            connection = self._socket()
            try:
                status = connection.connect_ex((format_ip(self.to.ip), self.to.port))
                if status == errno.EINPROGRESS:
                    # A local peer has answered by now: ask once more, instead of waiting for it.
                    status = connection.connect_ex((format_ip(self.to.ip), self.to.port))
            except BaseException:
                connection.close()
                raise
            if status in _CONNECTED:
                self.connected = True
                return connection
            if status in _ON_ITS_WAY:
                return connection
            connection.close()
            self._clashes += 1
            if status != errno.EADDRNOTAVAIL or self._clashes > MOST_CLASHES:
                raise ConnectFailedError(f"{self.to}: {os.strerror(status)}")

    def _socket(self) -> socket.socket:
        family = socket.AF_INET if len(self.to.ip) == 4 else socket.AF_INET6
        try:
            connection = sockets.new_socket(self._way.netns, family)
        except OSError as error:
            raise ConnectFailedError(f"no socket for {self.to}: {error.strerror}") from error
        try:
            sockets.tune(connection, self._way.keepalive)
            sockets.mark(connection, self._way.packet_mark)
        except OSError as error:
            connection.close()
            raise ConnectFailedError(f"{self.to}: {error.strerror}") from error
        if self._source is not None:
            _spoof(connection, self._source)
        return connection


def _spoof(connection: socket.socket, source: Ip) -> None:
    """Dial from a foreign address; the proxy's own one will do where that is not possible."""
    try:
        sockets.make_transparent(connection)
        connection.setsockopt(socket.SOL_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        connection.bind((format_ip(source), 0))
    except OSError as error:
        log.warning("the application sees the proxy's address: %s", error.strerror)


async def dial(way: Way, to: SocketAddress, source: Ip | None = None) -> socket.socket:
    """Both halves in one: begin, and wait.

    Raises:
        ConnectFailedError, ConnectTimedOutError: as `Dial`.

    Cancellation: the half-open socket is closed.
    """
    return await Dial(way, to, source).wait()
