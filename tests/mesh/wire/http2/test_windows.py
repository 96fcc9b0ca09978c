"""Flow control both ways: what was charged comes back once, and a fast reader's window grows."""

from mesh.wire.http2 import frames
from mesh.wire.http2.connection import Connection
from mesh.wire.http2.flow import SLOWEST_BACKOFF, GrowthProbe, ReceiveWindow, WindowBudget
from mesh.wire.http2.frames import ErrorCode, Role
from mesh.wire.http2.settings import KIB, MIB, Settings
from mesh.wire.http2.streams import Stream
from mesh.wire.http2.windows import GROWTH_PING
from tests.mesh.wire.http2.peer import (
    CONNECT,
    HELLO,
    Pair,
    connection,
    data,
    frames_of,
    greeted,
    headers,
    sent,
)


def updates_in(octets: bytes) -> dict[int, int]:
    """Increment of each WINDOW_UPDATE, by stream."""
    return {
        stream_id: int.from_bytes(payload, "big")
        for kind, _, stream_id, payload in frames_of(octets)
        if kind == frames.WINDOW_UPDATE
    }


def stream_of(made: Connection, number: int = 1) -> Stream:
    return made._state.streams[number]


def test_credit_is_announced_when_half_of_a_window_is_owed() -> None:
    server = greeted(Role.SERVER, Settings(stream_window=100_000, connection_window=200_000))
    server.receive(headers(1, CONNECT) + data(1, bytes(60_000)))
    stream = stream_of(server)
    server.credit(stream, 49_999)
    assert sent(server) == b""
    server.credit(stream, 1)
    assert updates_in(sent(server)) == {1: 50_000}
    server.receive(data(1, bytes(60_000)))
    server.credit(stream, 60_000)
    assert updates_in(sent(server)) == {1: 60_000, 0: 110_000}


def test_nothing_is_announced_on_a_stream_that_the_peer_has_ended() -> None:
    server = greeted(Role.SERVER, Settings(stream_window=100_000, connection_window=100_000))
    server.receive(headers(1, CONNECT) + data(1, bytes(90_000), end=True))
    server.credit(stream_of(server), 90_000)
    assert updates_in(sent(server)) == {0: 90_000}


def test_padding_is_credited_by_itself() -> None:
    server = greeted(Role.SERVER)
    server.receive(headers(1, CONNECT) + data(1, b"abc", padding=200))
    stream = stream_of(server)
    assert stream.inbound.unread == 3
    assert server._state.windows.connection.unread == 3
    server.credit(stream, 3)
    assert stream.inbound.unread == 0


def test_what_nobody_read_of_a_reset_stream_is_free_for_the_others() -> None:
    server = greeted(Role.SERVER)
    server.receive(headers(1, CONNECT) + headers(3, CONNECT))
    server.receive(data(1, bytes(1000)) + data(3, bytes(50)))
    server.credit(stream_of(server), 400)
    server.reset(stream_of(server), ErrorCode.CANCEL)
    assert server._state.windows.connection.unread == 50


def test_what_was_read_late_of_a_closed_stream_is_credited_to_the_connection() -> None:
    pair = Pair()
    mine, theirs = pair.open()
    pair.send(pair.client, mine, 1000)
    pair.client.send_end(mine)
    pair.server.send_end(theirs)
    pair.exchange()
    assert pair.server._state.windows.connection.unread == 1000
    pair.server.credit(theirs, 1000)
    assert pair.server._state.windows.connection.unread == 0


def test_windows_smaller_than_the_default_hold_from_the_acknowledgement_on() -> None:
    server = connection(Role.SERVER, Settings(stream_window=1000, connection_window=1000))
    server.initiate()
    greeting = HELLO[Role.SERVER]
    server.receive(greeting[:-9] + headers(1, CONNECT) + data(1, bytes(30_000)))
    stream = stream_of(server)
    server.receive(greeting[-9:] + headers(3, CONNECT))
    assert stream.inbound.available == 1000 - 30_000
    assert stream_of(server, 3).inbound.available == 1000
    server.credit(stream, 30_000)
    assert stream.inbound.available == 1000
    assert server._state.windows.connection.size == 65_535, "it cannot shrink"


def grow(pair: Pair, sender: Stream, reader: Stream, octets: int) -> None:
    """A reader that takes everything at once, on a link where a PING takes a whole window."""
    moved = 0
    while moved < octets:
        took = pair.send(pair.client, sender, octets)
        moved += took
        pair.server.credit(reader, took)
        pair.exchange()


def test_a_reader_that_keeps_up_gets_larger_windows_up_to_the_maximum() -> None:
    pair = Pair()
    mine, theirs = pair.open()
    grow(pair, mine, theirs, 64 * MIB)
    assert theirs.inbound.size == 4 * MIB
    # One stream's window limits it then: the connection's does not have to grow further.
    assert pair.server._state.windows.connection.size == 8 * MIB
    assert pair.budget.taken == (4 + 8) * MIB - 256 * KIB - 1 * MIB
    assert pair.client.sendable(mine) == min(1 * MIB, mine.send_window)


