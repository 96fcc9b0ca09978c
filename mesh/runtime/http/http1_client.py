"""The asking end of an HTTP/1.1 connection on a link.

1. One request at a time; the next one only when both messages are complete and both sides let the
   connection live on.
2. An answer that is complete before its request ends the connection.
3. What the server sends that nobody has asked for ends the connection.
"""

from collections.abc import Sequence
from typing import Final

from mesh.errors import MeshError
from mesh.runtime.http.http1_asking import Asking, ClientExchange
from mesh.runtime.http.link import Link, LinkUser
from mesh.runtime.http.outlet import AtRoundEnd, Outlet
from mesh.runtime.http.stream import (
    ClientConnection,
    ClientConnectionUser,
    ClientStream,
    Loss,
    NoRoomError,
    ResponseUser,
)
from mesh.wire.http.messages import RequestHead
from mesh.wire.http1.errors import Http1Error, TruncatedError
from mesh.wire.http1.events import ContentReceived, Event, MessageEnded, ResponseReceived
from mesh.wire.http1.reading import ResponseReader

LINGER_SECONDS: Final = 5.0


class Http1Client(ClientConnection, LinkUser, Asking):
    """One connection; `start` begins."""

    __slots__ = (
        "_closed",
        "_ending",
        "_error",
        "_exchange",
        "_leaving",
        "_link",
        "_outlet",
        "_reader",
        "_reused",
        "_since",
        "_user",
    )

    def __init__(self, link: Link, user: ClientConnectionUser, at_round_end: AtRoundEnd) -> None:
        self._link = link
        self._user = user
        self._outlet = Outlet(link, at_round_end)
        self._reader = ResponseReader()
        self._exchange: ClientExchange | None = None
        self._reused = False
        self._leaving = False
        self._ending = False
        self._closed = False
        self._error: MeshError | None = None
        self._since: float | None = None

    # For the owner.

    def start(self) -> None:
        """Begin to hear of the link."""
        self._link.use(self)

    @property
    def room(self) -> int:
        """1 or 0."""
        taken = self._exchange is not None or self._leaving or self._ending or self._closed
        return 0 if taken else 1

    @property
    def is_idle(self) -> bool:
        """Whether no request is on it."""
        return self._exchange is None

    def open(self, head: RequestHead, user: ResponseUser, *, end: bool) -> ClientStream:
        """Send a request's head.

        Raises:
            NoRoomError: the caller has not looked at `room`.
            FieldInjectionError: the head holds what would become another field or request.
        """
        if not self.room:
            raise NoRoomError("the connection has a request, or ends")
        exchange = ClientExchange(self, self._outlet, head, user, end=end)
        self._exchange = exchange
        self._reader.expect(head.method, head.upgrade)
        if end:
            self._outlet.flush()
        return exchange

    def close(self) -> None:
        """Close when nothing is on it: at once, if so."""
        self._leaving = True
        if self._exchange is None:
            self._end()

    def tick(self, now: float) -> None:
        """Look after time; call it every few seconds."""
        if not self._ending or self._closed:
            return
        if self._since is None:
            self._since = now
        elif now - self._since >= LINGER_SECONDS:
            self._link.reset()
            self._gone(None)

    # What the link says.

    def received(self, octets: memoryview) -> None:
        """Read the answer."""
        if self._ending:
            self._link.credit(len(octets))
            return
        if self._exchange is not None:
            self._exchange.is_heard = True
        try:
            events: Sequence[object] = self._reader.receive(octets)
        except Http1Error as error:
            self._take(error.earlier)
            self._fail(Loss.INVALID, error)
        else:
            self._take(events)
            self._finish_exchange()

    def ended(self) -> None:
        """The server sends no more."""
        try:
            events: list[Event] = self._reader.receive_end()
        except TruncatedError as error:
            self._fail(Loss.RESET, error)
            return
        self._take(events)
        exchange = self._exchange
        if exchange is not None and not exchange.is_answered:
            self._fail(self._loss(exchange), TruncatedError("it ended before an answer"))
            return
        self._leaving = True
        self._finish_exchange()
        if self._exchange is None:
            self._end()

    def lost(self, error: MeshError | None) -> None:
        """The link is gone."""
        self._gone(error)

    def writable(self) -> None:
        """The link takes more."""
        if self._exchange is not None:
            self._exchange.tell_writable()

    # What the exchange says.

    @property
    def is_full(self) -> bool:
        """Whether the link is."""
        return self._link.is_full

    def credit(self, octets: int) -> None:
        """A piece of content was used up."""
        if not self._closed:
            self._link.credit(octets)

    def give_up(self) -> None:
        """The exchange was reset, or has spoilt its request."""
        self._exchange = None
        if not self._closed:
            self._link.reset()
            self._gone(None)

    def asked(self) -> None:
        """The request is complete."""
        self._outlet.flush()
        self._finish_exchange()

    def half_close(self) -> None:
        """The other protocol's last octet was sent."""
        self._outlet.flush()
        self._link.end()

    # In here.

    def _take(self, events: Sequence[object]) -> None:
        for event in events:
            exchange = self._exchange
            if exchange is None:
                if type(event) is ContentReceived:
                    self.credit(len(event.piece))
            elif type(event) is ContentReceived:
                exchange.content(event.piece)
            elif type(event) is ResponseReceived:
                exchange.head_received(event.head, end=event.end)
            elif type(event) is MessageEnded:
                exchange.answer_ended(event.trailers)
            if self._closed:
                return
        if spent := self._reader.take_spent():
            self._link.credit(spent)

    def _finish_exchange(self) -> None:
        exchange = self._exchange
        if exchange is None or not exchange.is_answered or self._closed:
            return
        if exchange.is_raw:
            return
        self._exchange = None
        self._reused = True
        if not exchange.is_asked:
            exchange.forget()
            self.give_up()
        elif self._leaving or not self._reader.lives:
            self._end()
        else:
            self._user.changed()

    def _loss(self, exchange: ClientExchange) -> Loss:
        return Loss.STALE if self._reused and not exchange.is_heard else Loss.RESET

    def _fail(self, loss: Loss, error: MeshError) -> None:
        if self._closed:
            return
        exchange, self._exchange = self._exchange, None
        self._error = error
        self._link.reset()
        self._closed = True
        if exchange is not None:
            exchange.cut(loss, error)
        self._user.closed(error)

    def _end(self) -> None:
        if self._ending or self._closed:
            return
        self._ending = True
        self._outlet.flush()
        if not self._closed:
            self._link.end()
        if not self._closed:
            self._user.changed()

    def _gone(self, error: MeshError | None) -> None:
        if self._closed:
            return
        self._closed = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.cut(self._loss(exchange), error)
        self._user.closed(self._error or error)
