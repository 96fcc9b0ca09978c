"""Whole conversations, and what each verb says on the wire."""

import pytest

from mesh.wire.http2 import events as happened
from mesh.wire.http2 import frames
from mesh.wire.http2.control import DRAIN_PING
from mesh.wire.http2.errors import (
    GoingAwayError,
    ProtocolViolationError,
    StreamClosedError,
    StreamsExhaustedError,
)
from mesh.wire.http2.frames import MAX_STREAM_ID, PREFACE, ErrorCode, Role, frame
from mesh.wire.http2.settings import KIB, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, Settings
from tests.mesh.wire.http2.peer import (
    ACK,
    CONNECT,
    GET,
    OK,
    SETTINGS,
    TRAILERS,
    Pair,
    codes_of,
    connection,
    data,
    frames_of,
    greeted,
    headers,
    reset,
    sent,
    words,
)


def test_a_client_says_the_preface_and_its_settings_and_window() -> None:
    client = connection(Role.CLIENT)
    client.initiate()
    octets = sent(client)
    assert octets.startswith(PREFACE)
    first, second = frames_of(octets[len(PREFACE) :])
    assert first == (
        frames.SETTINGS,
        0,
        0,
        bytes.fromhex("0004 00040000 0005 00100000 0006 00010000 0002 00000000"),
    )
    assert second == (frames.WINDOW_UPDATE, 0, 0, ((1 << 20) - 65_535).to_bytes(4, "big"))


def test_a_server_says_how_many_streams_it_takes() -> None:
    server = connection(Role.SERVER, Settings(enable_connect_protocol=True))
    server.initiate()
    _, _, _, payload = frames_of(sent(server))[0]
    assert bytes.fromhex("0003 000000c8 0008 00000001") in payload


def test_a_connect_is_carried_both_ways_and_closes_in_order() -> None:
    pair = Pair()
    mine, theirs = pair.open()
    assert (mine.answered, theirs.answered) == (True, True)
    assert pair.send(pair.client, mine, 5) == 5
    assert pair.send(pair.server, theirs, 7) == 7
    pair.client.send_end(mine)
    _, seen = pair.exchange()
    assert words(seen) == [("data", 1, b"", True)]
    assert not theirs.is_closed
    assert pair.send(pair.server, theirs, 3) == 3, "half-closed: the other direction goes on"
    pair.server.send_end(theirs)
    pair.exchange()
    assert mine.is_closed
    assert theirs.is_closed
    assert (pair.client.streams, pair.server.streams) == (0, 0)
    pair.client.send_end(mine)
    pair.client.reset(mine, ErrorCode.CANCEL)
    assert sent(pair.client) == b"", "nothing more is said about a closed stream"


def test_a_request_with_a_body_an_interim_answer_and_trailers_arrives_as_it_was_sent() -> None:
    pair = Pair()
    request = (*GET, (b"content-length", b"3"))
    stream = pair.client.open_stream(request)
    _, seen = pair.exchange()
    assert words(seen) == [("headers", 1, request, False)]
    event = seen[0]
    assert isinstance(event, happened.HeadersReceived)
    buffer = bytearray(9 + 3)
    pair.client.write_data_header(buffer, 0, stream, 3, end_stream=True)
    assert words(pair.server.receive(buffer)) == [("data", 1, bytes(3), True)]
    pair.server.send_headers(event.stream, ((b":status", b"103"),))
    pair.server.send_headers(event.stream, OK)
    assert pair.server.sendable(event.stream) == 256 * 1024
    answer = bytearray(b"\0" * 9 + b"hello")
    at_client, _ = pair.exchange()
    pair.server.write_data_header(answer, 0, event.stream, 5, end_stream=False)
    at_client += pair.client.receive(answer)
    at_client = words(at_client)
    pair.server.send_headers(event.stream, TRAILERS, end_stream=True)
    at_client += words(pair.exchange()[0])
    assert at_client == [
        ("informational", 1, ((b":status", b"103"),)),
        ("headers", 1, OK, False),
        ("data", 1, b"hello", False),
        ("trailers", 1, TRAILERS),
    ]
    assert stream.is_closed


def test_a_request_without_a_body_ends_with_its_headers() -> None:
    pair = Pair()
    stream = pair.client.open_stream(GET, end_stream=True)
    _, seen = pair.exchange()
    assert words(seen) == [("headers", 1, GET, True)]
    assert stream.local_closed
    with pytest.raises(StreamClosedError):
        pair.client.send_headers(stream, TRAILERS)


