"""The content that one HTTP/1.1 message sends, framed as its head has said.

Neither more nor less than the head says may go out: the octets that are missing, or too many, would
be taken for another message's.
"""

from mesh.runtime.http.outlet import Outlet
from mesh.wire.http.messages import Fields
from mesh.wire.http1.writing import chunk_head, trailer_octets

Octets = bytes | bytearray | memoryview


class OutgoingContent:
    """Content of which the head says nothing: everything is sent as it is."""

    __slots__ = ()

    def send(self, outlet: Outlet, piece: Octets) -> bool:
        """Send a piece; False when it may not be sent, and the message is spoilt."""
        outlet.write(piece)
        return True

    def finish(self, outlet: Outlet, trailers: Fields) -> bool:
        """The message is complete; False when it is not, and is spoilt."""
        del outlet, trailers  # such a message has no place for them
        return True


class NoContent(OutgoingContent):
    """An answer to HEAD, a 304: what there would be is not sent."""

    __slots__ = ()

    def send(self, outlet: Outlet, piece: Octets) -> bool:
        """Send nothing."""
        del outlet, piece
        return True


class SizedContent(OutgoingContent):
    """As many octets as content-length says."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    def send(self, outlet: Outlet, piece: Octets) -> bool:
        """Send no more than was said."""
        self._left -= len(piece)
        if self._left < 0:
            return False
        outlet.write(piece)
        return True

    def finish(self, outlet: Outlet, trailers: Fields) -> bool:
        """Whether as much was sent as was said."""
        del outlet, trailers
        return self._left == 0


class ChunkedContent(OutgoingContent):
    """In chunks, one for each piece."""

    __slots__ = ()

    def send(self, outlet: Outlet, piece: Octets) -> bool:
        """Send one chunk; none for an empty piece, which would be the last one."""
        if piece:
            outlet.write(chunk_head(len(piece)))
            outlet.write(piece)
            outlet.write(b"\r\n")
        return True

    def finish(self, outlet: Outlet, trailers: Fields) -> bool:
        """Send the last chunk with the trailers."""
        outlet.write(trailer_octets(trailers))
        return True
