"""One end of a feed: messages and descriptors over a SOCK_SEQPACKET pair.

Several tasks may send, one may receive.
"""

import array
import os
import socket
from typing import Final

import trio

from mesh.errors import PeerError, UnavailableError
from mesh.wire.feed import MAX_PACKET_OCTETS
from mesh.wire.feed_codec import FeedInvalidError, Message, decode, encode

INT_OCTETS: Final = array.array("i").itemsize
ANCILLARY_OCTETS: Final = socket.CMSG_LEN(INT_OCTETS)
"""Room for one descriptor; with CMSG_SPACE, which rounds up, a second one would get in unseen."""

RECEIVE_FLAGS: Final = socket.MSG_CMSG_CLOEXEC


class FeedClosedError(UnavailableError):
    """The process at the other end has gone."""

    code = "feed_closed"

    def __init__(self) -> None:
        """There is nothing to keep."""
        super().__init__("the process at the other end of the feed has gone")


class FeedChannel:
    """Messages to and from the process at the other end. Owns the descriptor."""

    __slots__ = ("_sending", "_socket")

    def __init__(self, fd: int) -> None:
        """Take over a connected SOCK_SEQPACKET descriptor."""
        self._socket = trio.socket.from_stdlib_socket(socket.socket(fileno=fd))
        self._sending = trio.Lock()

    def fileno(self) -> int:
        """The descriptor, -1 after `close`."""
        return self._socket.fileno()

    async def send(self, message: Message, descriptor: int | None = None) -> None:
        """Send one message; the descriptor is duplicated on the way, and stays the caller's.

        Raises:
            FeedClosedError: nobody is at the other end.

        Cancellation: the message was sent whole or not at all.
        """
        await self.send_packet(encode(message), descriptor)

    async def send_packet(self, packet: bytes, descriptor: int | None = None) -> None:
        """Send octets that `encode` made: the same packet for several workers is made once.

        Raises:
            FeedClosedError: nobody is at the other end.

        Cancellation: the packet was sent whole or not at all.
        """
        ancillary = []
        if descriptor is not None:
            rights = array.array("i", [descriptor])
            ancillary.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, rights.tobytes()))
        async with self._sending:
            try:
                await self._socket.sendmsg([packet], ancillary)
            except (BrokenPipeError, ConnectionResetError):
                raise FeedClosedError from None

    async def receive(self) -> tuple[Message, int | None] | None:
        """The next message, with the descriptor that came along (close-on-exec, the caller's).

        Returns:
            None when the other end has gone.

        Raises:
            PeerError: a packet that is no message; the feed goes on after it.

        Cancellation: no message is lost.
        """
        try:
            packet, ancillary, flags, _ = await self._socket.recvmsg(
                MAX_PACKET_OCTETS, ANCILLARY_OCTETS, RECEIVE_FLAGS
            )
        except ConnectionResetError:  # it went with unread messages of ours
            return None
        descriptor = _descriptor(ancillary)
        if not packet:
            _close(descriptor)
            return None
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            _close(descriptor)
            raise FeedInvalidError("cut on the way")
        try:
            return decode(packet), descriptor
        except PeerError:
            _close(descriptor)
            raise

    def close(self) -> None:
        """Give the descriptor up; a task that waits here sees `trio.ClosedResourceError`."""
        self._socket.close()


def _descriptor(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """The one descriptor that may come along; more than one cannot, by the size of the buffer."""
    for level, kind, octets in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS) and len(octets) >= INT_OCTETS:
            return int.from_bytes(octets[:INT_OCTETS], byteorder=_BYTE_ORDER, signed=True)
    return None


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


_BYTE_ORDER: Final = "little" if array.array("i", [1]).tobytes()[0] else "big"
