"""Joins a socket and an HTTP/2 stream: an application's connection inside a tunnel.

1. Octets from the socket are read straight into the tunnel's transmit buffer, behind the gap that
   the frame header fills afterwards: no copy, and frames of many connections share a TLS record.
2. Octets from the tunnel go to the socket from the receive buffer. What the socket does not take is
   kept here; credit is given only for what it took. So a slow reader holds at most one stream
   window: 262,144 octets, or up to 4,194,304 when it kept up before it stopped. The growth of all
   windows of a worker together has a ceiling (`WindowBudget`). The other way nothing is kept: what
   the tunnel does not take stays in the application's socket.
3. END_STREAM is half-close, RST_STREAM is reset (RFC 9113 8.5); CANCEL and NO_ERROR received mean
   end of file, as the real ztunnel has it.
"""

import socket
from collections.abc import Callable

import trio

from mesh.errors import MeshError
from mesh.runtime.http2_handle import Handle
from mesh.runtime.http2_transport import Tunnel
from mesh.runtime.relay import inner
from mesh.runtime.relay.plain import Ending, close
from mesh.runtime.relay.reactor import BUDGET_OCTETS, ERROR, OUT, READ_END, Reactor
from mesh.wire.http2.events import Headers
from mesh.wire.http2.frames import ErrorCode
from mesh.wire.http2.streams import Stream

_END_OF_FILE = frozenset({ErrorCode.NO_ERROR, ErrorCode.CANCEL})


class WaitingStream(Handle):
    """A stream whose socket is not there yet: keeps what comes; at most one stream window."""

    __slots__ = ("answered", "code", "ended", "gone", "octets", "response")

    def __init__(self) -> None:
        """Start with nothing."""
        self.octets = bytearray()
        self.ended = False
        self.code: int | None = None
        self.gone = False
        self.response: Headers = ()
        self.answered = trio.Event()

    def headers(self, headers: Headers, *, end: bool) -> None:
        """The response (as a client), or trailers."""
        self.response = self.response or headers
        self.ended = self.ended or end
        self.answered.set()

    def data(self, piece: memoryview, *, end: bool) -> None:
        """Keep a copy."""
        self.octets += piece
        self.ended = self.ended or end

    def deliver(self) -> None:
        """Nothing to deliver to yet."""

    def reset(self, code: int) -> None:
        """Remember how it ended."""
        self.code = code
        self.answered.set()

    def writable(self) -> None:
        """Nothing waits to be written yet."""

    def lost(self) -> None:
        """Remember that the tunnel is gone."""
        self.gone = True
        self.answered.set()


