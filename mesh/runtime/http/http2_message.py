"""One stream of an HTTP/2 connection on a link: the message sent, and the one that comes."""

from abc import ABC, abstractmethod

from mesh.errors import MeshError
from mesh.runtime.http.stream import Loss, Stream, StreamUser
from mesh.wire.http.messages import Fields
from mesh.wire.http2 import streams
from mesh.wire.http2.events import Headers
from mesh.wire.http2.frames import ErrorCode

Octets = bytes | bytearray | memoryview


class Sending(ABC):
    """What a message needs of its connection."""

    __slots__ = ()

    @abstractmethod
    def put(self, stream: streams.Stream, octets: Octets) -> int:
        """Frame as much as link and windows take; give how much."""

    @abstractmethod
    def wait(self, message: "Message") -> None:
        """Tell this message once when `put` may do more (`Message.push`)."""

    @abstractmethod
    def send_headers(self, stream: streams.Stream, headers: Headers, *, end: bool) -> None:
        """Send a head or trailers; nothing when our direction has ended."""

    @abstractmethod
    def send_end(self, stream: streams.Stream) -> None:
        """End our direction."""

    @abstractmethod
    def hold(self, message: "Message") -> None:
        """Tell this message to send its head (`Message.send_head`) when the round ends."""

    @abstractmethod
    def credit(self, stream: streams.Stream, octets: int) -> None:
        """The message's user has taken so many octets."""

    @abstractmethod
    def reset_stream(self, stream: streams.Stream, code: ErrorCode) -> None:
        """Abort a stream."""

    @abstractmethod
    def forget(self, message: "Message") -> None:
        """This message is done with."""


class Message(Stream):
    """The half that both roles share.

    Attributes:
        stream: The core's.
    """

    __slots__ = (
        "_connection",
        "_finishing",
        "_kept",
        "_received_end",
        "_sent_end",
        "_was_full",
        "stream",
    )

    def __init__(self, connection: Sending, stream: streams.Stream) -> None:
        self._connection = connection
        self.stream = stream
        self._kept = bytearray()
        self._finishing: Fields | None = None
        self._sent_end = False
        self._received_end = False
        self._was_full = False

    # For the user.

    @property
    def is_full(self) -> bool:
        """Whether to stop sending until `writable`."""
        if self._kept:
            self._was_full = True
            return True
        return False

    def send(self, piece: Octets) -> None:
        """A piece of the content."""
        if self._sent_end or self._finishing is not None or not piece:
            return
        if self._kept:
            self._kept += piece
            return
        sent = self._connection.put(self.stream, piece)
        if sent < len(piece):
            self._kept += piece if not sent else memoryview(piece)[sent:]
            self._connection.wait(self)

    def finish(self, trailers: Fields) -> None:
        """Our message is complete."""
        if self._sent_end or self._finishing is not None:
            return
        self._finishing = trailers
        if not self._kept:
            self._finish_now(trailers)

    def credit(self, octets: int) -> None:
        """So many octets of received pieces are done with."""
        self._connection.credit(self.stream, octets)

    def reset(self) -> None:
        """Give both messages up: CANCEL."""
        self._user_is_gone()
        self._stop(ErrorCode.CANCEL)

    # For the connection.

    @property
    def is_done(self) -> bool:
        """Both messages are complete, or cut off."""
        return self._sent_end and self._received_end

    def send_head(self) -> None:
        """Send a head that was held back, if there is one."""

    def push(self) -> None:
        """Link or window may have room again."""
        kept = self._kept
        if kept:
            sent = self._connection.put(self.stream, kept)
            if sent < len(kept):
                del kept[:sent]
                self._connection.wait(self)
                return
            self._kept = bytearray()
        if self._finishing is not None:
            self._finish_now(self._finishing)
        elif self._was_full:
            self._was_full = False
            if (user := self._hearing()) is not None:
                user.writable()

    def data(self, piece: memoryview, *, end: bool) -> None:
        """Some content."""
        user = self._hearing()
        if user is None:
            self._connection.credit(self.stream, len(piece))
        elif piece:
            user.body(piece)
        if end:
            self.ended([])

    def ended(self, trailers: Fields) -> None:
        """The other side's message is complete."""
        if self._received_end:
            return
        self._received_end = True
        user = self._hearing()
        self._done_when_both_ended()
        if user is not None:
            user.finished(trailers)

    @abstractmethod
    def informational(self, headers: Headers) -> None:
        """A 1xx head."""

    def reset_by(self, code: ErrorCode, *, by_peer: bool) -> None:
        """The stream was reset, or refused by GOAWAY; or broke a rule, and we had to."""
        if self._received_end and code is ErrorCode.NO_ERROR:
            # The answer was whole, and the rest of the request is not wanted (section 8.1).
            self._sent_end = True
            self._connection.forget(self)
            return
        if not by_peer:
            loss = Loss.INVALID
        elif code is ErrorCode.REFUSED_STREAM:
            loss = Loss.UNSEEN
        else:
            loss = Loss.RESET
        self._connection.forget(self)
        self.cut(loss, None)

    def cut(self, loss: Loss, error: MeshError | None) -> None:
        """No more comes, and nothing can be sent."""
        user = self._hearing()
        self._user_is_gone()
        was_done = self._sent_end and self._received_end
        self._sent_end = True
        self._kept = bytearray()
        if user is not None and not was_done:
            user.lost(loss, error)

    # For the two roles.

    @abstractmethod
    def _hearing(self) -> StreamUser | None:
        """Who hears of the message that comes; None when nobody does any more."""

    @abstractmethod
    def _user_is_gone(self) -> None:
        """Nobody hears of it any more."""

    def _stop(self, code: ErrorCode) -> None:
        """Reset the stream, unless it has ended both ways."""
        self._sent_end = self._received_end = True
        self._kept = bytearray()
        self._user_is_gone()
        self._connection.reset_stream(self.stream, code)
        self._connection.forget(self)

    def _mark_sent_end(self) -> None:
        self._sent_end = True
        self._done_when_both_ended()

    def _done_when_both_ended(self) -> None:
        if self._sent_end and self._received_end:
            # The user holds us: without the way back there is no cycle for the collector to find.
            self._user_is_gone()
            self._connection.forget(self)

    # In here.

    def _finish_now(self, trailers: Fields) -> None:
        if trailers:
            self._connection.send_headers(self.stream, tuple(trailers), end=True)
        else:
            self._connection.send_end(self.stream)
        self._mark_sent_end()
