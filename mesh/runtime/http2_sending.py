"""What a tunnel sends: control frames and DATA in one buffer, written in few TLS records.

1. A buffer is borrowed from the worker while there is something to send, and only then.
2. Control frames precede the DATA frames that are added after them.
3. What OpenSSL could not write is written again, octet for octet; until then nothing is added.
"""

from typing import Final

from OpenSSL import SSL

from mesh.runtime.relay import inner
from mesh.runtime.relay.inner import BLOCKED, BROKEN, DONE, TlsBuffer
from mesh.wire.http2.connection import Connection
from mesh.wire.http2.frames import FRAME_HEADER_OCTETS
from mesh.wire.http2.streams import Stream

TRANSMIT_OCTETS: Final = 1024 * 1024
RECEIVE_OCTETS: Final = 1024 * 1024
"""Larger ones mean fewer and larger writes to each application: over 8 streams a tenth less CPU
than 512 KiB. A tunnel whose peer does not read keeps one transmit buffer, as far as it is filled.
"""
_LEAST_ROOM: Final = 16 * 1024
"""Below this the buffer is written out first: tiny frames cost as much as large ones."""
_SPARE_BUFFERS: Final = 8


class Buffers:
    """The memory that all tunnels of a worker share: one to receive, a few to transmit."""

    def __init__(self) -> None:
        """Take the receive buffer; transmit buffers come when they are needed."""
        self.receive = TlsBuffer(RECEIVE_OCTETS)
        self._spare: list[TlsBuffer] = []

    def borrow(self) -> TlsBuffer:
        """A transmit buffer."""
        return self._spare.pop() if self._spare else TlsBuffer(TRANSMIT_OCTETS)

    def give_back(self, buffer: TlsBuffer) -> None:
        """Keep a few for the next one, and let the rest go."""
        if len(self._spare) < _SPARE_BUFFERS:
            self._spare.append(buffer)


class Sender:
    """The sending half of one tunnel.

    Attributes:
        status: DONE, or BLOCKED (`retry` when the socket takes octets again), or BROKEN.
    """

    __slots__ = ("_buffer", "_buffers", "_end", "_http2", "_tls", "status")

    def __init__(self, buffers: Buffers, tls: SSL.Connection, http2: Connection) -> None:
        self._buffers = buffers
        self._tls = tls
        self._http2 = http2
        self._buffer: TlsBuffer | None = None
        self._end = 0
        self.status = DONE

    @property
    def holds_buffer(self) -> bool:
        """Whether a buffer is borrowed just now."""
        return self._buffer is not None

    def room(self, allowed: int) -> memoryview | None:
        """Where the payload of the next DATA frame goes, at most `allowed` octets of it.

        None when nothing can be added; `status` says why. `commit` follows, or nothing at all.
        """
        buffer = self._collect()
        start = self._end + FRAME_HEADER_OCTETS
        if buffer.size - start < _LEAST_ROOM:
            self._write(buffer)
            start = FRAME_HEADER_OCTETS
        if self.status != DONE:
            return None
        end = start + allowed
        return buffer.view[start : min(buffer.size, end)]

    def commit(self, stream: Stream, octets: int) -> None:
        """Make a frame of what was put into `room`."""
        if self._buffer is not None:
            at = self._end
            self._http2.write_data_header(self._buffer.octets, at, stream, octets, end_stream=False)
            self._end = at + FRAME_HEADER_OCTETS + octets

    def flush(self) -> None:
        """Write what there is, unless BLOCKED or BROKEN."""
        if self.status != DONE:
            return
        buffer = self._collect()
        if self._end:
            self._write(buffer)
        if self.status == DONE:
            self._buffers.give_back(buffer)
            self._buffer = None

    def retry(self) -> None:
        """The socket takes octets again: write those that it did not take."""
        if self.status == BLOCKED and self._buffer is not None:
            self.status = DONE
            self._write(self._buffer)

    def drop(self) -> None:
        """The tunnel is gone."""
        # What OpenSSL has half written may still be looked at: such a buffer is not used again.
        if self._buffer is not None and self.status != BLOCKED:
            self._buffers.give_back(self._buffer)
        self._buffer = None
        self.status = BROKEN

    def _collect(self) -> TlsBuffer:
        """Move control frames into the buffer, writing it out as often as needed."""
        buffer = self._buffer
        if buffer is None:
            buffer = self._buffer = self._buffers.borrow()
            self._end = 0
        outgoing = self._http2.outgoing
        while outgoing and self.status == DONE:
            end = self._end
            taken = min(len(outgoing), buffer.size - end)
            buffer.view[end : end + taken] = outgoing[:taken]
            del outgoing[:taken]
            self._end = end + taken
            if outgoing:
                self._write(buffer)
        return buffer

    def _write(self, buffer: TlsBuffer) -> None:
        if self.status == DONE:
            self.status = inner.write_tls(self._tls, buffer, self._end)
            if self.status == DONE:
                self._end = 0
