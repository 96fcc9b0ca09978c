"""Every frame in every state of a stream, for both roles: the table has no hole (RFC 9113 5.1)."""

from collections.abc import Callable
from enum import Enum
from itertools import product

import pytest

from mesh.wire.http2 import events as happened
from mesh.wire.http2 import frames
from mesh.wire.http2.connection import Connection
from mesh.wire.http2.errors import AfterEndError, Http2Error, ProtocolViolationError
from mesh.wire.http2.events import StreamReset
from mesh.wire.http2.frames import ErrorCode, Role, frame
from mesh.wire.http2.streams import Stream
from tests.mesh.wire.http2.peer import CONNECT, OK, TRAILERS, data, greeted, headers, reset, sent

TAKEN, IGNORED = "taken", "ignored"
CLOSED, PROTOCOL = ErrorCode.STREAM_CLOSED, ErrorCode.PROTOCOL_ERROR
Outcome = str | ErrorCode | type[Http2Error]
"""TAKEN or IGNORED; the code with which only the stream ends; the connection's last error."""


class Phase(Enum):
    IDLE = "idle"
    OPEN = "open"
    ANSWERED = "answered"
    WE_ENDED = "half-closed (local)"
    PEER_ENDED = "half-closed (remote)"
    BOTH_ENDED = "closed"
    WE_RESET = "reset by us"
    PEER_RESET = "reset by the peer"


class Input(Enum):
    DATA = "DATA"
    DATA_END = "DATA, END_STREAM"
    HEADERS = "HEADERS"
    HEADERS_END = "HEADERS, END_STREAM"
    PRIORITY = "PRIORITY"
    RST_STREAM = "RST_STREAM"
    WINDOW_UPDATE = "WINDOW_UPDATE"
    WINDOW_UPDATE_0 = "WINDOW_UPDATE by 0"
    PUSH_PROMISE = "PUSH_PROMISE"
    CONTINUATION = "CONTINUATION"


def octets(role: Role, phase: Phase, given: Input) -> bytes:
    """The frame; HEADERS are what this state waits for."""
    fields = TRAILERS
    if phase is Phase.IDLE:
        fields = CONNECT if role is Role.SERVER else OK
    elif role is Role.CLIENT and phase is Phase.OPEN:
        fields = OK
    return {
        Input.DATA: data(1, b"x"),
        Input.DATA_END: data(1, b"x", end=True),
        Input.HEADERS: headers(1, fields),
        Input.HEADERS_END: headers(1, fields, end=True),
        Input.PRIORITY: frame(frames.PRIORITY, 0, 1, bytes(5)),
        Input.RST_STREAM: reset(1),
        Input.WINDOW_UPDATE: frames.window_update(1, 1),
        Input.WINDOW_UPDATE_0: frames.window_update(1, 0),
        Input.PUSH_PROMISE: frame(frames.PUSH_PROMISE, 4, 1, bytes(4)),
        Input.CONTINUATION: frame(frames.CONTINUATION, 4, 1, b""),
    }[given]


