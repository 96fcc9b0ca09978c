"""Two tunnel ends on loopback, real TLS, real sockets: what goes in comes out, and how it ends."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from mesh.errors import MeshError
from mesh.runtime import tls
from mesh.runtime.http2_transport import (
    CLIENT_SETTINGS,
    SERVER_SETTINGS,
    Buffers,
    Tunnel,
)
from mesh.runtime.relay.plain import Ending
from mesh.runtime.relay.reactor import Reactor
from mesh.runtime.relay.stream import StreamRelay, WaitingStream
from mesh.wire.http2.connection import Connection
from mesh.wire.http2.events import Headers
from mesh.wire.http2.flow import WindowBudget
from mesh.wire.http2.frames import Role
from mesh.wire.http2.streams import Stream
from tests.mesh.runtime.ends import read_at_random, reset, send_at_random, stream_of, tcp_pair
from tests.pki import Authority

SECONDS = 30.0
CONNECT: Headers = ((b":method", b"CONNECT"), (b":authority", b"10.0.0.1:80"))
AUTHORITY = Authority()
IDENTITY = AUTHORITY.identity()
ISSUED = AUTHORITY.issue(IDENTITY)


@dataclass
class Carried:
    """One application connection: `near` -> tunnel -> `far`."""

    near: trio.SocketStream
    far: trio.SocketStream
    relays: list[StreamRelay]
    endings: dict[str, Ending] = field(default_factory=dict)
    ended: trio.Event = field(default_factory=trio.Event)

    def note(self, side: str) -> Callable[[Ending], None]:
        def on_end(ending: Ending) -> None:
            self.endings[side] = ending
            if len(self.endings) == 2:
                self.ended.set()

        return on_end


@dataclass
class Ends:
    reactor: Reactor
    client: Tunnel
    server: Tunnel
    accepted: list[tuple[Stream, WaitingStream]]
    reasons: list[MeshError | None]

    @asynccontextmanager
    async def carry(self) -> AsyncIterator[Carried]:
        waiting = WaitingStream()
        stream = self.client.open(CONNECT, waiting)
        near, near_inner = tcp_pair()
        far, far_inner = tcp_pair()
        async with stream_of(near) as near_stream, stream_of(far) as far_stream:
            carried = Carried(near_stream, far_stream, [])
            while not self.accepted:
                await trio.lowlevel.checkpoint()
            peer_stream, peer_waiting = self.accepted.pop()
            self.server.answer(peer_stream, ((b":status", b"200"),))
            await waiting.answered.wait()
            assert waiting.response[0] == (b":status", b"200")
            carried.relays = [
                StreamRelay(
                    self.reactor, near_inner, self.client, stream, waiting, carried.note("near")
                ),
                StreamRelay(
                    self.reactor,
                    far_inner,
                    self.server,
                    peer_stream,
                    peer_waiting,
                    carried.note("far"),
                ),
            ]
            yield carried


async def shake(context: tls.SSL.Connection, end: socket.socket) -> None:
    await tls.handshake(context, end, trust_domain="cluster.local")


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    bugs: list[BaseException] = []
    reactor = Reactor(bugs.append)
    buffers = Buffers()
    windows = WindowBudget(64 * 1024 * 1024)
    near, far = tcp_pair()
    client = tls.client_connection(tls.client_context(ISSUED.key, ISSUED.chain, ISSUED.roots), near)
    server = tls.server_connection(tls.server_context(ISSUED.key, ISSUED.chain, ISSUED.roots), far)
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shake, client, near)
            nursery.start_soon(shake, server, far)
    accepted: list[tuple[Stream, WaitingStream]] = []
    reasons: list[MeshError | None] = []

    def on_stream(tunnel: Tunnel, stream: Stream, headers: Headers, end: bool) -> None:
        assert headers == CONNECT
        assert not end
        waiting = WaitingStream()
        tunnel.hand_over(stream, waiting)
        accepted.append((stream, waiting))

    def on_close(_tunnel: Tunnel, reason: MeshError | None) -> None:
        reasons.append(reason)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reactor.run)
        client_end = Tunnel(
            reactor,
            buffers,
            client,
            near,
            Connection(Role.CLIENT, CLIENT_SETTINGS, windows),
            peer=IDENTITY,
            on_close=on_close,
        )
        server_end = Tunnel(
            reactor,
            buffers,
            server,
            far,
            Connection(Role.SERVER, SERVER_SETTINGS, windows),
            peer=IDENTITY,
            on_stream=on_stream,
            on_close=on_close,
        )
        with trio.fail_after(SECONDS):
            yield Ends(reactor, client_end, server_end, accepted, reasons)
            client_end.close()
            while not server_end.closed:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert bugs == []


async def together(*work: Callable[[], Awaitable[None]]) -> None:
    async with trio.open_nursery() as nursery:
        for one in work:
            nursery.start_soon(one)


async def test_octets_arrive_whole_both_ways_and_each_way_ends_by_itself(ends: Ends) -> None:
    sent: list[str] = []
    read: list[str] = []
    async with ends.carry() as carried:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_at_random, carried.near, 20_000_000, 1, sent)
            nursery.start_soon(read_at_random, carried.far, 2, read)
            nursery.start_soon(send_at_random, carried.far, 5_000_000, 3, sent)
            nursery.start_soon(read_at_random, carried.near, 4, read)
        await carried.ended.wait()
        assert sorted(sent) == sorted(read)
        assert carried.endings == {"near": Ending.CLOSED, "far": Ending.CLOSED}
        assert carried.relays[0].octets_to_stream == 20_000_000
        assert carried.relays[1].octets_to_stream == 5_000_000
    assert ends.client.streams == 0
    assert ends.server.streams == 0


async def test_many_streams_share_a_tunnel_without_mixing(ends: Ends) -> None:
    sent: list[str] = []
    read: list[str] = []

    async def one(seed: int) -> None:
        async with ends.carry() as carried:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_at_random, carried.near, 1_000_000, seed, sent)
                nursery.start_soon(read_at_random, carried.far, seed + 1, read)
                nursery.start_soon(send_at_random, carried.far, 200_000, seed + 2, sent)
                nursery.start_soon(read_at_random, carried.near, seed + 3, read)
            await carried.ended.wait()

    async with trio.open_nursery() as nursery:
        for seed in range(0, 80, 4):
            nursery.start_soon(one, seed)
    assert sorted(sent) == sorted(read)
    assert len(sent) == 40


async def test_a_reset_of_the_application_arrives_as_a_reset(ends: Ends) -> None:
    async with ends.carry() as carried:
        await carried.near.send_all(b"hello")
        assert await carried.far.receive_some() == b"hello"
        await reset(carried.near)
        with pytest.raises(trio.BrokenResourceError):
            await carried.far.receive_some()
        await carried.ended.wait()
        assert carried.endings == {"near": Ending.NEAR_RESET, "far": Ending.FAR_RESET}


async def test_a_server_may_speak_first(ends: Ends) -> None:
    async with ends.carry() as carried:
        await carried.far.send_all(b"220 ready")
        assert await carried.near.receive_some() == b"220 ready"


async def test_a_reader_that_stops_bounds_memory_and_hurts_no_other_stream(ends: Ends) -> None:
    async with ends.carry() as stuck, ends.carry() as lively:
        with trio.move_on_after(0.5):
            while True:
                await stuck.near.send_all(bytes(100_000))
        waiting = stuck.relays[1].octets_waiting
        assert 0 < waiting <= 256 * 1024, "one stream window that has not grown"
        await lively.near.send_all(b"still here?")
        assert await lively.far.receive_some() == b"still here?"


async def test_a_broken_tunnel_resets_its_streams(ends: Ends) -> None:
    async with ends.carry() as carried:
        ends.server.close()
        with pytest.raises(trio.BrokenResourceError):
            await carried.near.receive_some()
        await carried.ended.wait()
        assert carried.endings == {"near": Ending.TUNNEL_LOST, "far": Ending.TUNNEL_LOST}


async def test_a_drained_tunnel_lets_its_streams_finish_and_then_closes(ends: Ends) -> None:
    async with ends.carry() as carried:
        ends.server.drain()
        await carried.near.send_all(b"after GOAWAY")
        assert await carried.far.receive_some() == b"after GOAWAY"
        assert ends.client.closing
        assert not ends.client.closed
        await carried.near.send_eof()
        await carried.far.send_eof()
        await carried.ended.wait()
    while not ends.client.closed:
        await trio.lowlevel.checkpoint()
    assert ends.reasons == [None, None]
