"""An HTTP/2 connection on a link: what both ends share.

1. The protocol is the pure core's (`mesh.wire.http2`). What it queues, and DATA, goes to the link
   together, at the round's end; large DATA at once.
2. The link is credited for what was read at once: what is unread is the streams' windows' to bound.
3. The end of a message is put on its last frame where that is not sent yet: gRPC takes an answer of
   trailers only, and one octet of a frame costs less than another frame.
4. While the link is full nothing is added for streams: they wait, and hear `writable`.
5. `tick` sends PINGs, seldom: gRPC servers end connections that are pinged more often than every
   five minutes. The tunnel under the link has PINGs of its own.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Final

from mesh.errors import MeshError, PeerError
from mesh.runtime.http.http2_message import Message, Sending
from mesh.runtime.http.link import Link, LinkUser
from mesh.runtime.http.outlet import AtRoundEnd
from mesh.runtime.http.stream import Loss
from mesh.wire.http2 import events as happened
from mesh.wire.http2.connection import Connection
from mesh.wire.http2.errors import Http2Error
from mesh.wire.http2.events import Headers
from mesh.wire.http2.frames import FRAME_HEADER_OCTETS, ErrorCode
from mesh.wire.http2.keepalive import Due, Keepalive
from mesh.wire.http2.streams import Stream

PING_AFTER_SECONDS: Final = 330.0
PATIENCE_SECONDS: Final = 20.0
LINGER_SECONDS: Final = 5.0
_DIRECT_OCTETS: Final = 8 * 1024
"""From here on a piece goes to the link by itself: one copy less."""
_PUSH_OCTETS: Final = 64 * 1024
_GAP: Final = bytes(FRAME_HEADER_OCTETS)
_PING: Final = b"sluice\0\0"

Octets = bytes | bytearray | memoryview


class LinkSilentError(PeerError):
    """The peer of an HTTP/2 connection does not answer PING."""

    code = "http2_link_silent"


class Http2Link(LinkUser, Sending):
    """One connection; `start` begins."""

    __slots__ = (
        "_at_round_end",
        "_closed",
        "_ending",
        "_error",
        "_flush_planned",
        "_heard",
        "_holding",
        "_http2",
        "_keepalive",
        "_last",
        "_last_at",
        "_last_end",
        "_leaving",
        "_left",
        "_link",
        "_messages",
        "_since",
        "_waiting",
    )

    def __init__(self, link: Link, http2: Connection, at_round_end: AtRoundEnd) -> None:
        """`http2` is fresh, not yet initiated."""
        self._link = link
        self._http2 = http2
        self._at_round_end = at_round_end
        self._messages: dict[Message, None] = {}
        self._waiting: dict[Message, None] = {}
        self._holding: dict[Message, None] = {}
        # The last DATA frame in `outgoing`, if it is the last frame there.
        self._last: Stream | None = None
        self._last_at = 0
        self._last_end = 0
        self._flush_planned = False
        self._leaving = False
        self._left = False
        self._ending = False
        self._closed = False
        self._error: MeshError | None = None
        self._heard = True
        self._keepalive: Keepalive | None = None
        self._since: float | None = None

    # For the owner.

    def start(self) -> None:
        """Say hello, and hear of the link."""
        self._http2.initiate()
        self.plan_flush()
        self._link.use(self)

    def tick(self, now: float) -> None:
        """Look after time; call it every few seconds."""
        if self._closed:
            return
        if self._ending:
            if self._since is None:
                self._since = now
            elif now - self._since >= LINGER_SECONDS:
                self._abandon(None)
            return
        if self._keepalive is None:
            self._keepalive = Keepalive(
                idle_s=PING_AFTER_SECONDS, patience_s=PATIENCE_SECONDS, last_heard=now
            )
        if self._heard:
            self._heard = False
            self._keepalive.heard(now)
        match self._keepalive.on_time(now):
            case Due.PING:
                self._http2.ping(_PING)
                self.plan_flush()
            case Due.GIVE_UP:
                self._abandon(LinkSilentError(f"no answer to PING in {PATIENCE_SECONDS:g} s"))
            case Due.NOTHING:
                pass

    # What the link says.

    def received(self, octets: memoryview) -> None:
        """Frames."""
        if self._ending:
            self._link.credit(len(octets))
            return
        self._heard = True
        try:
            events: Sequence[object] = self._http2.receive(octets)
        except Http2Error as error:
            self._take(error.earlier)
            self._violated(error)
            return
        self._take(events)
        if self._closed:
            return
        self._link.credit(len(octets))
        self._http2.settle()
        if self._http2.outgoing:
            self.plan_flush()
        self._close_when_unused()

    def ended(self) -> None:
        """The peer sends no more: nothing that is unfinished will be."""
        self._leaving = True
        self._lose_messages(Loss.RESET, None)
        self._end()

    def lost(self, error: MeshError | None) -> None:
        """The link is gone."""
        self._gone(error)

    def writable(self) -> None:
        """The link takes more."""
        self._flush()
        self._wake()

    # What messages say.

    def put(self, stream: Stream, octets: Octets) -> int:
        """Frame as much as link and windows take; give how much."""
        http2, link = self._http2, self._link
        outgoing = http2.outgoing
        at, size = 0, len(octets)
        while at < size and not self._closed:
            allowed = http2.sendable(stream)
            if allowed <= 0 or link.is_full:
                break
            count = min(allowed, size - at)
            start = len(outgoing)
            outgoing += _GAP
            http2.write_data_header(outgoing, start, stream, count, end_stream=False)
            piece = octets if count == size else memoryview(octets)[at : at + count]
            if count >= _DIRECT_OCTETS:
                self._push()
                link.write(piece)
            else:
                outgoing += piece
                self._last, self._last_at, self._last_end = stream, start, len(outgoing)
                if len(outgoing) >= _PUSH_OCTETS:
                    self._push()
            at += count
        self.plan_flush()
        return at

    def wait(self, message: Message) -> None:
        """Tell this message once when `put` may do more."""
        self._waiting[message] = None

    def send_headers(self, stream: Stream, headers: Headers, *, end: bool) -> None:
        """Send a head or trailers; nothing when our direction has ended."""
        if not self._closed and not stream.local_closed:
            self._http2.send_headers(stream, headers, end_stream=end)
            self.plan_flush()

    def send_end(self, stream: Stream) -> None:
        """End our direction."""
        if self._closed or stream.local_closed:
            return
        outgoing = self._http2.outgoing
        if self._last is stream and self._last_end == len(outgoing):
            self._http2.end_written(outgoing, self._last_at, stream)
        else:
            self._http2.send_end(stream)
        self.plan_flush()

    def hold(self, message: Message) -> None:
        """Tell this message to send its head (`send_head`) when the round ends."""
        self._holding[message] = None
        self.plan_flush()

    def credit(self, stream: Stream, octets: int) -> None:
        """The message's user has taken so many octets."""
        if not self._closed:
            self._http2.credit(stream, octets)
            if self._http2.outgoing:
                self.plan_flush()

    def reset_stream(self, stream: Stream, code: ErrorCode) -> None:
        """Abort a stream."""
        if not self._closed:
            self._http2.reset(stream, code)
            self.plan_flush()

    def forget(self, message: Message) -> None:
        """This message is done with."""
        self._messages.pop(message, None)
        self._waiting.pop(message, None)
        if message.stream.handle is message:
            message.stream.handle = None
        self._close_when_unused()
        if not self._closed:
            self._changed()

    # For the two ends.

    @abstractmethod
    def _headers(self, event: happened.HeadersReceived) -> None:
        """A request, or an answer."""

    @property
    @abstractmethod
    def _is_unused(self) -> bool:
        """Nothing is on it, and nothing will come."""

    @abstractmethod
    def _changed(self) -> None:
        """There may be more room, or none any more."""

    @abstractmethod
    def _tell_closed(self, error: MeshError | None) -> None:
        """The connection is gone, and each message has heard."""

    def _close_when_unused(self) -> None:
        if not self._ending and not self._closed and self._is_unused:
            self._http2.go_away(ErrorCode.NO_ERROR)
            self._end()

    def plan_flush(self) -> None:
        """Send what there is when the round ends."""
        if not self._flush_planned and not self._closed:
            self._flush_planned = True
            self._at_round_end(self._flush)

    # In here.

    def _take(self, events: Sequence[object]) -> None:
        http2 = self._http2
        for event in events:
            if type(event) is happened.DataReceived:
                message = event.stream.handle
                if isinstance(message, Message):
                    message.data(event.data, end=event.end_stream)
                else:
                    # Nobody reads it any more; the window of the others must not shrink.
                    http2.credit(event.stream, len(event.data))
            elif type(event) is happened.HeadersReceived:
                self._headers(event)
            else:
                self._other(event)
            if self._closed:
                return

    def _other(self, event: object) -> None:
        match event:
            case happened.WindowOpened(stream=stream):
                self._window_opened(stream)
            case happened.TrailersReceived() | happened.InformationalReceived():
                message = event.stream.handle
                if not isinstance(message, Message):
                    return
                if type(event) is happened.TrailersReceived:
                    message.ended(list(event.headers))
                else:
                    message.informational(event.headers)
            case happened.StreamReset(stream=stream, code=code, by_peer=by_peer):
                if isinstance(stream.handle, Message):
                    stream.handle.reset_by(code, by_peer=by_peer)
            case happened.GoAwayReceived():
                self._peer_leaves()
            case happened.SettingsReceived():
                self._changed()
            case _:
                pass

    def _window_opened(self, stream: Stream | None) -> None:
        if stream is None:
            self._wake()
        elif isinstance(stream.handle, Message) and stream.handle in self._waiting:
            del self._waiting[stream.handle]
            stream.handle.push()

    def _peer_leaves(self) -> None:
        """GOAWAY: the peer takes no new streams, or opens none."""
        self._leaving = self._left = True
        self._changed()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for message in waiting:
            message.push()

    def _flush(self) -> None:
        self._flush_planned = False
        if self._holding:
            holding, self._holding = self._holding, {}
            for message in holding:
                message.send_head()
        if not self._closed and not self._link.is_full:
            self._push()

    def _push(self) -> None:
        outgoing = self._http2.outgoing
        self._last = None
        if outgoing:
            self._link.write(outgoing)
            outgoing.clear()

    def _violated(self, error: Http2Error) -> None:
        self._error = error
        self._lose_messages(Loss.INVALID, error)
        self._end()

    def _end(self) -> None:
        """Everything is said: half-close, and wait for the peer's."""
        if self._ending or self._closed:
            return
        self._ending = self._leaving = True
        self._flush()
        self._push()
        self._link.end()

    def _abandon(self, error: MeshError | None) -> None:
        self._link.reset()
        self._gone(error)

    def _lose_messages(self, loss: Loss, error: MeshError | None) -> None:
        messages, self._messages = self._messages, {}
        self._waiting.clear()
        for message in messages:
            message.cut(loss, error)

    def _gone(self, error: MeshError | None) -> None:
        if self._closed:
            return
        self._closed = True
        self._http2.close()
        self._lose_messages(Loss.RESET, error)
        self._tell_closed(self._error or error)