class StreamRelay(Handle):
    """A connected, non-blocking socket, which belongs to the relay from now on, and a stream."""

    __slots__ = (
        "_finished",
        "_leftover",
        "_on_end",
        "_peer_ended",
        "_pieces",
        "_reactor",
        "_read_ended",
        "_reading_end",
        "_shut",
        "_socket",
        "_stream",
        "_tunnel",
        "octets_from_stream",
        "octets_to_stream",
    )

    def __init__(
        self,
        reactor: Reactor,
        connection: socket.socket,
        tunnel: Tunnel,
        stream: Stream,
        early: WaitingStream | None,
        on_end: Callable[[Ending], None],
    ) -> None:
        """Start, with what has come already (None: nothing)."""
        self._reactor = reactor
        self._socket = connection
        self._tunnel = tunnel
        self._stream = stream
        self._on_end = on_end
        self._leftover = bytearray()
        self._pieces: list[memoryview | bytearray] = []
        self._read_ended = False
        self._reading_end = False
        self._peer_ended = False
        self._shut = False
        self._finished = False
        self.octets_from_stream = 0
        self.octets_to_stream = 0
        reactor.register(connection.fileno(), self._ready, self.stop)
        tunnel.hand_over(stream, self)
        if early is not None and not self._finished:
            self._catch_up(early)

    def _catch_up(self, early: WaitingStream) -> None:
        self._peer_ended = early.ended
        if early.code is not None:
            self.reset(early.code)
        elif early.octets or early.ended:
            self._pieces.append(early.octets)
            self.deliver()

    @property
    def ended_by(self) -> MeshError | None:
        """Why the tunnel was ended on purpose, if it was."""
        return self._tunnel.ended_by

    @property
    def octets_waiting(self) -> int:
        """What came from the stream and the socket has not taken yet."""
        return len(self._leftover)

    def stop(self) -> None:
        """End it now: a reset to both sides."""
        # Not CANCEL: the other side would take that for a clean end (rule 3).
        self._finish(Ending.STOPPED, ErrorCode.CONNECT_ERROR)

    # What the socket says.

    def _ready(self, events: int) -> None:
        if events & READ_END:
            self._reading_end = True
        if events & OUT and self._leftover:
            self._push()
        if events & ~OUT:
            self.pump()
            # A reset is found by reading; while the tunnel takes nothing, we do not read, and who
            # is gone must not be kept for a peer that keeps the stream blocked.
            if events & ERROR and self._tunnel.is_waiting(self):
                self._finish(Ending.NEAR_RESET, ErrorCode.CONNECT_ERROR)

    def pump(self) -> None:
        """Read from the socket into the tunnel as long as both can."""
        tunnel, stream, connection = self._tunnel, self._stream, self._socket
        budget = BUDGET_OCTETS
        while not (self._read_ended or self._finished):
            room = tunnel.reserve(stream)
            if room is None:
                tunnel.wait(self)
                return
            got = inner.receive(connection, room)
            if got > 0:
                tunnel.commit(stream, got)
                self.octets_to_stream += got
                if got < len(room) and not self._reading_end:
                    return  # drained: what comes later, its end too, is an edge of its own
                budget -= got
                if budget <= 0:
                    self._reactor.schedule(self.pump)
                    return
            elif got == 0:
                self._read_ended = True
                tunnel.end(stream)
                self._close_when_both_ended()
            elif got == inner.NOTHING:
                return
            else:
                self._finish(Ending.NEAR_RESET, ErrorCode.CONNECT_ERROR)
                return

    # What the tunnel says.

    def writable(self) -> None:
        """The tunnel or the window has room again."""
        self._reactor.schedule(self.pump)

    def headers(self, headers: Headers, *, end: bool) -> None:
        """Trailers mean nothing on a CONNECT stream, but their end does."""
        del headers
        if end:
            self._peer_ended = True
            self.deliver()

    def data(self, piece: memoryview, *, end: bool) -> None:
        """Note a piece, valid until `deliver`, which follows in the same turn."""
        self._pieces.append(piece)
        if end:
            self._peer_ended = True

    def deliver(self) -> None:
        """Give the noted pieces to the socket, and keep what it does not take."""
        pieces, self._pieces = self._pieces, []
        if self._finished:
            return
        total = sum(map(len, pieces))
        sent = 0
        if total and not self._leftover:
            sent = inner.send(self._socket, pieces)
            if sent == inner.FAILED:
                self._finish(Ending.NEAR_RESET, ErrorCode.CONNECT_ERROR)
                return
            self._took(sent)
        if sent < total:
            for piece in pieces:
                skipped = min(sent, len(piece))
                sent -= skipped
                self._leftover += memoryview(piece)[skipped:]
            self._push()
        elif self._peer_ended and not self._leftover:
            self._shut_down()

    def reset(self, code: int) -> None:
        """The peer has reset the stream."""
        if code in _END_OF_FILE:
            self._read_ended = True
            self._peer_ended = True
            self.deliver()
        else:
            self._finish(Ending.FAR_RESET, None)

    def lost(self) -> None:
        """The tunnel is gone."""
        self._finish(Ending.TUNNEL_LOST, None)

    def _push(self) -> None:
        while self._leftover:
            sent = inner.send(self._socket, (self._leftover,))
            if sent == inner.FAILED:
                self._finish(Ending.NEAR_RESET, ErrorCode.CONNECT_ERROR)
                return
            if sent == 0:
                return
            del self._leftover[:sent]
            self._took(sent)
        if self._peer_ended:
            self._shut_down()

    def _took(self, octets: int) -> None:
        self.octets_from_stream += octets
        if octets:
            self._tunnel.credit(self._stream, octets)

    def _shut_down(self) -> None:
        if self._shut or self._finished:
            return
        self._shut = True
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._finish(Ending.NEAR_RESET, ErrorCode.CONNECT_ERROR)
            return
        self._close_when_both_ended()

    def _close_when_both_ended(self) -> None:
        if self._read_ended and self._shut:
            self._finish(Ending.CLOSED, None)

    def _finish(self, ending: Ending, code: ErrorCode | None) -> None:
        if self._finished:
            return
        self._finished = True
        self._reactor.unregister(self._socket.fileno())
        close(self._socket, reset=ending is not Ending.CLOSED)
        if self._leftover:
            # The connection window is shared: what nobody will read must not stay charged to it.
            self._tunnel.credit(self._stream, len(self._leftover))
            self._leftover.clear()
        if code is not None:
            self._tunnel.reset(self._stream, code)
        self._tunnel.forget(self)
        self._on_end(ending)
