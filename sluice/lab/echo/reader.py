"""The octets of one connection, a line or a number at a time."""

import socket
import struct
from typing import Final

MAX_LINE_OCTETS: Final = 1 << 20
_CHUNK_OCTETS: Final = 1 << 16


class GoneError(Exception):
    """The client has ended the connection, or does not speak what is spoken here."""


class ResetError(Exception):
    """The connection is to be reset: the client must see no orderly end."""


class Reader:
    """Reads a connection; what was read too far waits for the next call."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._octets = bytearray()

    def line(self) -> bytes:
        """The next line, without its end.

        Raises:
            GoneError: there is none, or it is too long.
        """
        searched = 0
        while (end := self._octets.find(b"\n", searched)) < 0:
            searched = len(self._octets)
            if searched > MAX_LINE_OCTETS:
                raise GoneError
            self._more()
        line = bytes(self._octets[:end])
        del self._octets[: end + 1]
        return line.removesuffix(b"\r")

    def skip(self, octets: int) -> None:
        """Let so many octets go by."""
        while octets > len(self._octets):
            octets -= len(self._octets)
            self._octets.clear()
            self._more()
        del self._octets[:octets]

    def begins_with(self, octets: bytes) -> bool:
        """Whether these octets come next; they are not taken."""
        while len(self._octets) < len(octets) and octets.startswith(self._octets):
            self._more()
        return self._octets.startswith(octets)

    def rest(self) -> bytes:
        """What was read already; whoever takes it goes on with the connection itself."""
        rest = bytes(self._octets)
        self._octets.clear()
        return rest

    def _more(self) -> None:
        received = self._connection.recv(_CHUNK_OCTETS)
        if not received:
            raise GoneError
        self._octets += received


def reset_at_close(connection: socket.socket) -> None:
    """Have the kernel send a reset, not an end, when the connection is closed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