# What each phase does with each input; PRIORITY, PUSH_PROMISE and CONTINUATION are the same in all.
ALWAYS: dict[Input, Outcome] = {
    Input.PRIORITY: IGNORED,
    Input.PUSH_PROMISE: ProtocolViolationError,
    Input.CONTINUATION: ProtocolViolationError,
}
IDLE: dict[Input, Outcome] = {
    Input.DATA: ProtocolViolationError,
    Input.DATA_END: ProtocolViolationError,
    Input.HEADERS: TAKEN,
    Input.HEADERS_END: TAKEN,
    Input.RST_STREAM: ProtocolViolationError,
    Input.WINDOW_UPDATE: ProtocolViolationError,
    Input.WINDOW_UPDATE_0: ProtocolViolationError,
}
OPEN: dict[Input, Outcome] = {
    Input.DATA: TAKEN,
    Input.DATA_END: TAKEN,
    Input.HEADERS: PROTOCOL,  # trailers have to end
    Input.HEADERS_END: TAKEN,
    Input.RST_STREAM: TAKEN,
    Input.WINDOW_UPDATE: TAKEN,
    Input.WINDOW_UPDATE_0: PROTOCOL,
}
LATE: dict[Input, Outcome] = {
    Input.RST_STREAM: IGNORED,
    Input.WINDOW_UPDATE: IGNORED,
    Input.WINDOW_UPDATE_0: IGNORED,
}
AFTER_END = LATE | {
    Input.DATA: AfterEndError,
    Input.DATA_END: AfterEndError,
    Input.HEADERS: AfterEndError,
    Input.HEADERS_END: AfterEndError,
}
TABLE: dict[Phase, dict[Input, Outcome]] = {
    Phase.IDLE: IDLE,
    Phase.OPEN: OPEN,
    Phase.ANSWERED: OPEN,
    Phase.WE_ENDED: OPEN,
    Phase.PEER_ENDED: OPEN
    | {
        Input.DATA: CLOSED,
        Input.DATA_END: CLOSED,
        Input.HEADERS: CLOSED,
        Input.HEADERS_END: CLOSED,
    },
    Phase.BOTH_ENDED: AFTER_END,
    Phase.WE_RESET: LATE
    | {
        Input.DATA: IGNORED,
        Input.DATA_END: IGNORED,
        Input.HEADERS: IGNORED,
        Input.HEADERS_END: IGNORED,
    },
    Phase.PEER_RESET: AFTER_END,
}
CLIENT_DIFFERS: dict[tuple[Phase, Input], Outcome] = {
    # A server opens no streams.
    (Phase.IDLE, Input.HEADERS): ProtocolViolationError,
    (Phase.IDLE, Input.HEADERS_END): ProtocolViolationError,
    # The response comes first.
    (Phase.OPEN, Input.DATA): PROTOCOL,
    (Phase.OPEN, Input.DATA_END): PROTOCOL,
    (Phase.OPEN, Input.HEADERS): TAKEN,
}


def expected(role: Role, phase: Phase, given: Input) -> Outcome:
    row = TABLE[phase] | ALWAYS
    return CLIENT_DIFFERS.get((phase, given), row[given]) if role is Role.CLIENT else row[given]


def in_phase(role: Role, phase: Phase) -> Connection:
    """A connection with stream 1 in this phase."""
    made = greeted(role)
    if phase is Phase.IDLE:
        return made
    stream: Stream
    if role is Role.CLIENT:
        stream = made.open_stream(CONNECT)
    else:
        (event,) = made.receive(headers(1, CONNECT))
        assert isinstance(event, happened.HeadersReceived)
        stream = event.stream

    def answer() -> None:
        if role is Role.CLIENT:
            made.receive(headers(1, OK))
        else:
            made.send_headers(stream, OK)

    steps: dict[Phase, list[Callable[[], object]]] = {
        Phase.OPEN: [],
        Phase.ANSWERED: [answer],
        Phase.WE_ENDED: [answer, lambda: made.send_end(stream)],
        Phase.PEER_ENDED: [answer, lambda: made.receive(data(1, b"", end=True))],
        Phase.BOTH_ENDED: [
            answer,
            lambda: made.receive(data(1, b"", end=True)),
            lambda: made.send_end(stream),
        ],
        Phase.WE_RESET: [lambda: made.reset(stream, ErrorCode.CANCEL)],
        Phase.PEER_RESET: [lambda: made.receive(reset(1))],
    }
    for step in steps[phase]:
        step()
    sent(made)
    return made


def outcome(made: Connection, given: bytes) -> Outcome:
    try:
        seen = made.receive(given)
    except Http2Error as error:
        return type(error)
    own = [event for event in seen if isinstance(event, StreamReset) and not event.by_peer]
    if own:
        return own[0].code
    # A window that was open already opens without a word.
    took = seen or (made._state.streams and given == frames.window_update(1, 1))
    return TAKEN if took else IGNORED


@pytest.mark.parametrize(
    ("role", "phase", "given"),
    list(product(Role, Phase, Input)),
    ids=lambda one: one.value,
)
def test_the_table_says_what_happens(role: Role, phase: Phase, given: Input) -> None:
    made = in_phase(role, phase)
    assert outcome(made, octets(role, phase, given)) == expected(role, phase, given)


def test_a_stream_says_where_it_stands() -> None:
    stream = in_phase(Role.SERVER, Phase.PEER_ENDED)._state.streams[1]
    assert repr(stream) == "<Stream 1 local_closed=False remote_closed=True>"
