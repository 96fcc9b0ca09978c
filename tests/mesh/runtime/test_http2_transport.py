"""Two tunnel ends on loopback, real TLS, real sockets: what goes in comes out, and how it ends."""

import socket
import struct
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from mesh.errors import MeshError
from mesh.runtime.http2_pulse import PATIENCE_SECONDS, PING_AFTER_SECONDS, PeerSilentError
from mesh.runtime.http2_transport import (
    CONTROL_LIMIT,
    PeerStalledError,
    Tunnel,
    TunnelBrokenError,
)
from mesh.runtime.relay.plain import Ending
from mesh.runtime.relay.reactor import Reactor
from mesh.runtime.relay.stream import StreamRelay, WaitingStream
from mesh.wire.http2 import frames
from mesh.wire.http2.errors import ProtocolViolationError
from mesh.wire.http2.frames import PREFACE, ErrorCode
from mesh.wire.http2.settings import KIB, MIB
from tests.mesh.runtime.ends import read_at_random, reset, send_at_random, stream_of, tcp_pair
from tests.mesh.runtime.tunnels import (
    CONNECT,
    OK,
    Ends,
    make_ends,
    running_reactor,
    until_closed,
    with_raw_server,
)

SECONDS = 30.0
REFUSED = ((b":status", b"401"),)


@pytest.fixture
async def reactor() -> AsyncIterator[Reactor]:
    with trio.fail_after(SECONDS):
        async with running_reactor() as made:
            yield made


@pytest.fixture
async def ends(reactor: Reactor) -> AsyncIterator[Ends]:
    made = await make_ends(reactor)
    yield made
    made.client.close()
    await until_closed(made.client, made.server)
    assert made.windows.taken == 0, "what windows had grown by came back"


async def both_ways(
    ends: Ends,
    seed: int,
    forth: int,
    back: int,
    sums: tuple[list[str], list[str]],
    *,
    buffer_octets: int = 0,
) -> None:
    """One connection that sends and reads at random, and ends each way by itself."""
    sent, read = sums
    async with ends.carry(buffer_octets) as carried:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_at_random, carried.near, forth, seed, sent)
            nursery.start_soon(read_at_random, carried.far, seed + 1, read)
            nursery.start_soon(send_at_random, carried.far, back, seed + 2, sent)
            nursery.start_soon(read_at_random, carried.near, seed + 3, read)
        await carried.ended.wait()
        assert carried.endings == {"near": Ending.CLOSED, "far": Ending.CLOSED}
        assert carried.relays[0].octets_to_stream == forth
        assert carried.relays[1].octets_from_stream == forth
        assert carried.relays[1].octets_to_stream == back


async def test_octets_arrive_whole_both_ways_and_each_way_ends_by_itself(ends: Ends) -> None:
    sums: tuple[list[str], list[str]] = ([], [])
    await both_ways(ends, 1, 20_000_000, 5_000_000, sums)
    assert sorted(sums[0]) == sorted(sums[1])
    assert ends.client.streams == 0
    assert ends.server.streams == 0


async def test_octets_arrive_whole_when_every_socket_is_always_full(ends: Ends) -> None:
    sums: tuple[list[str], list[str]] = ([], [])
    await both_ways(ends, 1, 3_000_000, 1_000_000, sums, buffer_octets=16_384)
    assert sorted(sums[0]) == sorted(sums[1])


async def test_many_streams_share_a_tunnel_without_mixing(ends: Ends) -> None:
    sums: tuple[list[str], list[str]] = ([], [])
    async with trio.open_nursery() as nursery:
        for seed in range(0, 80, 4):
            nursery.start_soon(both_ways, ends, seed, 1_000_000, 200_000, sums)
    assert sorted(sums[0]) == sorted(sums[1])
    assert len(sums[0]) == 40


@pytest.mark.slow
async def test_a_tunnel_whose_own_socket_is_always_full_loses_nothing(reactor: Reactor) -> None:
    ends = await make_ends(reactor, buffer_octets=131_072)
    sums: tuple[list[str], list[str]] = ([], [])
    async with trio.open_nursery() as nursery:
        for seed in range(0, 20, 4):
            nursery.start_soon(both_ways, ends, seed, 1_000_000, 500_000, sums)
    assert sorted(sums[0]) == sorted(sums[1])
    ends.client.close()
    await until_closed(ends.client, ends.server)


