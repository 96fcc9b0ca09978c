"""What a decoded header list is, for each role: a request, a response, trailers, or a fault."""

from collections.abc import Callable
from typing import Final, TypeAlias

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
    KNOWN_BLOCKS,
    KNOWN_LIST_OCTETS,
    content_length,
    list_octets,
    request_fault,
    response_status,
    trailers_fault,
)
from mesh.wire.http2.state import State
from mesh.wire.http2.streams import UNCHECKED, UNKNOWN, Stream

_SWITCHING: Final = 101
_FIRST_FINAL: Final = 200
_WITHOUT_CONTENT: Final = (204, 304)


Outcome: TypeAlias = tuple[int, int]
"""The status (0 but for responses), and what content-length says."""
Check: TypeAlias = Callable[[Headers], Outcome | None]
"""What a list says of its message; None: it is malformed."""


class Messages:
    """Turns whole header blocks into events.

    What was found of a list holds for the same list again (`HeaderDecoder.is_known`).
    """

    __slots__ = ("_check_request", "_found", "_state")

    def __init__(self, state: State) -> None:
        self._state = state
        self._found: dict[int, tuple[Headers, Check, Outcome]] = {}
        check = _extended_request if state.settings.enable_connect_protocol else _plain_request
        self._check_request: Check = check

    def _outcome(self, check: Check, headers: Headers) -> Outcome | None:
        if not self._state.decoder.is_known:
            return check(headers)
        found = self._found.get(id(headers))
        # It keeps its list: nothing else has that identity meanwhile.
        if found is not None and found[0] is headers and found[1] is check:
            return found[2]
        outcome = check(headers)
        if outcome is not None:
            if len(self._found) >= KNOWN_BLOCKS:
                self._found.clear()
            self._found[id(headers)] = (headers, check, outcome)
        return outcome

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
        elif self._is_too_long(headers):
            state.stream_error(stream, ErrorCode.ENHANCE_YOUR_CALM, events)
        elif state.role is Role.CLIENT and not stream.answered:
            self._response(stream, headers, events, end_stream=end_stream)
        else:
            self._trailers(stream, headers, events, end_stream=end_stream)

    def _is_too_long(self, headers: Headers) -> bool:
        state = self._state
        limit = state.settings.max_header_list
        if state.decoder.is_known and limit >= KNOWN_LIST_OCTETS:
            return False
        return list_octets(headers) > limit

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
        if self._is_too_long(headers):
            self._refuse(stream_id, ErrorCode.ENHANCE_YOUR_CALM)
            return
        outcome = self._outcome(self._check_request, headers)
        if outcome is None or (end_stream and outcome[1] > 0):
            self._refuse(stream_id, ErrorCode.PROTOCOL_ERROR)
            return
        if len(state.streams) >= settings.max_concurrent_streams:
            self._refuse(stream_id, ErrorCode.REFUSED_STREAM)
            return
        stream = state.new_stream(stream_id)
        # What CONNECT carries has no length (RFC 9110 section 9.3.6).
        stream.expected = UNCHECKED if (b":method", b"CONNECT") in headers else outcome[1]
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
        status, length = self._outcome(_response, headers) or (0, UNKNOWN)
        if status != _SWITCHING and 100 <= status < _FIRST_FINAL and not end_stream:
            state.ignore()
            events.append(InformationalReceived(stream, headers))
            return
        if status < _FIRST_FINAL:
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
        if not end_stream or stream.expected > 0 or self._outcome(_trailers, headers) is None:
            self._state.stream_error(stream, ErrorCode.PROTOCOL_ERROR, events)
            return
        events.append(TrailersReceived(stream, headers))
        self._state.end_remote(stream)


def takes_no_content(headers: Headers) -> bool:
    """Say whether the answer's content-length says nothing about DATA: HEAD and CONNECT."""
    return (b":method", b"HEAD") in headers or (b":method", b"CONNECT") in headers


def _plain_request(headers: Headers) -> Outcome | None:
    length = content_length(headers)
    if length is None or request_fault(headers, connect_protocol=False):
        return None
    return 0, length


def _extended_request(headers: Headers) -> Outcome | None:
    length = content_length(headers)
    if length is None or request_fault(headers, connect_protocol=True):
        return None
    return 0, length


def _response(headers: Headers) -> Outcome | None:
    status = response_status(headers)
    length = content_length(headers)
    return None if not status or length is None else (status, length)


def _trailers(headers: Headers) -> Outcome | None:
    return None if trailers_fault(headers) else (0, UNKNOWN)
