"""Each rule that a peer can break, and what it costs: its stream, or the connection."""

import pytest

from mesh.wire.http2 import events as happened
from mesh.wire.http2 import frames
from mesh.wire.http2.control import MAX_GOAWAY_OCTETS, MAX_SETTINGS
from mesh.wire.http2.errors import (
    AfterEndError,
    CompressionViolationError,
    FloodError,
    FlowControlViolationError,
    FrameSizeViolationError,
    Http2Error,
    ProtocolViolationError,
)
from mesh.wire.http2.events import Headers
from mesh.wire.http2.frames import MAX_WINDOW_OCTETS, PREFACE, ErrorCode, Role, frame
from mesh.wire.http2.settings import Settings
from tests.mesh.wire.http2.peer import (
    ACK,
    CONNECT,
    GET,
    OK,
    SETTINGS,
    TRAILERS,
    block,
    codes_of,
    connection,
    data,
    greeted,
    headers,
    reset,
    sent,
    words,
)

SMALL = Settings(stream_window=70_000, connection_window=70_000, max_header_list=1000)
OPENED = headers(1, CONNECT)
HUGE: Headers = (*CONNECT, (b"x-huge", b"v" * 120), *((b"x", b"v" * 120) for _ in range(6)))
NO_END = 0

ENDS_THE_CONNECTION: list[tuple[str, bytes, type[Http2Error]]] = [
    ("DATA on stream 0", data(0, b"x"), ProtocolViolationError),
    ("DATA on an idle stream", data(1, b"x"), ProtocolViolationError),
    ("DATA on a stream of the server", data(2, b"x"), ProtocolViolationError),
    ("DATA without padding length", frame(0, frames.PADDED, 1, b""), ProtocolViolationError),
    ("DATA of padding only", OPENED + frame(0, 8, 1, b"\x02\0"), ProtocolViolationError),
    ("DATA beyond the frame size", OPENED + data(1, bytes((1 << 20) + 1)), FrameSizeViolationError),
    ("DATA beyond the window", OPENED + data(1, bytes(70_001)), FlowControlViolationError),
    (
        "DATA after the end and the reset",
        headers(1, CONNECT, end=True) + reset(1) + data(1, b""),
        AfterEndError,
    ),
    ("HEADERS on stream 0", headers(0, GET), ProtocolViolationError),
    ("HEADERS on a stream of the server", headers(2, GET), ProtocolViolationError),
    ("HEADERS after a reset", OPENED + reset(1) + headers(1, GET), AfterEndError),
    ("HEADERS without padding length", frame(1, 0xC, 1, b""), FrameSizeViolationError),
    ("HEADERS of padding only", frame(1, 0xC, 1, b"\x02\0"), ProtocolViolationError),
    ("HEADERS without room for priority", frame(1, 0x24, 1, b"\0\0\0\0"), ProtocolViolationError),
    (
        "HEADERS that are no HPACK",
        frame(1, 4, 1, b"\xff\xff\xff\xff\xff"),
        CompressionViolationError,
    ),
    ("HEADERS far beyond the list", headers(1, HUGE * 3), FloodError),
    (
        "a list far beyond what was announced",
        headers(1, (*CONNECT, *((b"x", b"") for _ in range(70)))),
        CompressionViolationError,
    ),
    (
        "three table size updates",
        frame(1, 4, 1, b"\x20\x20\x20" + block(GET)),
        CompressionViolationError,
    ),
    (
        "DATA within a header block",
        headers(1, GET, flags=NO_END) + data(1, b""),
        ProtocolViolationError,
    ),
    (
        "PING within a header block",
        headers(1, GET, flags=NO_END) + frames.ping(bytes(8)),
        ProtocolViolationError,
    ),
    (
        "CONTINUATION of another stream",
        headers(1, GET, flags=NO_END) + frame(9, 4, 3, b""),
        ProtocolViolationError,
    ),
    ("CONTINUATION alone", frame(9, 4, 1, b""), ProtocolViolationError),
    ("CONTINUATION after a whole block", OPENED + frame(9, 4, 1, b""), ProtocolViolationError),
    (
        "a block that grows too long",
        headers(1, GET, flags=NO_END) + frame(9, 0, 1, bytes(1000)) + frame(9, 4, 1, bytes(1000)),
        FloodError,
    ),
    ("PRIORITY on stream 0", frame(2, 0, 0, bytes(5)), ProtocolViolationError),
    ("PRIORITY of four octets, idle", frame(2, 0, 1, bytes(4)), FrameSizeViolationError),
    ("RST_STREAM on stream 0", reset(0), ProtocolViolationError),
    ("RST_STREAM on an idle stream", reset(1), ProtocolViolationError),
    ("RST_STREAM of five octets", frame(3, 0, 1, bytes(5)), FrameSizeViolationError),
    ("SETTINGS on a stream", frame(4, 0, 1, b""), ProtocolViolationError),
    ("SETTINGS of five octets", frame(4, 0, 0, bytes(5)), FrameSizeViolationError),
    ("an ACK with a payload", frame(4, 1, 0, bytes(6)), FrameSizeViolationError),
    ("an ACK too many", ACK, ProtocolViolationError),
    ("ENABLE_PUSH of 2", frames.settings({2: 2}), ProtocolViolationError),
    ("a window of 2^31", frames.settings({4: 1 << 31}), FlowControlViolationError),
    ("a frame size below 16 KiB", frames.settings({5: 16_383}), ProtocolViolationError),
    ("a frame size of 2^24", frames.settings({5: 1 << 24}), ProtocolViolationError),
    ("ENABLE_CONNECT_PROTOCOL of 2", frames.settings({8: 2}), ProtocolViolationError),
    (
        "ENABLE_CONNECT_PROTOCOL taken back",
        frames.settings({8: 1}) + frames.settings({8: 0}),
        ProtocolViolationError,
    ),
    ("many values in SETTINGS", frame(4, 0, 0, bytes(6 * (MAX_SETTINGS + 1))), FloodError),
    (
        "settings that make a window too large",
        OPENED + frames.window_update(1, 1 << 30) + frames.settings({4: MAX_WINDOW_OCTETS}),
        FlowControlViolationError,
    ),
    ("PUSH_PROMISE", frame(5, 4, 1, bytes(4)), ProtocolViolationError),
    ("PING on a stream", frame(6, 0, 1, bytes(8)), ProtocolViolationError),
    ("PING of seven octets", frame(6, 0, 0, bytes(7)), FrameSizeViolationError),
    ("GOAWAY on a stream", frame(7, 0, 1, bytes(8)), ProtocolViolationError),
    ("GOAWAY of seven octets", frame(7, 0, 0, bytes(7)), FrameSizeViolationError),
    ("a long GOAWAY", frame(7, 0, 0, bytes(MAX_GOAWAY_OCTETS + 1)), FloodError),
    ("WINDOW_UPDATE by 0", frames.window_update(0, 0), ProtocolViolationError),
    ("WINDOW_UPDATE on an idle stream", frames.window_update(1, 1), ProtocolViolationError),
    ("WINDOW_UPDATE of five octets", frame(8, 0, 0, bytes(5)), FrameSizeViolationError),
    (
        "WINDOW_UPDATE beyond 2^31-1",
        frames.window_update(0, MAX_WINDOW_OCTETS),
        FlowControlViolationError,
    ),
    (
        "an unknown frame that is too long",
        frame(99, 0, 0, bytes((1 << 20) + 1)),
        FrameSizeViolationError,
    ),
]