@pytest.mark.slow
async def test_hundreds_of_megabytes_arrive_whole(ends: Ends) -> None:
    sums: tuple[list[str], list[str]] = ([], [])
    async with trio.open_nursery() as nursery:
        for seed in range(0, 20, 4):
            nursery.start_soon(both_ways, ends, seed, 80_000_000, 40_000_000, sums)
    assert sorted(sums[0]) == sorted(sums[1])


async def test_a_reset_of_the_application_arrives_as_a_reset(ends: Ends) -> None:
    async with ends.carry() as carried:
        await carried.near.send_all(b"hello")
        assert await carried.far.receive_some() == b"hello"
        await reset(carried.near)
        with pytest.raises(trio.BrokenResourceError):
            await carried.far.receive_some()
        await carried.ended.wait()
        assert carried.endings == {"near": Ending.NEAR_RESET, "far": Ending.FAR_RESET}


async def test_an_application_that_is_reset_takes_nothing_more(ends: Ends) -> None:
    async with ends.carry(16_384) as carried:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fill, carried.far, SECONDS)
            while not carried.relays[0].octets_waiting:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        await reset(carried.near)
        await carried.ended.wait()
        assert carried.endings == {"near": Ending.NEAR_RESET, "far": Ending.FAR_RESET}
    # Nothing of it is charged to the tunnel any more: the next one has the whole window.
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert ends.client._http2._state.windows.connection.unread == 0


async def test_octets_in_plenty_are_taken_in_turns(ends: Ends) -> None:
    waiting = WaitingStream()
    stream = ends.client.open(CONNECT, waiting)
    near, near_inner = tcp_pair(4 * MIB)
    far, far_inner = tcp_pair()
    endings: list[Ending] = []
    async with stream_of(near) as near_stream, stream_of(far) as far_stream:
        with trio.move_on_after(0.05):
            while True:
                await near_stream.send_all(bytes(500_000))
        StreamRelay(ends.reactor, near_inner, ends.client, stream, waiting, endings.append)
        peer_stream, early = await ends.accept()
        StreamRelay(ends.reactor, far_inner, ends.server, peer_stream, early, endings.append)
        got = 0
        while got < 2 * MIB:
            got += len(await far_stream.receive_some(MIB))


async def test_a_connection_that_we_stop_is_a_reset_on_both_sides(ends: Ends) -> None:
    async with ends.carry() as carried:
        carried.relays[1].stop()
        for side in (carried.near, carried.far):
            with pytest.raises(trio.BrokenResourceError):
                await side.receive_some()
        await carried.ended.wait()
        assert carried.endings == {"near": Ending.FAR_RESET, "far": Ending.STOPPED}


async def test_a_stream_that_the_peer_cancels_is_an_end_of_file(ends: Ends) -> None:
    async with ends.carry() as carried:
        await carried.far.send_all(b"last")
        assert await carried.near.receive_some() == b"last"
        ends.server.reset(carried.relays[1]._stream, ErrorCode.CANCEL)
        assert await carried.near.receive_some() == b""


async def test_a_server_may_speak_first(ends: Ends) -> None:
    async with ends.carry() as carried:
        await carried.far.send_all(b"220 ready")
        assert await carried.near.receive_some() == b"220 ready"


async def test_octets_that_come_before_the_socket_is_there_are_kept(ends: Ends) -> None:
    waiting = WaitingStream()
    stream = ends.client.open(CONNECT, waiting)
    near, near_inner = tcp_pair()
    far, far_inner = tcp_pair()
    endings: list[Ending] = []
    async with stream_of(near) as near_stream, stream_of(far) as far_stream:
        StreamRelay(ends.reactor, near_inner, ends.client, stream, waiting, endings.append)
        await near_stream.send_all(b"early")
        await near_stream.send_eof()
        peer_stream, early = await ends.accept()
        while not early.ended:
            await trio.lowlevel.checkpoint()
        ends.server.answer(peer_stream, OK)
        StreamRelay(ends.reactor, far_inner, ends.server, peer_stream, early, endings.append)
        assert await far_stream.receive_some() == b"early"
        assert await far_stream.receive_some() == b""
        await far_stream.send_eof()
        assert await near_stream.receive_some() == b""
    assert endings == [Ending.CLOSED] * 2


