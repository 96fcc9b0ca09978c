"""One request and its answer on an HTTP connection, whichever version carries them.

The two ends of a proxy are alike: a server connection makes a `Stream` for each request that comes,
a client connection makes one for each that is sent. On either, the owner sends one message and
hears the other. All calls are plain functions in the reactor's turn.

1. Order, both ways: informational heads (responses only), the head, pieces of the body, the end
   (with trailers, perhaps empty). `reset` and `lost` can come at any time and are the last.
2. Backpressure as on a link (`mesh.runtime.http.link`): the receiver credits what it is done with;
   the sender stops while `is_full`.
3. After a 101 head, or a 2xx to CONNECT, body pieces are the other protocol's octets, both ways.
   That holds after `end` and `finished`, too: what has ended by then is the request's own content.
   The other protocol's octets have an end of their own, `finished` again.
4. The connection frames: a head with `length` set is sent with that content-length, without it
   chunked (HTTP/1.1) or simply in DATA (HTTP/2).
"""

from abc import ABC, abstractmethod
from enum import Enum

from mesh.errors import MeshError, UnavailableError
from mesh.wire.http.messages import Fields, RequestHead, ResponseHead


class NoRoomError(UnavailableError):
    """The connection takes no further request just now."""

    code = "http_no_room"


class Loss(Enum):
    """How a message was cut off, and so whether it may be sent again."""

    UNSEEN = "unseen"
    """The peer has said that it did not process it (GOAWAY, REFUSED_STREAM), or never got it."""
    STALE = "stale"
    """A reused connection closed before any octet of the answer."""
    RESET = "reset"
    """Cut off by the peer, or with the connection, when it may have been processed."""
    INVALID = "invalid"
    """The peer's octets are not HTTP."""


class StreamUser(ABC):
    """Who hears the message that the other side sends: the request, or the answer."""

    __slots__ = ()

    @abstractmethod
    def body(self, piece: memoryview) -> None:
        """A piece of the content, valid during this call only; credit it when done with."""

    @abstractmethod
    def finished(self, trailers: Fields) -> None:
        """The whole message has come."""

    @abstractmethod
    def lost(self, loss: Loss, error: MeshError | None) -> None:
        """No more comes, and nothing can be sent."""

    @abstractmethod
    def writable(self) -> None:
        """It was full, and takes more now."""


class RequestUser(StreamUser):
    """Who serves a request; its head was given to whoever made the user."""

    __slots__ = ()


class ResponseUser(StreamUser):
    """Who waits for an answer."""

    __slots__ = ()

    @abstractmethod
    def informational(self, head: ResponseHead) -> None:
        """A 1xx other than 101."""

    @abstractmethod
    def head(self, head: ResponseHead) -> None:
        """The final head, or 101."""


class Stream(ABC):
    """What a user sends on."""

    __slots__ = ()

    @property
    @abstractmethod
    def is_full(self) -> bool:
        """Whether to stop sending until `writable`."""

    @abstractmethod
    def send(self, piece: bytes | bytearray | memoryview) -> None:
        """A piece of the content; copied if it cannot be sent now."""

    @abstractmethod
    def finish(self, trailers: Fields) -> None:
        """Our message is complete."""

    @abstractmethod
    def credit(self, octets: int) -> None:
        """So many octets of received pieces are done with."""

    @abstractmethod
    def reset(self) -> None:
        """Give both messages up; the user hears nothing more."""


class ServerStream(Stream):
    """Answers one request."""

    __slots__ = ()

    @abstractmethod
    def answer(self, head: ResponseHead, *, end: bool = False) -> None:
        """Send a head, informational or final; `end`: nothing follows."""


class ClientStream(Stream):
    """Asks one request; its head was given to `ClientConnection.open`."""

    __slots__ = ()


class ServerConnectionUser(ABC):
    """Who serves what comes on a server connection."""

    __slots__ = ()

    @abstractmethod
    def request(self, stream: ServerStream, head: RequestHead, *, end: bool) -> RequestUser:
        """A request's head; `end`: it has no content. Gives who hears the rest."""

    def refused(self, status: int, error: MeshError) -> None:  # noqa: B027 - few want to know
        """The client was answered so, since what it sent is no request that can be read."""

    @abstractmethod
    def closed(self, error: MeshError | None) -> None:
        """The connection is gone; each of its streams has heard that before."""


class ServerConnection(ABC):
    """The serving end on a link."""

    __slots__ = ()

    @abstractmethod
    def start(self) -> None:
        """Read; requests that have come already are given out before this returns."""

    @abstractmethod
    def tick(self, now: float) -> None:
        """Look after time (heads that do not end, silent peers); call it every few seconds."""

    @abstractmethod
    def drain(self) -> None:
        """Take no new requests; close after the last answer."""

    @abstractmethod
    def close(self) -> None:
        """Close now."""


class ClientConnectionUser(ABC):
    """The pool that a client connection belongs to."""

    __slots__ = ()

    @abstractmethod
    def changed(self) -> None:
        """`room` may have changed."""

    @abstractmethod
    def closed(self, error: MeshError | None) -> None:
        """The connection is gone; each of its streams has heard that before."""


class ClientConnection(ABC):
    """The asking end on a link."""

    __slots__ = ()

    @abstractmethod
    def start(self) -> None:
        """Begin to hear of the link."""

    @abstractmethod
    def tick(self, now: float) -> None:
        """Look after time (silent peers); call it every few seconds."""

    @property
    @abstractmethod
    def room(self) -> int:
        """How many more requests it takes now; HTTP/1.1: 1 or 0."""

    @property
    @abstractmethod
    def is_idle(self) -> bool:
        """Whether no request is on it."""

    @abstractmethod
    def open(self, head: RequestHead, user: ResponseUser, *, end: bool) -> ClientStream:
        """Send a request's head; `end`: it has no content. Only while there is `room`.

        Raises:
            NoRoomError: there is none.
            MeshError: the head cannot be sent on this connection; nothing was.
        """

    @abstractmethod
    def close(self) -> None:
        """Close when nothing is on it, at once."""
