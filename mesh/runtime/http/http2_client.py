"""The asking end of an HTTP/2 connection on a link."""

from typing import Final

from mesh.errors import MeshError, UnavailableError
from mesh.runtime.http.http2_link import Http2Link
from mesh.runtime.http.http2_message import Message, Sending
from mesh.runtime.http.link import Link
from mesh.runtime.http.outlet import AtRoundEnd
from mesh.runtime.http.stream import (
    ClientConnection,
    ClientConnectionUser,
    ClientStream,
    NoRoomError,
    ResponseUser,
    StreamUser,
)
from mesh.wire.http.messages import Fields, RequestHead
from mesh.wire.http2 import events as happened
from mesh.wire.http2 import streams
from mesh.wire.http2.connection import Connection
from mesh.wire.http2.events import Headers
from mesh.wire.http2.flow import WindowBudget
from mesh.wire.http2.frames import ErrorCode, Role
from mesh.wire.http2.heads import read_response, request_headers
from mesh.wire.http2.settings import Settings

SETTINGS: Final = Settings(max_header_list=60 * 1024)


class UpgradeOverHttp2Error(UnavailableError):
    """A request that wants to change the protocol needs an HTTP/1.1 connection."""

    code = "http2_upgrade"


class Http2Client(Http2Link, ClientConnection):
    """One connection; `start` begins. Requests may be opened at once."""

    __slots__ = ("_user",)

    def __init__(
        self,
        link: Link,
        user: ClientConnectionUser,
        at_round_end: AtRoundEnd,
        windows: WindowBudget,
    ) -> None:
        """`windows`: what all connections' windows of a worker may grow by together."""
        super().__init__(link, Connection(Role.CLIENT, SETTINGS, windows), at_round_end)
        self._user = user

    @property
    def room(self) -> int:
        """How many more requests it takes now."""
        return 0 if self._leaving or self._closed else self._http2.room

    @property
    def is_idle(self) -> bool:
        """Whether no request is on it."""
        return not self._messages

    def open(self, head: RequestHead, user: ResponseUser, *, end: bool) -> ClientStream:
        """Send a request's head.

        Raises:
            NoRoomError: the caller has not looked at `room`.
            UpgradeOverHttp2Error: the request wants another protocol.
        """
        if not self.room:
            raise NoRoomError("the connection takes no more requests")
        if head.upgrade:
            raise UpgradeOverHttp2Error(head.upgrade.decode("latin-1"))
        stream = self._http2.open_stream(request_headers(head), end_stream=end)
        message = ClientMessage(self, stream, user, end=end)
        stream.handle = message
        self._messages[message] = None
        self.plan_flush()
        return message

    def close(self) -> None:
        """Close when nothing is on it: at once, if so."""
        self._leaving = True
        self._close_when_unused()

    def _headers(self, event: happened.HeadersReceived) -> None:
        message = event.stream.handle
        if isinstance(message, ClientMessage):
            message.answered(event.headers, end=event.end_stream)

    @property
    def _is_unused(self) -> bool:
        return self._leaving and not self._messages

    def _changed(self) -> None:
        self._user.changed()

    def _tell_closed(self, error: MeshError | None) -> None:
        self._user.closed(error)


class ClientMessage(Message, ClientStream):
    """One request, and its answer."""

    __slots__ = ("_user",)

    def __init__(
        self, connection: Sending, stream: streams.Stream, user: ResponseUser, *, end: bool
    ) -> None:
        super().__init__(connection, stream)
        self._user: ResponseUser | None = user
        self._sent_end = end

    def informational(self, headers: Headers) -> None:
        """A 1xx head."""
        if self._user is not None:
            self._user.informational(read_response(headers))

    def answered(self, headers: Headers, *, end: bool) -> None:
        """The final head."""
        if self._user is not None:
            self._user.head(read_response(headers))
        if end:
            self.ended([])

    def ended(self, trailers: Fields) -> None:
        """The whole answer has come."""
        super().ended(trailers)
        if not self._sent_end:
            # An answer before the whole request: the rest of that is of no use (as HTTP/1.1 does).
            self._user_is_gone()
            self._stop(ErrorCode.NO_ERROR)

    def _hearing(self) -> StreamUser | None:
        return self._user

    def _user_is_gone(self) -> None:
        self._user = None