def test_growth_ends_where_the_budget_of_all_connections_ends() -> None:
    pair = Pair(budget=WindowBudget(300 * KIB))
    mine, theirs = pair.open()
    grow(pair, mine, theirs, 8 * MIB)
    assert pair.budget.taken == 256 * KIB
    assert theirs.inbound.size + pair.server._state.windows.connection.size == MIB + 512 * KIB


def test_what_a_window_has_grown_by_comes_back_when_its_stream_or_connection_ends() -> None:
    pair = Pair()
    mine, theirs = pair.open()
    grow(pair, mine, theirs, 64 * MIB)
    pair.client.send_end(mine)
    pair.exchange()
    assert pair.budget.taken == 7 * MIB
    again, answer = pair.open()
    grow(pair, again, answer, 2 * MIB)
    pair.server.close()
    pair.server.close()
    assert pair.budget.taken == 0


def test_an_ended_stream_grows_no_more_when_the_probe_is_answered() -> None:
    pair = Pair()
    mine, theirs = pair.open()
    took = pair.send(pair.client, mine, MIB)
    pair.server.credit(theirs, took)
    pair.client.reset(mine, ErrorCode.CANCEL)
    pair.exchange()
    assert pair.budget.taken <= 256 * KIB, "the connection's only"
    pair.server.close()
    assert pair.budget.taken == 0


def test_a_reader_that_leaves_octets_lying_gets_no_larger_window() -> None:
    pair = Pair()
    mine, theirs = pair.open()
    for _ in range(20):
        took = pair.send(pair.client, mine, MIB)
        pair.server.credit(theirs, min(theirs.inbound.unread, took // 2 + 1))
        pair.exchange()
    assert theirs.inbound.size <= 512 * KIB


def test_a_peer_that_does_not_fill_its_window_gets_no_larger_one() -> None:
    server = greeted(Role.SERVER)
    server.receive(headers(1, CONNECT))
    stream = stream_of(server)
    for _ in range(10):
        server.receive(data(1, bytes(65_536)) + data(1, bytes(65_536)))
        server.credit(stream, 131_072)
        if frames.ping(GROWTH_PING) in sent(server):
            server.receive(frames.ping(GROWTH_PING, answer=True))
    assert stream.inbound.size == 256 * KIB


def test_probes_without_success_become_rare() -> None:
    probe, budget = GrowthProbe(), WindowBudget(0)
    window = ReceiveWindow(1000, 4000)
    sent_at = []
    for n in range(100):
        window.announced += 10
        if probe.begin([(1, window, 10)]):
            sent_at.append(n)
            assert not probe.begin([(1, window, 10)]), "one at a time"
            assert probe.end(budget) == []
    gaps = [after - before - 1 for before, after in zip(sent_at, sent_at[1:], strict=False)]
    assert gaps[:4] == [2, 4, 8, 16]
    assert set(gaps[4:]) == {SLOWEST_BACKOFF}


def test_a_window_at_its_ceiling_is_not_probed() -> None:
    window = ReceiveWindow(1000, 1000)
    assert not GrowthProbe().begin([(1, window, 500)])
    assert window.grow(WindowBudget(10_000)) == 0


def test_the_sender_stays_within_the_smaller_window() -> None:
    client = greeted(Role.CLIENT)
    streams = [client.open_stream(CONNECT) for _ in range(5)]
    for stream in streams[:4]:
        client.write_data_header(bytearray(9), 0, stream, 16_000, end_stream=False)
    assert client.sendable(streams[4]) == 65_535 - 64_000
    client.write_data_header(bytearray(9), 0, streams[4], 1535, end_stream=False)
    assert [client.sendable(stream) for stream in streams] == [0] * 5
    seen = client.receive(frames.window_update(streams[0].stream_id, 1000))
    assert seen == [], "the stream's own window was open"
    (event,) = client.receive(frames.window_update(0, 500))
    assert repr(event) == "WindowOpened(stream=None)"
    assert client.sendable(streams[4]) == 500


def filled(count: int, settings: Settings, budget: WindowBudget) -> Pair:
    """Streams that nobody reads, each as full as its window lets it be; then a round ends."""
    pair = Pair(server=settings, budget=budget)
    for _ in range(count):
        mine, _ = pair.open()
        pair.send(pair.client, mine, MIB)
        pair.server.settle()
        pair.exchange()
    return pair


def test_readers_that_stop_leave_the_others_a_window() -> None:
    settings = Settings(max_concurrent_streams=100)
    pair = filled(60, settings, WindowBudget(64 * MIB))
    window = pair.server._state.windows.connection
    assert window.unread == 60 * 256 * KIB
    assert window.size == 16 * MIB
    lively, _ = pair.open()
    assert pair.send(pair.client, lively, MIB) == 256 * KIB


def test_readers_that_stop_hold_no_more_than_the_budget_lets_them() -> None:
    pair = filled(60, Settings(), WindowBudget(MIB))
    assert pair.server._state.windows.connection.unread == 2 * MIB
    assert pair.budget.taken == MIB


def test_readers_that_keep_up_need_no_relief() -> None:
    pair = Pair()
    mine, theirs = pair.open()
    took = pair.send(pair.client, mine, 256 * KIB)
    pair.server.credit(theirs, took)
    pair.server.settle()
    assert pair.server._state.windows.connection.size == MIB
