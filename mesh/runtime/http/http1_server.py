"""The serving end of an HTTP/1.1 connection on a link.

1. One request at a time: what comes behind it is kept, uncredited, until its answer is complete.
2. A fault of the client's is answered here, with the status that the fault has, and the connection
   ends. Whoever was serving the request hears `lost`.
3. An answer that is complete before its request: the rest of the request is thrown away, up to
   DISCARD_OCTETS; beyond, or when the client waits for 100, the connection ends.
4. A connection ends with a half-close, and waits for the client's: a reset could overtake the last
   answer. `tick` puts an end to that.
"""

from collections.abc import Sequence
from typing import Final

from mesh.errors import MeshError, PeerError
from mesh.runtime.http.http1_serving import ServerExchange, Serving
from mesh.runtime.http.link import Link, LinkUser
from mesh.runtime.http.outlet import AtRoundEnd, Outlet
from mesh.runtime.http.stream import Loss, ServerConnection, ServerConnectionUser
from mesh.wire.http.messages import ResponseHead
from mesh.wire.http1.errors import Http1Error, TruncatedError
from mesh.wire.http1.events import ContentReceived, Event, MessageEnded, RequestReceived
from mesh.wire.http1.reader import Phase
from mesh.wire.http1.reading import RequestReader
from mesh.wire.http1.writing import response_octets

DISCARD_OCTETS: Final = 256 * 1024
HEAD_SECONDS: Final = 60.0
"""How long a head that has begun may take: 408."""
IDLE_SECONDS: Final = 3600.0
LINGER_SECONDS: Final = 5.0


class HeadLateError(PeerError):
    """The client began a request and did not finish its head in time."""

    code = "http1_head_late"