def test_a_head_or_a_304_may_promise_octets_that_never_come() -> None:
    client = greeted(Role.CLIENT)
    client.open_stream(tuple((n, b"HEAD" if n == b":method" else v) for n, v in GET))
    client.open_stream(GET)
    promise = (b"content-length", b"9")
    seen = client.receive(
        headers(1, (*OK, promise), end=True) + headers(3, ((b":status", b"304"), promise), end=True)
    )
    assert [type(event) for event in seen] == [happened.HeadersReceived] * 2


def test_headers_longer_than_a_frame_go_in_continuations() -> None:
    pair = Pair()
    pair.client.peer.max_frame = 16_384
    long = (*CONNECT, *((b"x-%d" % n, b"v" * 1000) for n in range(40)))
    pair.client.open_stream(long)
    octets = sent(pair.client)
    assert [kind for kind, *_ in frames_of(octets)] == [frames.HEADERS] + 2 * [frames.CONTINUATION]
    assert words(pair.server.receive(octets)) == [("headers", 1, long, False)]


def test_padding_and_priority_are_taken_off() -> None:
    server = greeted(Role.SERVER)
    plain = headers(1, GET)[9:]
    padded = b"\x03" + b"\0\0\0\0\x10" + plain + b"\0\0\0"
    flags = frames.END_HEADERS | frames.PADDED | frames.HAS_PRIORITY
    seen = server.receive(
        frame(frames.HEADERS, flags, 1, padded)
        + data(1, b"abc", padding=5)
        + data(1, b"", padding=0)
        + data(1, b"", padding=255)
        + data(1, b"d", end=True, padding=2)
    )
    assert words(seen) == [("headers", 1, GET, False), ("data", 1, b"abcd", True)]


def test_a_piece_of_data_is_a_slice_of_what_came() -> None:
    server = greeted(Role.SERVER)
    server.receive(headers(1, CONNECT))
    octets = bytearray(data(1, b"abc"))
    (event,) = server.receive(octets)
    octets[9:12] = b"xyz"
    assert isinstance(event, happened.DataReceived)
    assert bytes(event.data) == b"xyz"


def test_a_frame_of_a_megabyte_is_given_out_as_it_comes() -> None:
    server = greeted(Role.SERVER, Settings(stream_window=1 << 20, connection_window=1 << 20))
    server.receive(headers(1, CONNECT))
    octets = data(1, bytes(1 << 20), end=True)
    pieces = [server.receive(octets[at : at + 65_536]) for at in range(0, len(octets), 65_536)]
    lengths = [len(event.data) for (event,) in pieces if isinstance(event, happened.DataReceived)]
    assert lengths == [65_527, *[65_536] * 15, 9]


def test_a_ping_is_answered_and_an_answer_comes_back() -> None:
    pair = Pair()
    pair.client.ping(b"12345678")
    at_client, at_server = pair.exchange()
    assert at_server == [happened.PingReceived(b"12345678")]
    assert at_client == [happened.PingAcknowledged(b"12345678")]


def test_an_answer_to_no_ping_of_ours_says_nothing() -> None:
    assert greeted(Role.CLIENT).receive(frames.ping(b"12345678", answer=True)) == []


def test_settings_are_acknowledged_and_applied_to_open_streams() -> None:
    client = greeted(Role.CLIENT)
    stream = client.open_stream(CONNECT)
    assert client.sendable(stream) == 16_384
    client.write_data_header(bytearray(9), 0, stream, 1000, end_stream=False)
    sent(client)
    seen = client.receive(frames.settings({4: 500, MAX_FRAME_SIZE: 1 << 20}))
    assert seen == [happened.SettingsReceived()]
    assert sent(client) == ACK
    assert stream.send_window == -500
    assert client.sendable(stream) == 0
    seen = client.receive(frames.settings({4: 40_000}))
    assert seen == [happened.SettingsReceived(), happened.WindowOpened(None)]
    assert client.sendable(stream) == 39_000


