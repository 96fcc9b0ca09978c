"""A link on a stream of a tunnel, either end's.

1. What is written goes straight into the tunnel's transmit buffer while that and the windows have
   room; the rest is kept. The tunnel sends once for all its streams, at the round's end.
2. What comes is handed over where it was received, uncopied; credit goes to the stream's window.
3. CANCEL and NO_ERROR from the peer are the end of both ways and no fault: that is how the real
   ztunnel leaves a stream (`lost(None)`).
"""

from typing import Final

from mesh.errors import MeshError, PeerError
from mesh.runtime.http.link import FULL_OCTETS, Link, LinkUser
from mesh.runtime.http2_handle import Handle
from mesh.runtime.http2_transport import Tunnel, TunnelBrokenError
from mesh.runtime.relay.stream import WaitingStream
from mesh.wire.http2.events import Headers
from mesh.wire.http2.frames import ErrorCode
from mesh.wire.http2.streams import Stream

_NO_FAULT: Final = frozenset((ErrorCode.NO_ERROR, ErrorCode.CANCEL))


class StreamResetError(PeerError):
    """The peer has reset a stream of the tunnel."""

    code = "stream_reset"

    def __init__(self, number: int) -> None:
        """Keep the peer's code."""
        super().__init__(f"reset with code {number}")
        self.number = number


class StreamLink(Link):
    """Takes a stream over, after its CONNECT was answered."""

    __slots__ = (
        "_closed",
        "_early",
        "_ending",
        "_handle",
        "_kept",
        "_owed",
        "_peer_ended",
        "_sent_end",
        "_stream",
        "_tunnel",
        "_user",
        "_was_full",
    )

    def __init__(self, tunnel: Tunnel, stream: Stream, early: WaitingStream | None) -> None:
        """`early` is who has heard of the stream so far, if it may have kept something."""
        self._tunnel = tunnel
        self._stream = stream
        self._early: WaitingStream | None = early or WaitingStream()
        self._user: LinkUser | None = None
        self._kept = bytearray()
        self._owed = 0
        self._was_full = False
        self._ending = False
        self._sent_end = False
        self._peer_ended = False
        self._closed = False
        self._handle = _Ears(self)
        tunnel.hand_over(stream, self._handle)

    # For the user.

    @property
    def is_full(self) -> bool:
        """Whether more than `FULL_OCTETS` wait to be sent."""
        if len(self._kept) > FULL_OCTETS:
            self._was_full = True
            return True
        return False

    def use(self, user: LinkUser) -> None:
        """From now on this user hears of it; what had come earlier comes at once."""
        self._user = user
        early, self._early = self._early, None
        if early is None:
            return
        if early.octets:
            self.on_data(memoryview(early.octets))
        if early.gone:
            self.on_lost()
        elif early.code is not None:
            self.on_reset(early.code)
        elif early.ended:
            self.on_end()

    def write(self, octets: bytes | bytearray | memoryview) -> None:
        """Into the tunnel's buffer; what does not fit is kept."""
        if self._closed or self._ending:
            return
        kept = self._kept
        if kept:
            kept += octets
            return
        sent = self._put(octets)
        if sent < len(octets):
            kept += octets if not sent else memoryview(octets)[sent:]
            self._tunnel.wait(self._handle)

    def end(self) -> None:
        """Half-close, after what was written."""
        if not self._closed and not self._ending:
            self._ending = True
            self._end_when_sent()

    def credit(self, octets: int) -> None:
        """Open the stream's window for so many more."""
        if not self._closed:
            self._owed -= octets
            self._tunnel.credit(self._stream, octets)

    def reset(self) -> None:
        """Give the stream up, unless both sides have ended it."""
        # Not CANCEL: the other side would take that for a clean end (rule 3).
        self._close(ErrorCode.CONNECT_ERROR)

    # What the tunnel says.

    def on_data(self, piece: memoryview) -> None:
        """Some octets."""
        self._owed += len(piece)
        if self._user is not None:
            self._user.received(piece)
        elif self._early is not None:
            self._owed -= len(piece)
            self._early.octets += piece

    def on_end(self) -> None:
        """The peer sends no more."""
        if self._peer_ended or self._closed:
            return
        if self._early is not None:
            self._early.ended = True
            return
        self._peer_ended = True
        if self._user is not None:
            self._user.ended()
        self._close_when_both_ended()

    def on_reset(self, number: int) -> None:
        """The peer has reset the stream."""
        if self._early is not None:
            self._early.code = number
        else:
            self._lose(None if number in _NO_FAULT else StreamResetError(number))

    def on_lost(self) -> None:
        """The tunnel is gone."""
        if self._early is not None:
            self._early.gone = True
        else:
            self._lose(TunnelBrokenError("the tunnel under the stream broke"))

    def on_writable(self) -> None:
        """The tunnel or the window has room again."""
        kept = self._kept
        if self._closed:
            return
        if kept:
            sent = self._put(kept)
            if sent == len(kept):
                self._kept = bytearray()
            else:
                del kept[:sent]
                self._tunnel.wait(self._handle)
        if self._was_full and len(self._kept) <= FULL_OCTETS:
            self._was_full = False
            if self._user is not None:
                self._user.writable()
        self._end_when_sent()

    # In here.

    def _put(self, octets: bytes | bytearray | memoryview) -> int:
        """Frame as much as the tunnel takes; give how much."""
        tunnel, stream = self._tunnel, self._stream
        at, size = 0, len(octets)
        view: bytes | bytearray | memoryview = octets
        while at < size:
            room = tunnel.reserve(stream)
            if room is None:
                break
            taken = len(room)
            if taken >= size - at:
                taken = size - at
                room[:taken] = view
            else:
                view = memoryview(view)
                room[:] = view[:taken]
            tunnel.commit(stream, taken)
            at += taken
            if at < size:
                view = view[taken:]
        return at

    def _end_when_sent(self) -> None:
        if self._ending and not self._kept and not self._closed and not self._sent_end:
            self._sent_end = True
            self._tunnel.end(self._stream)
            self._close_when_both_ended()

    def _close_when_both_ended(self) -> None:
        if self._peer_ended and self._sent_end:
            self._lose(None)

    def _lose(self, error: MeshError | None) -> None:
        user = self._user
        if self._close(None) and user is not None:
            user.lost(error)

    def _close(self, code: ErrorCode | None) -> bool:
        if self._closed:
            return False
        self._closed = True
        self._user = None
        self._kept = bytearray()
        # The connection's window is shared: what nobody will read must not stay charged to it.
        self._tunnel.credit(self._stream, self._owed)
        if code is not None:
            self._tunnel.reset(self._stream, code)
        self._tunnel.forget(self._handle)
        return True


class _Ears(Handle):
    """What the tunnel calls."""

    __slots__ = ("_link",)

    def __init__(self, link: StreamLink) -> None:
        self._link = link

    def headers(self, headers: Headers, *, end: bool) -> None:
        """Trailers mean nothing on a CONNECT stream, but their end does."""
        del headers
        if end:
            self._link.on_end()

    def data(self, piece: memoryview, *, end: bool) -> None:
        """Hand it on at once: nothing is gained by waiting for the others of this turn."""
        link = self._link
        if len(piece):
            link.on_data(piece)
        if end:
            link.on_end()

    def deliver(self) -> None:
        """Everything has been handed on."""

    def reset(self, code: int) -> None:
        """The peer has reset the stream."""
        self._link.on_reset(code)

    def writable(self) -> None:
        """There may be room."""
        self._link.on_writable()

    def lost(self) -> None:
        """The tunnel is gone."""
        self._link.on_lost()
