"""Two tunnel ends on loopback, with real TLS, on one reactor; and a tunnel with a raw peer."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
from OpenSSL import SSL

from mesh.errors import MeshError
from mesh.runtime import tls
from mesh.runtime.http2_sending import Buffers
from mesh.runtime.http2_transport import CLIENT_SETTINGS, SERVER_SETTINGS, Tunnel
from mesh.runtime.relay.plain import Ending
from mesh.runtime.relay.reactor import Reactor
from mesh.runtime.relay.stream import StreamRelay, WaitingStream
from mesh.wire.http2.connection import Connection
from mesh.wire.http2.events import Headers
from mesh.wire.http2.flow import WindowBudget
from mesh.wire.http2.frames import Role
from mesh.wire.http2.streams import Stream
from tests.mesh.runtime.ends import stream_of, tcp_pair
from tests.pki import Authority

CONNECT: Headers = ((b":method", b"CONNECT"), (b":authority", b"10.0.0.1:80"))
OK: Headers = ((b":status", b"200"),)
WINDOW_CEILING = 64 * 1024 * 1024
AUTHORITY = Authority()
IDENTITY = AUTHORITY.identity()
ISSUED = AUTHORITY.issue(IDENTITY)
CONTEXTS = {
    Role.CLIENT: tls.client_context(ISSUED.key, ISSUED.chain, ISSUED.roots),
    Role.SERVER: tls.server_context(ISSUED.key, ISSUED.chain, ISSUED.roots),
}


@dataclass
class Carried:
    """One application connection: `near` -> tunnel -> `far`."""

    near: trio.SocketStream
    far: trio.SocketStream
    relays: list[StreamRelay]
    endings: dict[str, Ending] = field(default_factory=dict)
    ended: trio.Event = field(default_factory=trio.Event)

    def note(self, side: str) -> Callable[[Ending], None]:
        """Where to note how the relay of this side ended."""

        def on_end(ending: Ending) -> None:
            self.endings[side] = ending
            if len(self.endings) == 2:
                self.ended.set()

        return on_end


@dataclass
class Ends:
    """Both ends of one tunnel."""

    reactor: Reactor
    buffers: Buffers
    windows: WindowBudget
    client: Tunnel
    server: Tunnel
    accepted: list[tuple[Stream, WaitingStream]]
    reasons: list[MeshError | None]

    async def accept(self) -> tuple[Stream, WaitingStream]:
        """The next stream that has come to the server."""
        while not self.accepted:
            await trio.lowlevel.checkpoint()
        return self.accepted.pop()

    @asynccontextmanager
    async def carry(self, buffer_octets: int = 0) -> AsyncIterator[Carried]:
        """A connection through the tunnel, answered with 200."""
        waiting = WaitingStream()
        stream = self.client.open(CONNECT, waiting)
        near, near_inner = tcp_pair(buffer_octets)
        far, far_inner = tcp_pair(buffer_octets)
        async with stream_of(near) as near_stream, stream_of(far) as far_stream:
            carried = Carried(near_stream, far_stream, [])
            peer_stream, peer_waiting = await self.accept()
            self.server.answer(peer_stream, OK)
            await waiting.answered.wait()
            assert waiting.response[0] == OK[0]
            reactor = self.reactor
            note = carried.note
            carried.relays = [
                StreamRelay(reactor, near_inner, self.client, stream, waiting, note("near")),
                StreamRelay(
                    reactor, far_inner, self.server, peer_stream, peer_waiting, note("far")
                ),
            ]
            yield carried


async def shake(made: SSL.Connection, end: socket.socket) -> None:
    """One side's handshake."""
    await tls.handshake(made, end, trust_domain="cluster.local")