@pytest.mark.parametrize(
    ("octets", "error"),
    [row[1:] for row in ENDS_THE_CONNECTION],
    ids=[r[0] for r in ENDS_THE_CONNECTION],
)
def test_the_connection_ends_with(octets: bytes, error: type[Http2Error]) -> None:
    server = greeted(Role.SERVER, SMALL)
    with pytest.raises(error):
        server.receive(octets)
    assert codes_of(sent(server), frames.GOAWAY) == [error.error_code]


def test_each_error_code_of_a_connection_has_a_row() -> None:
    assert {error.error_code for _, _, error in ENDS_THE_CONNECTION} == {
        ErrorCode.PROTOCOL_ERROR,
        ErrorCode.FLOW_CONTROL_ERROR,
        ErrorCode.STREAM_CLOSED,
        ErrorCode.FRAME_SIZE_ERROR,
        ErrorCode.COMPRESSION_ERROR,
        ErrorCode.ENHANCE_YOUR_CALM,
    }


LENGTH = (b"content-length", b"3")
POST: Headers = (*GET, LENGTH)

ENDS_AN_OPEN_STREAM: list[tuple[str, bytes, bytes, ErrorCode]] = [
    (
        "DATA after its end",
        headers(1, CONNECT, end=True),
        data(1, b"x"),
        ErrorCode.STREAM_CLOSED,
    ),
    (
        "HEADERS after its end",
        headers(1, CONNECT, end=True),
        headers(1, TRAILERS, end=True),
        ErrorCode.STREAM_CLOSED,
    ),
    ("DATA beyond its window", OPENED, data(1, bytes(66_000)), ErrorCode.FLOW_CONTROL_ERROR),
    ("trailers that do not end", OPENED, headers(1, TRAILERS), ErrorCode.PROTOCOL_ERROR),
    ("trailers with a pseudo-header", OPENED, headers(1, OK, end=True), ErrorCode.PROTOCOL_ERROR),
    ("trailers beyond the list", OPENED, headers(1, HUGE, end=True), ErrorCode.ENHANCE_YOUR_CALM),
    ("WINDOW_UPDATE by 0", OPENED, frames.window_update(1, 0), ErrorCode.PROTOCOL_ERROR),
    (
        "WINDOW_UPDATE beyond 2^31-1",
        OPENED,
        frames.window_update(1, MAX_WINDOW_OCTETS),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
    ("PRIORITY of four octets", OPENED, frame(2, 0, 1, bytes(4)), ErrorCode.FRAME_SIZE_ERROR),
    ("more octets than promised", headers(1, POST), data(1, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    (
        "fewer octets than promised",
        headers(1, POST),
        data(1, b"ab", end=True),
        ErrorCode.PROTOCOL_ERROR,
    ),
    (
        "trailers before all that was promised",
        headers(1, POST),
        data(1, b"ab") + headers(1, TRAILERS, end=True),
        ErrorCode.PROTOCOL_ERROR,
    ),
]


@pytest.mark.parametrize(
    ("first", "then", "code"),
    [row[1:] for row in ENDS_AN_OPEN_STREAM],
    ids=[row[0] for row in ENDS_AN_OPEN_STREAM],
)
def test_only_the_stream_ends_with(first: bytes, then: bytes, code: ErrorCode) -> None:
    settings = Settings(stream_window=65_535, connection_window=70_000, max_header_list=1000)
    server = greeted(Role.SERVER, settings)
    server.receive(first)
    seen = server.receive(then + headers(3, CONNECT))
    assert words(seen)[-2:] == [("reset", 1, code, False), ("headers", 3, CONNECT, False)]
    answered = sent(server)
    assert codes_of(answered, frames.RST_STREAM) == [code]
    assert server._state.windows.connection.unread == 0, (
        "nobody owes octets of a stream that is gone"
    )


MALFORMED_REQUESTS: list[tuple[str, Headers]] = [
    ("an upper-case name", (*GET, (b"X-Y", b"z"))),
    ("an empty name", (*GET, (b"", b"z"))),
    ("a name with a space", (*GET, (b"x y", b"z"))),
    ("a value with a line feed", (*GET, (b"x", b"a\nb"))),
    ("a value with NUL", (*GET, (b"x", b"a\0b"))),
    ("a value that begins with a space", (*GET, (b"x", b" a"))),
    ("a value that ends with a tab", (*GET, (b"x", b"a\t"))),
    ("a connection header", (*GET, (b"connection", b"close"))),
    ("transfer-encoding", (*GET, (b"transfer-encoding", b"chunked"))),
    ("te with more than trailers", (*GET, (b"te", b"gzip"))),
    ("a pseudo-header twice", (*GET, (b":path", b"/x"))),
    ("a pseudo-header behind a field", (*GET[:3], (b"x", b"y"), GET[3])),
    ("an unknown pseudo-header", (*GET, (b":status", b"200"))),
    ("no method", GET[1:]),
    ("no path", GET[:3]),
    ("an empty path", (*GET[:3], (b":path", b""))),
    ("CONNECT with a path", (*CONNECT, (b":path", b"/"))),
    ("CONNECT without an authority", CONNECT[:1]),
    ("CONNECT with an empty authority", (CONNECT[0], (b":authority", b""))),
    ("extended CONNECT, not announced", (*GET[1:], (b":method", b"CONNECT"), (b":protocol", b"x"))),
    (":protocol without CONNECT", (*GET, (b":protocol", b"websocket"))),
    ("a length that is no number", (*GET, (b"content-length", b"+3"))),
    ("a length without digits", (*GET, (b"content-length", b""))),
    ("a length of many digits", (*GET, (b"content-length", b"1" * 20))),
    ("two lengths", (*GET, LENGTH, (b"content-length", b"4"))),
]


@pytest.mark.parametrize(
    "fields", [row[1] for row in MALFORMED_REQUESTS], ids=[row[0] for row in MALFORMED_REQUESTS]
)
def test_a_malformed_request_is_reset_and_nobody_hears_of_it(fields: Headers) -> None:
    server = greeted(Role.SERVER)
    assert server.receive(headers(1, fields)) == []
    assert sent(server) == reset(1, ErrorCode.PROTOCOL_ERROR)
    assert server.receive(data(1, b"late")) == []
    assert words(server.receive(headers(3, CONNECT))) == [("headers", 3, CONNECT, False)]


def test_a_request_that_ends_before_its_promised_length_is_malformed() -> None:
    server = greeted(Role.SERVER)
    assert server.receive(headers(1, POST, end=True)) == []
    assert sent(server) == reset(1, ErrorCode.PROTOCOL_ERROR)


def test_a_request_with_more_headers_than_announced_is_reset() -> None:
    server = greeted(Role.SERVER, SMALL)
    assert server.receive(headers(1, HUGE)) == []
    assert sent(server) == reset(1, ErrorCode.ENHANCE_YOUR_CALM)


MALFORMED_RESPONSES: list[tuple[str, bytes]] = [
    ("no status", headers(1, ((b"x", b"y"),))),
    ("two pseudo-headers", headers(1, (*OK, (b":path", b"/")))),
    ("a status of two digits", headers(1, ((b":status", b"20"),))),
    ("a status of letters", headers(1, ((b":status", b"abc"),))),
    ("a status below 100", headers(1, ((b":status", b"099"),))),
    ("101, which HTTP/2 does not have", headers(1, ((b":status", b"101"),))),
    ("an interim answer that ends", headers(1, ((b":status", b"103"),), end=True)),
    ("DATA before the headers", data(1, b"x")),
    ("a bad length", headers(1, (*OK, (b"content-length", b"x")))),
    ("an end before the promised length", headers(1, (*OK, LENGTH), end=True)),
    ("more than the promised length", headers(1, (*OK, LENGTH)) + data(1, bytes(4))),
]


@pytest.mark.parametrize(
    "octets", [row[1] for row in MALFORMED_RESPONSES], ids=[row[0] for row in MALFORMED_RESPONSES]
)
def test_a_malformed_response_resets_its_stream(octets: bytes) -> None:
    client = greeted(Role.CLIENT)
    client.open_stream(GET)
    client.open_stream(GET)
    sent(client)
    seen = client.receive(octets + headers(3, OK))
    assert words(seen)[-2:] == [
        ("reset", 1, ErrorCode.PROTOCOL_ERROR, False),
        ("headers", 3, OK, False),
    ]
    assert sent(client) == reset(1, ErrorCode.PROTOCOL_ERROR)


ENDS_A_CLIENT: list[tuple[str, bytes]] = [
    ("HEADERS on an idle stream", headers(3, OK)),
    ("HEADERS on a stream of the server's", headers(2, OK)),
    ("PUSH_PROMISE", frame(frames.PUSH_PROMISE, 4, 1, bytes(4))),
    ("RST_STREAM on an idle stream", reset(3)),
]


@pytest.mark.parametrize(
    "octets", [row[1] for row in ENDS_A_CLIENT], ids=[r[0] for r in ENDS_A_CLIENT]
)
def test_a_clients_connection_ends_with(octets: bytes) -> None:
    client = greeted(Role.CLIENT)
    client.open_stream(CONNECT)
    sent(client)
    with pytest.raises(ProtocolViolationError):
        client.receive(octets)
    assert codes_of(sent(client), frames.GOAWAY) == [ErrorCode.PROTOCOL_ERROR]


@pytest.mark.parametrize(
    ("role", "octets"),
    [
        (Role.SERVER, b"GET / HTTP/1.1\r\n"),
        (Role.SERVER, b"\x16\x03\x01"),
        (Role.SERVER, PREFACE + headers(1, GET)),
        (Role.SERVER, PREFACE + ACK),
        (Role.SERVER, PREFACE + data(1, b"")),
        (Role.CLIENT, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (Role.CLIENT, frames.ping(bytes(8))),
        (Role.CLIENT, frames.window_update(0, 1)),
    ],
)
def test_who_does_not_begin_with_http2_is_no_peer(role: Role, octets: bytes) -> None:
    made = connection(role)
    made.initiate()
    with pytest.raises(Http2Error):
        made.receive(octets)


@pytest.mark.parametrize(
    "octets",
    [
        frame(frames.PING, 0, 0, b"")[:3] + frames.ping(bytes(8))[3:9],
        ((1 << 20) + 1 << 8).to_bytes(4, "big") + bytes(5),
        (2000 << 8 | frames.SETTINGS).to_bytes(4, "big") + bytes(5),
        (100_000 << 8 | frames.GOAWAY).to_bytes(4, "big") + bytes(5),
        (200_000 << 8 | frames.HEADERS).to_bytes(4, "big") + b"\x04\0\0\0\x01",
    ],
    ids=["PING", "too long", "SETTINGS", "GOAWAY", "HEADERS"],
)
def test_a_frame_is_refused_by_its_header_before_its_payload_arrives(octets: bytes) -> None:
    server = greeted(Role.SERVER)
    with pytest.raises(Http2Error):
        server.receive(octets)


def test_what_came_before_a_violation_is_not_lost() -> None:
    client = greeted(Role.CLIENT)
    client.open_stream(CONNECT)
    with pytest.raises(ProtocolViolationError) as caught:
        client.receive(headers(1, OK) + data(1, b"last words", end=True) + SETTINGS[:-1] + b"\x01")
    assert words(caught.value.earlier) == [
        ("headers", 1, OK, False),
        ("data", 1, b"last words", True),
    ]
    assert not any(isinstance(event, happened.SettingsReceived) for event in caught.value.earlier)