async def test_a_refusal_is_an_answer_and_no_error(ends: Ends) -> None:
    waiting = WaitingStream()
    ends.client.open(CONNECT, waiting)
    peer_stream, peer_waiting = await ends.accept()
    ends.server.answer(peer_stream, REFUSED, end=True)
    ends.server.abandon(peer_stream, peer_waiting)
    await waiting.answered.wait()
    while waiting.code is None:
        await trio.lowlevel.checkpoint()
    assert waiting.response == REFUSED
    assert waiting.ended
    assert waiting.code == ErrorCode.NO_ERROR


async def test_a_reset_instead_of_an_answer_says_its_code(ends: Ends) -> None:
    waiting = WaitingStream()
    ends.client.open(CONNECT, waiting)
    peer_stream, _ = await ends.accept()
    ends.server.reset(peer_stream, ErrorCode.REFUSED_STREAM)
    await waiting.answered.wait()
    assert (waiting.response, waiting.code) == ((), ErrorCode.REFUSED_STREAM)


async def fill(stream: trio.SocketStream, seconds: float) -> None:
    """Send until nobody takes anything any more."""
    with trio.move_on_after(seconds):
        while True:
            await stream.send_all(bytes(100_000))


@pytest.mark.slow
async def test_a_reader_that_stops_bounds_memory_and_hurts_no_other_stream(ends: Ends) -> None:
    ends.windows.ceiling = 0
    async with ends.carry() as stuck, ends.carry() as lively:
        await fill(stuck.near, 0.5)
        waiting = stuck.relays[1].octets_waiting
        assert 0 < waiting <= 256 * KIB, "one stream window that cannot grow"
        stuck.relays[1].stop()
        await lively.near.send_all(b"still here?")
        assert await lively.far.receive_some() == b"still here?"


@pytest.mark.slow
async def test_a_reader_that_stops_late_holds_its_grown_window_and_no_more(ends: Ends) -> None:
    async with ends.carry() as stuck, ends.carry() as lively:
        await fill(stuck.near, 0.5)
        relay = stuck.relays[1]
        assert 0 < relay.octets_waiting <= relay._stream.inbound.size <= 4 * MIB
        await lively.near.send_all(b"still here?")
        assert await lively.far.receive_some() == b"still here?"


@pytest.mark.slow
async def test_who_is_gone_is_noticed_although_the_peer_takes_nothing(ends: Ends) -> None:
    async with ends.carry() as stuck:
        await fill(stuck.near, 0.3)
        await reset(stuck.near)
        await stuck.ended.wait()
        assert stuck.endings == {"near": Ending.NEAR_RESET, "far": Ending.FAR_RESET}


async def test_a_broken_tunnel_resets_its_streams(ends: Ends) -> None:
    async with ends.carry() as carried:
        ends.server.close()
        with pytest.raises(trio.BrokenResourceError):
            await carried.near.receive_some()
        await carried.ended.wait()
        assert carried.endings == {"near": Ending.TUNNEL_LOST, "far": Ending.TUNNEL_LOST}
        await until_closed(ends.client)
        broken = [type(reason) for reason in ends.reasons]
        assert broken == [type(None), TunnelBrokenError]


async def test_a_drained_tunnel_lets_its_streams_finish_and_then_closes(ends: Ends) -> None:
    async with ends.carry() as carried:
        ends.server.drain()
        await carried.near.send_all(b"after GOAWAY")
        assert await carried.far.receive_some() == b"after GOAWAY"
        assert ends.client.closing
        assert ends.client.room == 0
        assert not ends.client.closed
        await carried.near.send_eof()
        await carried.far.send_eof()
        await carried.ended.wait()
    await until_closed(ends.client, ends.server)
    assert ends.reasons == [None, None]


async def test_a_stream_that_was_on_its_way_when_the_server_drained_is_served(ends: Ends) -> None:
    ends.server.drain()
    async with ends.carry() as carried:
        assert ends.client.closing
        await carried.near.send_all(b"just in time")
        assert await carried.far.receive_some() == b"just in time"


@pytest.mark.parametrize("who", ["client", "server"])
async def test_an_unused_tunnel_that_drains_closes_on_both_sides(ends: Ends, who: str) -> None:
    (ends.client if who == "client" else ends.server).drain()
    await until_closed(ends.client, ends.server)
    assert ends.reasons == [None, None]