async def authenticated(
    buffer_octets: int = 0,
) -> dict[Role, tuple[SSL.Connection, socket.socket]]:
    """Two TLS ends that have shaken hands."""
    near, far = tcp_pair(buffer_octets)
    ends = {
        Role.CLIENT: (tls.client_connection(CONTEXTS[Role.CLIENT], near), near),
        Role.SERVER: (tls.server_connection(CONTEXTS[Role.SERVER], far), far),
    }
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for made, end in ends.values():
                nursery.start_soon(shake, made, end)
    return ends


@asynccontextmanager
async def running_reactor() -> AsyncIterator[Reactor]:
    """A reactor in a task of its own; a bug in a handler fails the test."""
    bugs: list[BaseException] = []
    reactor = Reactor(bugs.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reactor.run)
        yield reactor
        nursery.cancel_scope.cancel()
    assert bugs == []


async def make_ends(
    reactor: Reactor,
    on_close: Callable[[Tunnel], None] | None = None,
    *,
    buffer_octets: int = 0,
) -> Ends:
    """A tunnel on this reactor; `on_close` hears of each end that is closed."""
    buffers, windows = Buffers(), WindowBudget(WINDOW_CEILING)
    secured = await authenticated(buffer_octets)
    accepted: list[tuple[Stream, WaitingStream]] = []
    reasons: list[MeshError | None] = []

    def on_stream(tunnel: Tunnel, stream: Stream, headers: Headers, end: bool) -> None:
        assert headers == CONNECT
        waiting = WaitingStream()
        waiting.ended = end
        tunnel.hand_over(stream, waiting)
        accepted.append((stream, waiting))

    def closed(tunnel: Tunnel, reason: MeshError | None) -> None:
        reasons.append(reason)
        if on_close is not None:
            on_close(tunnel)

    made, end = secured[Role.CLIENT]
    client = Tunnel(
        reactor,
        buffers,
        made,
        end,
        Connection(Role.CLIENT, CLIENT_SETTINGS, windows),
        peer=IDENTITY,
        on_close=closed,
    )
    made, end = secured[Role.SERVER]
    server = Tunnel(
        reactor,
        buffers,
        made,
        end,
        Connection(Role.SERVER, SERVER_SETTINGS, windows),
        peer=IDENTITY,
        on_stream=on_stream,
        on_close=closed,
    )
    return Ends(reactor, buffers, windows, client, server, accepted, reasons)


async def until_closed(*tunnels: Tunnel) -> None:
    """Wait until these are closed."""
    while not all(tunnel.closed for tunnel in tunnels):
        await trio.lowlevel.checkpoint()


@dataclass
class RawPeer:
    """The other end of a tunnel, where a test decides each octet."""

    tls: SSL.Connection
    socket: socket.socket

    async def send(self, octets: bytes) -> None:
        """Encrypt and send; the tunnel's end must be reading."""
        for at in range(0, len(octets), 16_384):
            self.tls.sendall(octets[at : at + 16_384])
            await trio.lowlevel.checkpoint()

    async def receive(self) -> bytes:
        """What there is; b"" at the end."""
        while True:
            try:
                return self.tls.recv(65_536)
            except SSL.WantReadError:
                await trio.lowlevel.wait_readable(self.socket)
            except (SSL.ZeroReturnError, SSL.SysCallError):
                return b""


@asynccontextmanager
async def with_raw_server(
    reactor: Reactor, on_close: Callable[[Tunnel, MeshError | None], None]
) -> AsyncIterator[tuple[Tunnel, RawPeer]]:
    """A client tunnel to a peer without HTTP/2 of its own."""
    secured = await authenticated()
    made, end = secured[Role.CLIENT]
    tunnel = Tunnel(
        reactor,
        Buffers(),
        made,
        end,
        Connection(Role.CLIENT, CLIENT_SETTINGS, WindowBudget(0)),
        peer=IDENTITY,
        on_close=on_close,
    )
    peer = RawPeer(*secured[Role.SERVER])
    with peer.socket:
        yield tunnel, peer
        tunnel.close()
