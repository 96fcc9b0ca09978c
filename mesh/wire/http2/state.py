"""What both directions of a connection look at: streams, settings, windows, what is to be sent."""

from typing import Final

from mesh.wire.http2.budgets import MAX_UNSENT_ANSWERS_OCTETS, Budgets
from mesh.wire.http2.errors import FloodError
from mesh.wire.http2.events import Event, StreamReset
from mesh.wire.http2.flow import WindowBudget
from mesh.wire.http2.frames import (
    DEFAULT_WINDOW_OCTETS,
    MAX_STREAM_ID,
    ErrorCode,
    Role,
    rst_stream,
)
from mesh.wire.http2.headers import HeaderDecoder, HeaderEncoder
from mesh.wire.http2.settings import PeerSettings, Settings
from mesh.wire.http2.streams import Stream
from mesh.wire.http2.windows import ReceiveWindows

REMEMBERED_STREAMS: Final = 100
"""Streams that the peer has ended, as many as are kept in mind to tell a late frame from a wrong
one. An older one's frames are taken for late ones: ignored, within a budget."""


class State:
    """One connection's state; only the modules of this package touch it."""

    __slots__ = (
        "accepts_up_to",
        "budgets",
        "decoder",
        "encoder",
        "ended",
        "moved",
        "newest",
        "outgoing",
        "peer",
        "peer_accepts_up_to",
        "pings",
        "role",
        "send_window",
        "settings",
        "streams",
        "windows",
    )

    def __init__(self, role: Role, settings: Settings, budget: WindowBudget) -> None:
        self.role = role
        self.settings = settings
        self.peer = PeerSettings()
        self.outgoing = bytearray()
        self.streams: dict[int, Stream] = {}
        self.ended: dict[int, None] = {}
        self.windows = ReceiveWindows(settings, budget, self.outgoing)
        self.send_window = DEFAULT_WINDOW_OCTETS
        self.budgets = Budgets()
        self.decoder = HeaderDecoder(settings.max_header_list)
        self.encoder = HeaderEncoder()
        self.moved = 0
        """All DATA octets so far, both ways: what budgets take for progress."""
        self.newest = 0
        """The highest stream id so far; the client opens all of them."""
        self.accepts_up_to = MAX_STREAM_ID
        """Which streams our GOAWAY has left to the peer (as a server)."""
        self.peer_accepts_up_to = MAX_STREAM_ID
        """Which streams the peer's GOAWAY has left to us (as a client)."""
        self.pings: list[bytes] = []
        """Payloads of the PINGs that the peer has not answered yet."""

    def new_stream(self, stream_id: int) -> Stream:
        """Open the newest stream."""
        stream = Stream(stream_id, self.peer.stream_window, self.windows.for_stream())
        self.streams[stream_id] = stream
        self.newest = stream_id
        return stream

    def end_local(self, stream: Stream) -> None:
        """We have sent END_STREAM."""
        stream.local_closed = True
        if stream.remote_closed:
            self._forget(stream)

    def end_remote(self, stream: Stream) -> None:
        """The peer has sent END_STREAM."""
        stream.remote_closed = True
        stream.accepts_data = False
        self.windows.end(stream)
        if stream.local_closed:
            self._forget(stream)

    def drop(self, stream: Stream, *, by_peer: bool) -> None:
        """The stream was reset, or refused by GOAWAY."""
        self.streams.pop(stream.stream_id, None)
        if by_peer or stream.remote_closed:
            self._remember(stream.stream_id)
        stream.local_closed = stream.remote_closed = True
        stream.accepts_data = False
        self.windows.release(stream)
        stream.was_reset = True

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """Reset a stream ourselves."""
        self.drop(stream, by_peer=False)
        self.outgoing += rst_stream(stream.stream_id, code)

    def stream_error(self, stream: Stream, code: ErrorCode, events: list[Event]) -> None:
        """The peer broke a rule that concerns one stream only (RFC 9113 section 5.4.2).

        Raises:
            FloodError: it makes us reset too many (CVE-2025-8671).
        """
        self.budgets.resets.spend(self.moved)
        self.reset(stream, code)
        events.append(StreamReset(stream, code, by_peer=False))

    def answer(self, octets: bytes) -> None:
        """Queue what the peer's own frame makes us send.

        Raises:
            FloodError: the peer does not read our answers (CVE-2019-9512, -9515).
        """
        self.outgoing += octets
        if len(self.outgoing) > MAX_UNSENT_ANSWERS_OCTETS:
            raise FloodError("unread answers")

    def ignore(self) -> None:
        """Note a frame that is allowed and means nothing.

        Raises:
            FloodError: there are too many of them.
        """
        self.budgets.ignored.spend(self.moved)

    def _forget(self, stream: Stream) -> None:
        del self.streams[stream.stream_id]
        self._remember(stream.stream_id)

    def _remember(self, stream_id: int) -> None:
        self.ended[stream_id] = None
        if len(self.ended) > REMEMBERED_STREAMS:
            del self.ended[next(iter(self.ended))]