async def test_a_silent_peer_is_pinged_and_its_answer_keeps_it(ends: Ends) -> None:
    now = 1000.0
    for _ in range(5):
        ends.client.tick(now)
        now += PING_AFTER_SECONDS
        ends.client._pulse.heard = False
        ends.client.tick(now)
        while not ends.client._pulse.heard:
            await trio.lowlevel.checkpoint()
        now += PATIENCE_SECONDS
    ends.client.tick(now)
    assert not ends.client.closed


async def test_a_peer_that_answers_no_ping_is_given_up(reactor: Reactor) -> None:
    reasons: list[MeshError | None] = []
    waiting = WaitingStream()
    async with with_raw_server(reactor, lambda _, reason: reasons.append(reason)) as (tunnel, peer):
        tunnel.open(CONNECT, waiting)
        tunnel.tick(1000.0)
        tunnel.tick(1000.0 + PING_AFTER_SECONDS)
        seen = b""
        while b"sluice\0\0" not in seen:
            seen += await peer.receive()
        tunnel.tick(1000.0 + PING_AFTER_SECONDS + PATIENCE_SECONDS)
        assert tunnel.closed
    assert [type(reason) for reason in reasons] == [PeerSilentError]
    assert waiting.gone


async def test_a_peer_that_is_gone_is_noticed_while_writing(reactor: Reactor) -> None:
    reasons: list[MeshError | None] = []
    waiting = WaitingStream()
    async with with_raw_server(reactor, lambda _, reason: reasons.append(reason)) as (tunnel, peer):
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.socket.close()
        tunnel.open(CONNECT, waiting)
        await until_closed(tunnel)
        assert waiting.gone
    assert [type(reason) for reason in reasons] == [TunnelBrokenError]


async def test_a_peer_that_breaks_http2_is_told_and_left(reactor: Reactor) -> None:
    reasons: list[MeshError | None] = []
    waiting = WaitingStream()
    async with with_raw_server(reactor, lambda _, reason: reasons.append(reason)) as (tunnel, peer):
        stream = tunnel.open(CONNECT, waiting)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        seen = b""
        while piece := await peer.receive():
            seen += piece
        assert seen.startswith(PREFACE)
        assert frames.goaway(0, ErrorCode.PROTOCOL_ERROR) in seen
        assert waiting.gone
        assert tunnel.closed
        late = WaitingStream()
        tunnel.hand_over(stream, late)
        assert late.gone, "who comes late hears it at once"
    assert [type(reason) for reason in reasons] == [ProtocolViolationError]


@pytest.mark.slow
async def test_a_peer_that_reads_nothing_is_cut_off_before_its_answers_fill_memory(
    reactor: Reactor,
) -> None:
    reasons: list[MeshError | None] = []
    async with with_raw_server(reactor, lambda _, reason: reasons.append(reason)) as (tunnel, peer):
        await peer.send(frames.settings({3: 1_000_000}))
        long = (*CONNECT, (b"x", b"v" * 10_000))
        most = 0
        while not tunnel.closed:
            tunnel.open(long, WaitingStream())
            most = max(most, len(tunnel._http2.outgoing))
            await trio.lowlevel.checkpoint()
        assert most < CONTROL_LIMIT + 20_000
    assert [type(reason) for reason in reasons] == [PeerStalledError]


async def test_nothing_is_said_on_a_tunnel_that_is_closed(ends: Ends) -> None:
    waiting = WaitingStream()
    stream = ends.client.open(CONNECT, waiting)
    tunnel: Tunnel = ends.client
    tunnel.close()
    tunnel.close()
    tunnel.answer(stream, OK)
    tunnel.end(stream)
    tunnel.credit(stream, 1)
    tunnel.wait(waiting)
    tunnel.abandon(stream, waiting)
    tunnel.tick(1.0)
    tunnel.drain()
    assert tunnel.reserve(stream) is None
    assert tunnel.room == 0
    assert ends.reasons == [None]


async def test_an_idle_tunnel_holds_no_buffer(ends: Ends) -> None:
    async with ends.carry() as carried:
        await carried.near.send_all(bytes(1_000_000))
        got = 0
        while got < 1_000_000:
            got += len(await carried.far.receive_some())
        await trio.testing.wait_all_tasks_blocked()
        assert not ends.client._sender.holds_buffer
        assert not ends.server._sender.holds_buffer
        assert 1 <= len(ends.buffers._spare) <= 2
