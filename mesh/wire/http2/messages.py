"""What a decoded header list is, for each role: a request, a response, trailers, or a fault."""

from typing import Final

from mesh.wire.http2.errors import AfterEndError, ProtocolViolationError
from mesh.wire.http2.events import (
    Event,
    Headers,
    HeadersReceived,
    InformationalReceived,
    TrailersReceived,
)
from mesh.wire.http2.frames import ErrorCode, Role, rst_stream
from mesh.wire.http2.headers import (
    content_length,
    list_octets,
    request_fault,
    response_status,
    trailers_fault,
)
from mesh.wire.http2.state import State
from mesh.wire.http2.streams import UNCHECKED, Stream

_SWITCHING: Final = 101
_FIRST_FINAL: Final = 200
_WITHOUT_CONTENT: Final = (204, 304)


class Messages:
    """Turns whole header blocks into events."""

    __slots__ = ("_state",)

    def __init__(self, state: State) -> None:
        self._state = state

    def received(
        self, stream_id: int, block: bytes, events: list[Event], *, end_stream: bool
    ) -> None:
        """Take one block. It is always decoded: the next one depends on it (RFC 7541).

        Raises:
            Http2Error: the connection has to end.
        """
        state = self._state
        headers = state.decoder.decode(block)
        stream = state.streams.get(stream_id)
        if stream is None:
            self._on_no_stream(stream_id, headers, events, end_stream=end_stream)
        elif stream.remote_closed:
            state.stream_error(stream, ErrorCode.STREAM_CLOSED, events)
        elif list_octets(headers) > state.settings.max_header_list:
            state.stream_error(stream, ErrorCode.ENHANCE_YOUR_CALM, events)
        elif state.role is Role.CLIENT and not stream.answered:
            self._response(stream, headers, events, end_stream=end_stream)
        else:
            self._trailers(stream, headers, events, end_stream=end_stream)

    def _on_no_stream(
        self, stream_id: int, headers: Headers, events: list[Event], *, end_stream: bool
    ) -> None:
        state = self._state
        if stream_id & 1 and stream_id <= state.newest:
            if stream_id in state.ended:
                raise AfterEndError(f"HEADERS on stream {stream_id}, which has ended")
            state.ignore()
        elif state.role is Role.SERVER and stream_id & 1:
            self._request(stream_id, headers, events, end_stream=end_stream)
        else:
            raise ProtocolViolationError(f"HEADERS on stream {stream_id}, which is idle")

    def _request(
        self, stream_id: int, headers: Headers, events: list[Event], *, end_stream: bool
    ) -> None:
        state, settings = self._state, self._state.settings
        if stream_id > state.accepts_up_to:
            state.ignore()  # our GOAWAY has told the client so (section 6.8)
            return
        if list_octets(headers) > settings.max_header_list:
            self._refuse(stream_id, ErrorCode.ENHANCE_YOUR_CALM)
            return
        length = content_length(headers)
        if (
            length is None
            or (end_stream and length > 0)
            or request_fault(headers, connect_protocol=settings.enable_connect_protocol)
        ):
            self._refuse(stream_id, ErrorCode.PROTOCOL_ERROR)
            return
        if len(state.streams) >= settings.max_concurrent_streams:
            self._refuse(stream_id, ErrorCode.REFUSED_STREAM)
            return
        stream = state.new_stream(stream_id)
        # What CONNECT carries has no length (RFC 9110 section 9.3.6).
        stream.expected = UNCHECKED if (b":method", b"CONNECT") in headers else length
        stream.accepts_data = True
        events.append(HeadersReceived(stream, headers, end_stream))
        if end_stream:
            state.end_remote(stream)

    def _refuse(self, stream_id: int, code: ErrorCode) -> None:
        """Reset a stream that nobody has heard of; it counts as one that the peer made us reset."""
        state = self._state
        state.newest = stream_id
        state.budgets.resets.spend(state.moved)
        state.answer(rst_stream(stream_id, code))

    def _response(
        self, stream: Stream, headers: Headers, events: list[Event], *, end_stream: bool
    ) -> None:
        state = self._state
        status = response_status(headers)
        if status != _SWITCHING and 100 <= status < _FIRST_FINAL and not end_stream:
            state.ignore()
            events.append(InformationalReceived(stream, headers))
            return
        length = content_length(headers)
        if status < _FIRST_FINAL or length is None:
            state.stream_error(stream, ErrorCode.PROTOCOL_ERROR, events)
            return
        if stream.expected != UNCHECKED and status not in _WITHOUT_CONTENT:
            if end_stream and length > 0:
                state.stream_error(stream, ErrorCode.PROTOCOL_ERROR, events)
                return
            stream.expected = length
        stream.answered = stream.accepts_data = True
        state.budgets.resets.give_back(1)
        events.append(HeadersReceived(stream, headers, end_stream))
        if end_stream:
            state.end_remote(stream)

    def _trailers(
        self, stream: Stream, headers: Headers, events: list[Event], *, end_stream: bool
    ) -> None:
        # Trailers end the stream (section 8.1), and content-length must be fulfilled by then.
        if not end_stream or trailers_fault(headers) or stream.expected > 0:
            self._state.stream_error(stream, ErrorCode.PROTOCOL_ERROR, events)
            return
        events.append(TrailersReceived(stream, headers))
        self._state.end_remote(stream)


def takes_no_content(headers: Headers) -> bool:
    """Say whether the answer's content-length says nothing about DATA: HEAD and CONNECT."""
    return (b":method", b"HEAD") in headers or (b":method", b"CONNECT") in headers
