"""One request on the asking end of an HTTP/1.1 connection, and its answer."""

from abc import ABC, abstractmethod

from mesh.errors import MeshError
from mesh.runtime.http.http1_content import (
    ChunkedContent,
    NoContent,
    OutgoingContent,
    SizedContent,
)
from mesh.runtime.http.outlet import Outlet
from mesh.runtime.http.stream import ClientStream, Loss, ResponseUser
from mesh.wire.http.messages import Fields, RequestHead, ResponseHead
from mesh.wire.http1.writing import CONTENT_METHODS, request_octets


class Asking(ABC):
    """What an exchange needs of its connection."""

    __slots__ = ()

    @property
    @abstractmethod
    def is_full(self) -> bool:
        """Whether the link is."""

    @abstractmethod
    def credit(self, octets: int) -> None:
        """A piece of content was used up."""

    @abstractmethod
    def give_up(self) -> None:
        """The exchange was reset, or has spoilt its request."""

    @abstractmethod
    def asked(self) -> None:
        """The request is complete."""

    @abstractmethod
    def half_close(self) -> None:
        """The other protocol's last octet was sent."""


class ClientExchange(ClientStream):
    """Given to whoever asks.

    Attributes:
        is_asked: The request is complete.
        is_answered: The answer is.
        is_heard: Some octet of the answer has come.
        is_raw: The octets are another protocol's, both ways.
    """

    __slots__ = (
        "_connection",
        "_content",
        "_method",
        "_outlet",
        "_user",
        "is_answered",
        "is_asked",
        "is_heard",
        "is_raw",
    )

    def __init__(
        self,
        connection: Asking,
        outlet: Outlet,
        head: RequestHead,
        user: ResponseUser,
        *,
        end: bool,
    ) -> None:
        """Send the head.

        Raises:
            FieldInjectionError: it holds what would become another field or request.
        """
        self._connection = connection
        self._outlet = outlet
        self._user: ResponseUser | None = user
        self._method = head.method
        self._content: OutgoingContent = NoContent()
        self.is_answered = False
        self.is_heard = False
        self.is_raw = False
        length, chunked = head.length, False
        self.is_asked = end or bool(head.upgrade) or head.method == b"CONNECT"
        if self.is_asked:
            length = 0 if head.method in CONTENT_METHODS or length is not None else None
        elif length is not None:
            self._content = SizedContent(length)
        else:
            chunked = True
            self._content = ChunkedContent()
        outlet.write(request_octets(head, chunked=chunked, length=length))

    # For the user.

    @property
    def is_full(self) -> bool:
        """Whether to stop sending until `writable`."""
        return self._connection.is_full

    def send(self, piece: bytes | bytearray | memoryview) -> None:
        """A piece of the content, or of the other protocol."""
        if self.is_asked or self._user is None:
            return
        if not self._content.send(self._outlet, piece):
            self.reset()

    def finish(self, trailers: Fields) -> None:
        """The request is complete, or the other protocol's octets are."""
        if self.is_asked or self._user is None:
            return
        self.is_asked = True
        if self.is_raw:
            self._connection.half_close()
        elif self._content.finish(self._outlet, trailers):
            self._connection.asked()
        else:
            self.reset()

    def credit(self, octets: int) -> None:
        """So many octets of received pieces are done with."""
        self._connection.credit(octets)

    def reset(self) -> None:
        """Give both messages up; the connection ends with them, unless both are complete."""
        if self._user is not None:
            self._user = None
            self._connection.give_up()

    # For the connection.

    def head_received(self, head: ResponseHead, *, end: bool) -> None:
        """A head, informational or final."""
        user = self._user
        if user is None:
            return
        status = head.status
        if status < 200 and status != 101:
            user.informational(head)
            return
        if status == 101 or (self._method == b"CONNECT" and status < 300):
            self.is_raw = True
            self.is_asked = False
            self._content = OutgoingContent()
        self.is_answered = end
        user.head(head)
        if end and self._user is not None:
            self._answered([])

    def content(self, piece: memoryview) -> None:
        """A piece of the answer, or of the other protocol."""
        if self._user is None:
            self._connection.credit(len(piece))
        else:
            self._user.body(piece)

    def answer_ended(self, trailers: Fields) -> None:
        """The whole answer has come."""
        self.is_answered = True
        if self._user is not None:
            self._answered(trailers)

    def tell_writable(self) -> None:
        """The link takes more."""
        if self._user is not None and not self.is_asked:
            self._user.writable()

    def cut(self, loss: Loss, error: MeshError | None) -> None:
        """No more comes, and nothing can be sent."""
        user, self._user = self._user, None
        if user is not None and not (self.is_answered and (self.is_asked or not self.is_raw)):
            user.lost(loss, error)

    def forget(self) -> None:
        """The user hears nothing more, and nothing is sent for it."""
        self._user = None

    # In here.

    def _answered(self, trailers: Fields) -> None:
        user = self._user
        if self.is_asked and not self.is_raw:
            # Whatever the user does with its stream from here on, the connection is not its own.
            self._user = None
        if user is not None:
            user.finished(trailers)
