"""One HTTP/2 connection (RFC 9113), client or server: octets in, events out, octets out.

1. Pure: who owns the socket gives `receive` what arrived and sends what `outgoing` holds.
2. DATA is never copied here. Received pieces are slices of what came in; for sending, the caller
   puts octets into a buffer of its own and `write_data_header` writes the nine octets before them.
   What is in `outgoing` at that moment has to be sent first.
3. Flow control is the caller's only duty: at most `sendable` octets per frame, and `credit` for
   each octet that its reader took. A stream that was reset owes nothing.
4. What a peer can make us keep: one unfinished frame that is not DATA (limited by
   `Settings.max_header_list`), `MAX_UNSENT_ANSWERS_OCTETS` of answers, `max_concurrent_streams`
   streams. Work without use is limited by `budgets`.
5. A violation is final: the GOAWAY is queued, `receive` raises the same error ever after.
"""

from collections.abc import Iterable
from typing import Final

from mesh.wire.http2 import frames
from mesh.wire.http2.control import DRAIN_PING, finish_drain
from mesh.wire.http2.errors import (
    GoingAwayError,
    Http2Error,
    StreamClosedError,
    StreamsExhaustedError,
)
from mesh.wire.http2.events import Event, Headers
from mesh.wire.http2.flow import WindowBudget
from mesh.wire.http2.frames import MAX_STREAM_ID, ErrorCode, Role
from mesh.wire.http2.messages import takes_no_content
from mesh.wire.http2.receiving import Receiver
from mesh.wire.http2.settings import PeerSettings, Settings
from mesh.wire.http2.state import State
from mesh.wire.http2.streams import UNCHECKED, Stream

_PACK_HEADER: Final = frames.FRAME_HEADER.pack_into