def test_the_peers_limit_of_streams_is_kept() -> None:
    client = greeted(Role.CLIENT)
    client.receive(frames.settings({MAX_CONCURRENT_STREAMS: 1}))
    assert client.room == 1
    stream = client.open_stream(CONNECT)
    assert client.room == 0
    with pytest.raises(StreamsExhaustedError):
        client.open_stream(CONNECT)
    client.reset(stream, ErrorCode.CANCEL)
    assert client.open_stream(CONNECT).stream_id == 3


def test_our_limit_of_streams_is_kept_by_refusing() -> None:
    server = greeted(Role.SERVER, Settings(max_concurrent_streams=2))
    seen = server.receive(b"".join(headers(n, CONNECT) for n in (1, 3, 5)))
    assert [word[:2] for word in words(seen)] == [("headers", 1), ("headers", 3)]
    assert sent(server) == reset(5, ErrorCode.REFUSED_STREAM)
    server.receive(reset(1) + headers(7, CONNECT))
    assert server.streams == 2


def test_data_for_a_stream_that_we_have_reset_is_dropped_and_credited() -> None:
    pair = Pair(server=Settings(connection_window=256 * KIB))
    mine, theirs = pair.open()
    pair.send(pair.client, mine, 50_000)
    before = pair.server.receive(data(1, b"x"))
    assert len(before) == 1
    pair.server.reset(theirs, ErrorCode.CANCEL)
    assert pair.server.receive(data(1, bytes(100_000)) + headers(1, TRAILERS, end=True)) == []
    updates = [payload for kind, _, _, payload in frames_of(sent(pair.server)) if kind == 8]
    assert [int.from_bytes(update, "big") for update in updates] == [150_001]
    pair.server.credit(theirs, 50_001)
    assert sent(pair.server) == b"", "a reset stream owes nothing"


def test_the_rest_of_a_frame_is_dropped_when_its_stream_was_reset_in_the_middle() -> None:
    server = greeted(Role.SERVER)
    (event,) = server.receive(headers(1, CONNECT))
    assert isinstance(event, happened.HeadersReceived)
    octets = data(1, bytes(1000), end=True)
    assert len(server.receive(octets[:500])) == 1
    server.reset(event.stream, ErrorCode.CANCEL)
    assert server.receive(octets[500:] + headers(3, CONNECT))[0] != event
    assert server.streams == 1


def test_the_peers_reset_closes_both_ways() -> None:
    server = greeted(Role.SERVER)
    seen = server.receive(headers(1, CONNECT) + reset(1, ErrorCode.CONNECT_ERROR))
    assert words(seen)[1] == ("reset", 1, ErrorCode.CONNECT_ERROR, True)
    event = seen[0]
    assert isinstance(event, happened.HeadersReceived)
    assert event.stream.is_closed
    with pytest.raises(StreamClosedError):
        server.send_headers(event.stream, OK)
    assert server.sendable(event.stream) == 0


def test_an_unknown_reset_code_counts_as_internal() -> None:
    server = greeted(Role.SERVER)
    server.receive(headers(1, CONNECT))
    (event,) = server.receive(frame(frames.RST_STREAM, 0, 1, b"\0\0\1\0"))
    assert words([event]) == [("reset", 1, ErrorCode.INTERNAL_ERROR, True)]


def test_goaway_gives_back_the_streams_that_the_peer_did_not_process() -> None:
    client = greeted(Role.CLIENT)
    streams = [client.open_stream(CONNECT) for _ in range(3)]
    seen = client.receive(frame(frames.GOAWAY, 0, 0, b"\0\0\0\3\0\0\0\0bye"))
    assert words(seen) == [
        (happened.GoAwayReceived(3, ErrorCode.NO_ERROR, b"bye"),),
        ("reset", 5, ErrorCode.REFUSED_STREAM, True),
    ]
    assert [stream.is_closed for stream in streams] == [False, False, True]
    assert client.room == 0
    with pytest.raises(GoingAwayError):
        client.open_stream(CONNECT)
    assert words(client.receive(headers(1, OK))) == [("headers", 1, OK, False)]