class Http1Server(ServerConnection, LinkUser, Serving):
    """One connection; `start` begins."""

    __slots__ = (
        "_busy",
        "_closed",
        "_draining",
        "_ending",
        "_error",
        "_exchange",
        "_in_head",
        "_link",
        "_outlet",
        "_peer_ended",
        "_reader",
        "_since",
        "_thrown_away",
        "_user",
    )

    def __init__(self, link: Link, user: ServerConnectionUser, at_round_end: AtRoundEnd) -> None:
        self._link = link
        self._user = user
        self._outlet = Outlet(link, at_round_end)
        self._reader = RequestReader()
        self._exchange: ServerExchange | None = None
        self._busy = False
        self._draining = False
        self._peer_ended = False
        self._ending = False
        self._closed = False
        self._thrown_away = 0
        self._since: float | None = None
        self._in_head = False
        self._error: MeshError | None = None

    # For the owner.

    def start(self) -> None:
        """Read; requests that have come already are given out before this returns."""
        self._link.use(self)

    def drain(self) -> None:
        """Close after the answer to the request that is here, or now."""
        self._draining = True
        self._advance()

    def close(self) -> None:
        """Close now; a request that is being served is lost."""
        if not self._closed:
            self._outlet.flush()
            if self._exchange is None:
                self._link.end()
            self._link.reset()
            self._gone(None)

    def tick(self, now: float) -> None:
        """Look after time; call it every few seconds."""
        if self._closed or (self._exchange is not None and not self._ending):
            self._since = None
            return
        if self._since is None or self._in_head != bool(self._reader.kept):
            self._since = now
            self._in_head = bool(self._reader.kept)
        waited = now - self._since
        if self._ending:
            if waited >= LINGER_SECONDS:
                self._link.reset()
                self._gone(None)
        elif self._reader.kept:
            if waited >= HEAD_SECONDS:
                self._refuse_unread(408, HeadLateError(f"no whole head within {HEAD_SECONDS:g} s"))
        elif waited >= IDLE_SECONDS:
            self._end()

    # What the link says.

    def received(self, octets: memoryview) -> None:
        """Read requests and what belongs to them."""
        if self._ending:
            self.throw_away(len(octets))
            return
        self._busy = True  # what can go on does so below, and not from within
        try:
            events: Sequence[object] = self._reader.receive(octets)
        except Http1Error as error:
            self._take(error.earlier)
            self._fault(error)
        else:
            self._take(events)
        self._busy = False
        self._advance()

    def ended(self) -> None:
        """The client sends no more; it may wait for answers."""
        self._peer_ended = True
        self._advance()

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

    @property
    def may_live(self) -> bool:
        """Whether an answer may promise that the connection lives on."""
        reader = self._reader
        if self._draining or self._ending or (self._peer_ended and not reader.kept):
            return False
        return reader.lives

    def credit(self, octets: int) -> None:
        """A piece of content was used up."""
        if not self._closed:
            self._link.credit(octets)

    def throw_away(self, octets: int) -> None:
        """A piece of content came that nobody wants; too many of them end the connection."""
        if self._closed:
            return
        self._link.credit(octets)
        self._thrown_away += octets
        if self._thrown_away > DISCARD_OCTETS:
            if self._ending:
                self._link.reset()
                self._gone(None)
            else:
                self._thrown_away = 0
                self._end()

    def give_up(self) -> None:
        """The exchange was reset, or has spoilt its answer."""
        self._exchange = None
        if not self._closed:
            self._outlet.flush()  # what an answer had before it was cut off is the client's
            self._link.reset()
            self._gone(None)

    def answered(self) -> None:
        """The answer is complete."""
        self._outlet.flush()
        self._advance()

    def become_raw(self) -> None:
        """The answer has changed the protocol."""
        self._outlet.flush()
        self._read_on(self._reader.become_raw())
        self._advance()

    def half_close(self) -> None:
        """The other protocol's last octet was sent."""
        self._outlet.flush()
        self._link.end()

    # In here.

    def _advance(self) -> None:
        """Do what can be done now; not from within a call of ours to the request's user."""
        if self._busy:
            return
        self._busy = True
        while not (self._ending or self._closed) and self._step():
            pass
        self._busy = False

    def _step(self) -> bool:
        """Do one thing; False when there is nothing more to do."""
        exchange, reader = self._exchange, self._reader
        if exchange is not None:
            if exchange.is_done:
                self._exchange = None
                exchange.user = None  # who holds it: no cycle is left for the collector
                self._thrown_away = 0
                if exchange.lives:
                    return True
                self._end()
            elif exchange.is_hopeless:
                self._exchange = None
                self._end()
            elif self._peer_ended and reader.phase not in (Phase.COMPLETE, Phase.ENDED):
                self._read_end()
                return True
            return False
        if reader.phase is Phase.COMPLETE and (reader.kept or not self._peer_ended):
            self._read_kept()
            return reader.phase is Phase.COMPLETE
        if self._peer_ended and reader.phase is not Phase.ENDED:
            self._read_end()
        if (self._peer_ended or self._draining) and self._exchange is None:
            self._end()
        return False

    def _read_kept(self) -> None:
        try:
            events = self._reader.go_on()
        except Http1Error as error:
            self._take(error.earlier)
            self._fault(error)
        else:
            self._read_on(events)

    def _read_end(self) -> None:
        try:
            events = self._reader.receive_end()
        except TruncatedError as error:
            self._fault(error)
        else:
            self._read_on(events)

    def _read_on(self, events: list[Event]) -> None:
        busy, self._busy = self._busy, True
        self._take(events)
        self._busy = busy

    def _take(self, events: Sequence[object]) -> None:
        for event in events:
            exchange = self._exchange
            if type(event) is RequestReceived:
                self._begin(event)
            elif exchange is None:
                if type(event) is ContentReceived:
                    self.throw_away(len(event.piece))
            elif type(event) is ContentReceived:
                exchange.content(event.piece)
            elif type(event) is MessageEnded:
                exchange.request_ended(event.trailers)
            if self._closed:
                return
        if spent := self._reader.take_spent():
            self._link.credit(spent)

    def _begin(self, event: RequestReceived) -> None:
        exchange = self._exchange = ServerExchange(self, self._outlet, event.head, event.end)
        self._since = None
        exchange.user = self._user.request(exchange, event.head, end=event.end)

    def _fault(self, error: Http1Error) -> None:
        if self._closed:
            return
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            self._refuse_unread(error.status, error)
            return
        was_begun = exchange.is_begun
        exchange.cut(Loss.RESET if type(error) is TruncatedError else Loss.INVALID, error)
        if was_begun:
            self._error = error
            self._link.reset()
            self._gone(error)
        else:
            self._refuse(error.status, error)

    def _refuse(self, status: int, error: MeshError) -> None:
        self._error = error
        head = ResponseHead(status)
        self._outlet.write(response_octets(head, chunked=False, length=0, connection=b"close"))
        self._end()

    def _refuse_unread(self, status: int, error: MeshError) -> None:
        self._user.refused(status, error)
        self._refuse(status, error)

    def _end(self) -> None:
        if self._ending or self._closed:
            return
        self._ending = True
        self._since = None
        self._outlet.flush()
        if not self._closed:
            self._link.credit(self._reader.drop_kept())
            self._link.end()

    def _gone(self, error: MeshError | None) -> None:
        if self._closed:
            return
        self._closed = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.cut(Loss.RESET, error)
        self._user.closed(self._error or error)