class Connection:
    """A connection's protocol state."""

    __slots__ = ("_broken", "_going_away", "_receiver", "_state", "outgoing")

    def __init__(self, role: Role, settings: Settings, windows_budget: WindowBudget) -> None:
        """Begin; nothing is queued before `initiate`.

        Args:
            role: who we are.
            settings: what we announce.
            windows_budget: what all connections' windows may grow by together.
        """
        self._state = State(role, settings, windows_budget)
        self._receiver = Receiver(self._state)
        self._broken: Http2Error | None = None
        self._going_away = False
        self.outgoing: bytearray = self._state.outgoing
        """What is to be sent; the caller takes octets off its front, and never replaces it."""

    @property
    def role(self) -> Role:
        """Who we are."""
        return self._state.role

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._state.streams)

    @property
    def peer(self) -> PeerSettings:
        """What the peer has announced so far."""
        return self._state.peer

    @property
    def drained(self) -> bool:
        """Our GOAWAY has named the last stream: none is opened by the peer any more."""
        return self._state.accepts_up_to != MAX_STREAM_ID

    @property
    def room(self) -> int:
        """How many streams `open_stream` would open now."""
        state = self._state
        if self._going_away or self._broken or state.newest + 2 > state.peer_accepts_up_to:
            return 0
        return max(0, state.peer.max_concurrent_streams - len(state.streams))

    def initiate(self) -> None:
        """Queue the preface (as a client), SETTINGS, and the connection's window; once, first."""
        state = self._state
        if state.role is Role.CLIENT:
            self.outgoing += frames.PREFACE
        self.outgoing += frames.settings(state.settings.on_wire(state.role))
        state.windows.announce()

    def receive(self, octets: memoryview | bytes | bytearray) -> list[Event]:
        """Take what arrived, cut anywhere. End of file is the caller's: it has no octets.

        Returns:
            What happened, in order. The pieces of DATA are slices of `octets`: use them before
            that buffer is filled again.

        Raises:
            Http2Error: the peer broke HTTP/2. `error.earlier` has what happened before that;
                GOAWAY is queued. The connection is of no more use.
        """
        if self._broken is not None:
            raise self._broken
        events: list[Event] = []
        try:
            self._receiver.receive(memoryview(octets), events)
        except Http2Error as error:
            error.earlier = tuple(events)
            self._broken = error
            self.go_away(error.error_code)
            raise
        return events

    # Streams.

    def open_stream(self, headers: Headers, *, end_stream: bool = False) -> Stream:
        """Send a request, as a client.

        Args:
            headers: lower-case names, pseudo-headers first.
            end_stream: nothing follows.

        Raises:
            GoingAwayError: one side has said that it goes, or stream ids have run out.
            StreamsExhaustedError: the peer takes no more streams at a time.
        """
        state = self._state
        stream_id = state.newest + 2 if state.newest else 1
        if self._going_away or self._broken is not None or stream_id > state.peer_accepts_up_to:
            raise GoingAwayError("the connection takes no new streams")
        if len(state.streams) >= state.peer.max_concurrent_streams:
            raise StreamsExhaustedError(f"the peer takes {state.peer.max_concurrent_streams}")
        stream = state.new_stream(stream_id)
        if takes_no_content(headers):
            stream.expected = UNCHECKED
        self._send_block(stream, headers, end_stream=end_stream)
        return stream

    def send_headers(self, stream: Stream, headers: Headers, *, end_stream: bool = False) -> None:
        """Send a response's head (1xx, or once the final one) as a server, or trailers.

        Raises:
            StreamClosedError: the stream was reset, or our direction has ended.
        """
        if stream.local_closed:
            raise StreamClosedError(f"stream {stream.stream_id} has ended")
        state = self._state
        if state.role is Role.SERVER and not stream.answered and headers[0][1][:1] != b"1":
            stream.answered = True
            # Progress: honest clients give some requests up, and get answers to others.
            state.budgets.resets.give_back(1)
        self._send_block(stream, headers, end_stream=end_stream)

    def sendable(self, stream: Stream) -> int:
        """How many octets of DATA the next frame may have; 0 until `WindowOpened` says more."""
        state = self._state
        if stream.local_closed:
            return 0
        return max(0, min(stream.send_window, state.send_window, state.peer.max_frame))

    def write_data_header(
        self,
        buffer: bytearray | memoryview,
        at: int,
        stream: Stream,
        octets: int,
        *,
        end_stream: bool,
    ) -> None:
        """Write a DATA frame's header into `buffer[at:at + 9]` and charge the windows.

        Args:
            buffer: where the payload is, too: right behind the header.
            at: where the header goes.
            stream: whose octets they are; our direction must not have ended.
            octets: how many; at most what `sendable` has just said.
            end_stream: they are the last ones.
        """
        state = self._state
        _PACK_HEADER(buffer, at, octets << 8, 1 if end_stream else 0, stream.stream_id)
        stream.send_window -= octets
        state.send_window -= octets
        state.moved += octets
        if end_stream:
            state.end_local(stream)

    def end_written(self, buffer: bytearray, at: int, stream: Stream) -> None:
        """Make the DATA frame whose header was written at `at`, and is not sent yet, the last."""
        buffer[at + 4] |= frames.END_STREAM
        self._state.end_local(stream)

    def send_end(self, stream: Stream) -> None:
        """End our direction with an empty DATA frame; nothing when it has ended."""
        if not stream.local_closed:
            self.outgoing += frames.frame(frames.DATA, frames.END_STREAM, stream.stream_id, b"")
            self._state.end_local(stream)

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """End both directions at once; nothing when both have ended."""
        if not stream.is_closed:
            self._state.reset(stream, code)

    def credit(self, stream: Stream, octets: int) -> None:
        """The reader took so many octets of what `DataReceived` gave: the peer may send more."""
        self._state.windows.credit(stream, octets)

    def settle(self) -> None:
        """All that was received has been offered to its readers, and credited as far as they took.

        Call it after each round: what is unread now belongs to readers that are slow, and must not
        take the connection's window from the others.
        """
        self._state.windows.settle()

    # The connection.

    def ping(self, payload: bytes) -> None:
        """Send a PING: eight octets; `PingAcknowledged` brings them back."""
        self._state.pings.append(payload)
        self.outgoing += frames.ping(payload)

    def drain(self) -> None:
        """Take no new streams, in two steps (section 6.8), so that none is lost on its way.

        As a server: GOAWAY with the highest id and a PING; once that is answered, the GOAWAY that
        names the last stream (`drained`). As a client there is only one step.
        """
        if self._going_away:
            return
        self._going_away = True
        if self._state.role is Role.CLIENT:
            finish_drain(self._state)
            return
        self.outgoing += frames.goaway(MAX_STREAM_ID, ErrorCode.NO_ERROR)
        self.ping(DRAIN_PING)

    def go_away(self, code: ErrorCode) -> None:
        """Say that the connection ends now, and why."""
        state = self._state
        self._going_away = True
        state.accepts_up_to = state.newest
        last = state.newest if state.role is Role.SERVER else 0
        self.outgoing += frames.goaway(last, code)

    def close(self) -> None:
        """The octets' way is gone: give back what the windows had grown by. Twice is fine."""
        state = self._state
        self._going_away = True
        state.windows.close(list(state.streams.values()))

    def _send_block(
        self, stream: Stream, headers: Iterable[tuple[bytes, bytes]], *, end_stream: bool
    ) -> None:
        state = self._state
        self.outgoing += frames.header_frames(
            stream.stream_id,
            state.encoder.encode(headers),
            end_stream=end_stream,
            max_octets=state.peer.max_frame,
        )
        if end_stream:
            state.end_local(stream)
