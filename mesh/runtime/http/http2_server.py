"""The serving end of an HTTP/2 connection on a link."""

from typing import Final

from mesh.errors import MeshError
from mesh.runtime.http.http2_link import Http2Link
from mesh.runtime.http.http2_message import Message, Sending
from mesh.runtime.http.link import Link
from mesh.runtime.http.outlet import AtRoundEnd
from mesh.runtime.http.stream import (
    RequestUser,
    ServerConnection,
    ServerConnectionUser,
    ServerStream,
    StreamUser,
)
from mesh.wire.http.messages import Fields, RequestHead, ResponseHead
from mesh.wire.http1.heads import is_without_content
from mesh.wire.http2 import events as happened
from mesh.wire.http2 import streams
from mesh.wire.http2.connection import Connection
from mesh.wire.http2.events import Headers
from mesh.wire.http2.flow import WindowBudget
from mesh.wire.http2.frames import ErrorCode, Role
from mesh.wire.http2.heads import RequestFaultError, read_request, response_headers
from mesh.wire.http2.settings import Settings

SETTINGS: Final = Settings(max_concurrent_streams=256, max_header_list=60 * 1024)


class Http2Server(Http2Link, ServerConnection):
    """One connection; `start` begins."""

    __slots__ = ("_user",)

    def __init__(
        self,
        link: Link,
        user: ServerConnectionUser,
        at_round_end: AtRoundEnd,
        windows: WindowBudget,
    ) -> None:
        """`windows`: what all connections' windows of a worker may grow by together."""
        super().__init__(link, Connection(Role.SERVER, SETTINGS, windows), at_round_end)
        self._user = user

    def drain(self) -> None:
        """Take no new requests, in two steps of GOAWAY; close after the last answer."""
        if not self._closed and not self._leaving:
            self._leaving = True
            self._http2.drain()
            self.plan_flush()

    def close(self) -> None:
        """Close now; requests that are being served are lost."""
        if not self._closed:
            self._http2.go_away(ErrorCode.NO_ERROR)
            self._push()
            if not self._messages:
                self._link.end()
            self._abandon(None)

    def _headers(self, event: happened.HeadersReceived) -> None:
        stream = event.stream
        try:
            head = read_request(event.headers)
        except RequestFaultError as fault:
            self.send_headers(stream, response_headers(ResponseHead(fault.status)), end=True)
            self.reset_stream(stream, ErrorCode.NO_ERROR)
            self._user.refused(fault.status, fault)
            return
        message = ServerMessage(self, stream, head, end=event.end_stream)
        stream.handle = message
        self._messages[message] = None
        user = self._user.request(message, head, end=event.end_stream)
        if not message.is_done:
            message.user = user

    @property
    def _is_unused(self) -> bool:
        # A drain has two steps: until the second, a stream may be on its way to us.
        gone = self._left or (self._leaving and self._http2.drained)
        return gone and not self._messages

    def _changed(self) -> None:
        pass

    def _tell_closed(self, error: MeshError | None) -> None:
        self._user.closed(error)


class ServerMessage(Message, ServerStream):
    """One request, and its answer.

    Attributes:
        user: Who serves it; None while it is being asked, and when it is done with.
    """

    __slots__ = ("_begun", "_held", "_is_head", "_without_content", "user")

    def __init__(
        self, connection: Sending, stream: streams.Stream, head: RequestHead, *, end: bool
    ) -> None:
        super().__init__(connection, stream)
        self.user: RequestUser | None = None
        self._is_head = head.method == b"HEAD"
        self._begun = False
        self._held: Headers | None = None
        self._without_content = False
        self._received_end = end

    def answer(self, head: ResponseHead, *, end: bool = False) -> None:
        """Send a head, informational or final; `end`: nothing follows."""
        if self._begun or self._sent_end:
            return
        if head.status == 101:
            # There is no such thing in HTTP/2 (section 8.6).
            self._user_is_gone()
            self._stop(ErrorCode.HTTP_1_1_REQUIRED)
            return
        if head.status >= 200:
            self._begun = True
            method = b"HEAD" if self._is_head else b""
            self._without_content = is_without_content(head.status, method)
        headers = response_headers(head)
        if self._begun and not end:
            # Perhaps nothing follows: then this is the end, too.
            self._held = headers
            self._connection.hold(self)
            return
        self._connection.send_headers(self.stream, headers, end=end)
        if end:
            self._mark_sent_end()

    def send(self, piece: bytes | bytearray | memoryview) -> None:
        """A piece of the content."""
        if not self._without_content:
            self.send_head()
            super().send(piece)

    def finish(self, trailers: Fields) -> None:
        """The answer is complete."""
        held = self._held
        if held is not None and not trailers and not self._sent_end:
            self._held = None
            self._connection.send_headers(self.stream, held, end=True)
            self._mark_sent_end()
            return
        self.send_head()
        super().finish(trailers)

    def send_head(self) -> None:
        """Send the head that was held back."""
        held, self._held = self._held, None
        if held is not None and not self._sent_end:
            self._connection.send_headers(self.stream, held, end=False)

    def reset(self) -> None:
        """Give both messages up: INTERNAL_ERROR, as no client may take it for an end."""
        self._user_is_gone()
        self._stop(ErrorCode.INTERNAL_ERROR)

    def informational(self, headers: Headers) -> None:
        """Requests have none."""

    def _mark_sent_end(self) -> None:
        super()._mark_sent_end()
        if not self._received_end:
            # The rest of the request is not wanted (section 8.1).
            self._user_is_gone()
            self._stop(ErrorCode.NO_ERROR)

    def _hearing(self) -> StreamUser | None:
        return self.user

    def _user_is_gone(self) -> None:
        self.user = None
