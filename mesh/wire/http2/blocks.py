"""Header blocks out of HEADERS and CONTINUATION frames (RFC 9113 section 4.3, 6.2, 6.10)."""

from typing import Final

from mesh.wire.http2.budgets import MAX_CONTINUATIONS
from mesh.wire.http2.errors import FloodError, FrameSizeViolationError, ProtocolViolationError
from mesh.wire.http2.frames import END_HEADERS, END_STREAM, HAS_PRIORITY, PADDED

PRIORITY_OCTETS: Final = 5


class HeaderBlock:
    """The one block that may be open at a time.

    Attributes:
        stream_id: whose block it is, or was.
        end_stream: the stream ends with this block.
        is_open: CONTINUATION must follow, and nothing else may.
    """

    __slots__ = ("_continuations", "_limit", "_octets", "end_stream", "is_open", "stream_id")

    def __init__(self, max_octets: int) -> None:
        self._limit = max_octets
        self._octets = b""
        self._continuations = 0
        self.stream_id = 0
        self.end_stream = False
        self.is_open = False

    def begin(self, flags: int, stream_id: int, payload: bytes) -> bytes | None:
        """Take HEADERS; give the whole block, or None when it goes on.

        Raises:
            ProtocolViolationError, FrameSizeViolationError: padding or priority do not fit.
            FloodError: the block is too long.
        """
        self.stream_id = stream_id
        self.end_stream = bool(flags & END_STREAM)
        self._octets = b""
        self._continuations = 0
        if flags & (PADDED | HAS_PRIORITY):
            payload = _stripped(flags, payload)
        return self._take(flags, payload)

    def go_on(self, flags: int, payload: bytes) -> bytes | None:
        """Take CONTINUATION; as `begin`."""
        self._continuations += 1
        if self._continuations > MAX_CONTINUATIONS:
            raise FloodError("CONTINUATION frames")
        return self._take(flags, payload)

    def room(self) -> int:
        """How many octets the next frame of this block may still bring."""
        return self._limit - len(self._octets)

    def _take(self, flags: int, payload: bytes) -> bytes | None:
        block = self._octets + payload if self._octets else payload
        self.is_open = not flags & END_HEADERS
        self._octets = block if self.is_open else b""
        return None if self.is_open else block


def _stripped(flags: int, payload: bytes) -> bytes:
    """Take padding and the deprecated priority off."""
    start = 1 if flags & PADDED else 0
    end = len(payload)
    if start:
        if not payload:
            raise FrameSizeViolationError("HEADERS without its padding length")
        end -= payload[0]
    if flags & HAS_PRIORITY:
        start += PRIORITY_OCTETS
    if start > end:
        raise ProtocolViolationError("HEADERS is shorter than its padding and priority")
    return payload[start:end]