def test_a_drain_loses_no_stream_that_was_on_its_way() -> None:
    pair = Pair()
    pair.server.drain()
    pair.server.drain()
    late = pair.client.open_stream(CONNECT)
    octets = sent(pair.server)
    assert octets == frames.goaway(MAX_STREAM_ID, ErrorCode.NO_ERROR) + frames.ping(DRAIN_PING)
    assert words(pair.server.receive(sent(pair.client))) == [("headers", 1, CONNECT, False)]
    assert not pair.server.drained
    assert words(pair.client.receive(octets)) == [
        (happened.GoAwayReceived(MAX_STREAM_ID, ErrorCode.NO_ERROR, b""),),
        (happened.PingReceived(DRAIN_PING),),
    ]
    at_client, at_server = pair.exchange()
    assert at_client == [happened.GoAwayReceived(1, ErrorCode.NO_ERROR, b"")]
    assert at_server == []
    assert pair.server.drained
    assert not late.is_closed


def test_a_stream_above_the_last_one_is_ignored_after_goaway() -> None:
    server = greeted(Role.SERVER)
    server.receive(headers(1, CONNECT))
    server.go_away(ErrorCode.NO_ERROR)
    assert sent(server) == frames.goaway(1, ErrorCode.NO_ERROR)
    late = headers(3, CONNECT) + data(3, b"x") + frames.window_update(3, 9) + reset(3)
    assert server.receive(late) == []
    assert sent(server) == b""
    assert words(server.receive(data(1, b"y"))) == [("data", 1, b"y", False)]


def test_a_client_drains_in_one_step() -> None:
    client = greeted(Role.CLIENT)
    stream = client.open_stream(CONNECT)
    sent(client)
    client.drain()
    assert sent(client) == frames.goaway(0, ErrorCode.NO_ERROR)
    with pytest.raises(GoingAwayError):
        client.open_stream(CONNECT)
    assert words(client.receive(headers(1, OK))) == [("headers", 1, OK, False)]
    assert not stream.is_closed


def test_a_clients_goaway_ends_no_stream_of_its_own() -> None:
    server = greeted(Role.SERVER)
    server.receive(headers(1, CONNECT))
    seen = server.receive(frames.goaway(0, ErrorCode.NO_ERROR) + data(1, b"x"))
    assert words(seen)[1] == ("data", 1, b"x", False)


def test_stream_ids_run_out() -> None:
    client = greeted(Role.CLIENT)
    client._state.newest = MAX_STREAM_ID - 2
    last = client.open_stream(CONNECT)
    assert last.stream_id == MAX_STREAM_ID
    assert client.room == 0
    with pytest.raises(GoingAwayError):
        client.open_stream(CONNECT)


def test_a_violation_is_final() -> None:
    server = greeted(Role.SERVER)
    with pytest.raises(ProtocolViolationError) as first:
        server.receive(headers(1, CONNECT) + data(3, b"idle") + data(1, b"never seen"))
    assert words(first.value.earlier) == [("headers", 1, CONNECT, False)]
    assert codes_of(sent(server), frames.GOAWAY) == [ErrorCode.PROTOCOL_ERROR]
    with pytest.raises(ProtocolViolationError) as second:
        server.receive(frames.ping(b"12345678"))
    assert second.value is first.value
    assert sent(server) == b""
    client = greeted(Role.CLIENT)
    with pytest.raises(ProtocolViolationError):
        client.receive(data(0, b""))
    with pytest.raises(GoingAwayError):
        client.open_stream(CONNECT)
    assert client.room == 0


def test_the_server_takes_extended_connect_when_it_says_so() -> None:
    fields = (
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        (b":scheme", b"https"),
        (b":authority", b"shop"),
        (b":path", b"/ws"),
    )
    server = greeted(Role.SERVER, Settings(enable_connect_protocol=True))
    assert words(server.receive(headers(1, fields))) == [("headers", 1, fields, False)]
    client = greeted(Role.CLIENT)
    client.receive(frames.settings({8: 1}))
    assert client.peer.connect_protocol


def test_frames_of_unknown_types_are_skipped() -> None:
    server = greeted(Role.SERVER)
    octets = frame(0x42, 0xFF, 7, bytes(100_000)) + frame(0x10, 0, 0, b"") + headers(1, CONNECT)
    assert words(server.receive(octets)) == [("headers", 1, CONNECT, False)]
    assert len(server._receiver._stash) == 0


def test_the_first_octets_decide_whether_it_is_http2() -> None:
    server = connection(Role.SERVER)
    assert server.receive(PREFACE[:10]) == []
    assert server.receive(PREFACE[10:] + SETTINGS) == [happened.SettingsReceived()]
    other = connection(Role.SERVER)
    with pytest.raises(ProtocolViolationError):
        other.receive(b"GET ")
