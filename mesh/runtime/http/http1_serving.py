"""One request on the serving end of an HTTP/1.1 connection, and its answer."""

from abc import ABC, abstractmethod

from mesh.errors import MeshError
from mesh.runtime.http.http1_content import (
    ChunkedContent,
    NoContent,
    OutgoingContent,
    SizedContent,
)
from mesh.runtime.http.outlet import Outlet
from mesh.runtime.http.stream import Loss, RequestUser, ServerStream
from mesh.wire.http.messages import Fields, RequestHead, ResponseHead
from mesh.wire.http1.errors import FieldInjectionError
from mesh.wire.http1.heads import is_without_content
from mesh.wire.http1.writing import response_octets


class Serving(ABC):
    """What an exchange needs of its connection."""

    __slots__ = ()

    @property
    @abstractmethod
    def is_full(self) -> bool:
        """Whether the link is."""

    @property
    @abstractmethod
    def may_live(self) -> bool:
        """Whether an answer may promise that the connection lives on."""

    @abstractmethod
    def credit(self, octets: int) -> None:
        """A piece of content was used up."""

    @abstractmethod
    def throw_away(self, octets: int) -> None:
        """A piece of content came that nobody wants."""

    @abstractmethod
    def give_up(self) -> None:
        """The exchange was reset, or has spoilt its answer."""

    @abstractmethod
    def answered(self) -> None:
        """The answer is complete."""

    @abstractmethod
    def become_raw(self) -> None:
        """The answer has changed the protocol."""

    @abstractmethod
    def half_close(self) -> None:
        """The other protocol's last octet was sent."""


class ServerExchange(ServerStream):
    """Given to whoever serves the request.

    Attributes:
        user: Who that is; None while it is being asked, and when it is done with.
        lives: The connection may live on after this answer.
        is_begun: The final head was sent.
    """

    __slots__ = (
        "_connection",
        "_content",
        "_finished",
        "_method",
        "_outlet",
        "_raw",
        "_request_ended",
        "_version",
        "_waits_for_100",
        "is_begun",
        "lives",
        "user",
    )

    def __init__(self, connection: Serving, outlet: Outlet, head: RequestHead, end: bool) -> None:  # noqa: FBT001 - as the event has it
        self._connection = connection
        self._outlet = outlet
        self._method = head.method
        self._version = head.version
        self._waits_for_100 = head.expects_continue
        self._content: OutgoingContent | None = None
        self._raw = False
        self._finished = False
        self._request_ended = end
        self.user: RequestUser | None = None
        self.lives = True
        self.is_begun = False

    # For the user.

    @property
    def is_full(self) -> bool:
        """Whether to stop sending until `writable`."""
        return self._connection.is_full

    def answer(self, head: ResponseHead, *, end: bool = False) -> None:
        """Send a head, informational or final; `end`: nothing follows."""
        if self.is_begun or self._finished:
            return
        status = head.status
        if status < 200 and status != 101:
            self._inform(head)
            return
        self.is_begun = True
        if status == 101 or (self._method == b"CONNECT" and status < 300):
            self._change(head)
            return
        length, chunked = head.length, False
        if is_without_content(status, self._method):
            self._content = NoContent()
        elif end or length is not None:
            length = length if length is not None else 0
            self._content = SizedContent(length)
        elif self._version == 11:
            chunked = True
            self._content = ChunkedContent()
        else:
            self._content = OutgoingContent()
            self.lives = False
        if not self._connection.may_live or (self._waits_for_100 and not self._request_ended):
            self.lives = False
        connection = b"" if self.lives else b"close"
        if self._version == 10 and self.lives:
            connection = b"keep-alive"
        if self._write_head(head, chunked=chunked, length=length, connection=connection) and end:
            self.finish([])

    def send(self, piece: bytes | bytearray | memoryview) -> None:
        """A piece of the content."""
        if self._content is None or self._finished:
            return
        if not self._content.send(self._outlet, piece):
            self.reset()

    def finish(self, trailers: Fields) -> None:
        """The answer is complete."""
        if self._content is None or self._finished:
            return
        self._finished = True
        if self._raw:
            self._connection.half_close()
        elif self._content.finish(self._outlet, trailers):
            self._connection.answered()
        else:
            self.user = None
            self._connection.give_up()

    def credit(self, octets: int) -> None:
        """So many octets of received pieces are done with."""
        self._connection.credit(octets)

    def reset(self) -> None:
        """Give both messages up; the connection ends with them."""
        self._finished = self.is_begun = True
        self._content = None
        self.user = None
        self._connection.give_up()

    # For the connection.

    @property
    def is_done(self) -> bool:
        """Both messages are complete, and the next request may come."""
        return self._finished and self._request_ended and not self._raw

    @property
    def is_hopeless(self) -> bool:
        """The answer is complete, and the client will not send the rest of its request."""
        return self._finished and not self._raw and not self.lives

    def content(self, piece: memoryview) -> None:
        """A piece of the request, or of the other protocol."""
        self._waits_for_100 = False
        if self.user is None or (self._finished and not self._raw):
            self._connection.throw_away(len(piece))
        else:
            self.user.body(piece)

    def request_ended(self, trailers: Fields) -> None:
        """The whole request has come."""
        self._request_ended = True
        if self.user is not None and (self._raw or not self._finished):
            self.user.finished(trailers)

    def tell_writable(self) -> None:
        """The link takes more."""
        if self.user is not None and not self._finished:
            self.user.writable()

    def cut(self, loss: Loss, error: MeshError | None) -> None:
        """No more comes, and nothing can be sent."""
        user, self.user = self.user, None
        was_done = self._finished and (self._request_ended or not self._raw)
        self._finished = True
        self._content = None
        if user is not None and not was_done:
            user.lost(loss, error)

    # In here.

    def _inform(self, head: ResponseHead) -> None:
        if self._version == 11:
            if head.status == 100:
                self._waits_for_100 = False
            self._write_head(head, chunked=False, length=None, connection=b"")

    def _write_head(
        self, head: ResponseHead, *, chunked: bool, length: int | None, connection: bytes
    ) -> bool:
        """Send it; what cannot be a head ends the exchange."""
        try:
            octets = response_octets(head, chunked=chunked, length=length, connection=connection)
        except FieldInjectionError as error:
            self.cut(Loss.INVALID, error)
            self._connection.give_up()
            return False
        self._outlet.write(octets)
        return True

    def _change(self, head: ResponseHead) -> None:
        self._raw = True
        self.lives = False
        self._content = OutgoingContent()
        self._request_ended = False  # the other protocol's octets have an end of their own
        if self._write_head(head, chunked=False, length=None, connection=b""):
            self._connection.become_raw()
