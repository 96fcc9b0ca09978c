"""A small proxy of our HTTP connections over socket links: one reactor, in a thread of its own.

Every request goes to one upstream; the version on each side is the proxy's to choose.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from mesh.errors import MeshError
from mesh.runtime.http.http1_client import Http1Client
from mesh.runtime.http.http1_server import Http1Server
from mesh.runtime.http.http2_client import Http2Client
from mesh.runtime.http.http2_server import Http2Server
from mesh.runtime.http.link import WINDOW_OCTETS, Link
from mesh.runtime.http.socket_link import SocketLink
from mesh.runtime.http.stream import (
    ClientConnection,
    ClientConnectionUser,
    ClientStream,
    Loss,
    RequestUser,
    ResponseUser,
    ServerConnection,
    ServerConnectionUser,
    ServerStream,
)
from mesh.runtime.relay.reactor import Reactor
from mesh.wire.http.messages import Fields, RequestHead, ResponseHead
from mesh.wire.http2.flow import WindowBudget

WINDOWS = 64 * 1024 * 1024

MakeServer = Callable[[Reactor, Link, ServerConnectionUser], ServerConnection]
MakeClient = Callable[[Reactor, Link, ClientConnectionUser], ClientConnection]


def http1_server(reactor: Reactor, link: Link, user: ServerConnectionUser) -> ServerConnection:
    made = Http1Server(link, user, reactor.at_round_end)
    made.start()
    return made


def http1_client(reactor: Reactor, link: Link, user: ClientConnectionUser) -> ClientConnection:
    made = Http1Client(link, user, reactor.at_round_end)
    made.start()
    return made


def http2_server(reactor: Reactor, link: Link, user: ServerConnectionUser) -> ServerConnection:
    made = Http2Server(link, user, reactor.at_round_end, WindowBudget(WINDOWS))
    made.start()
    return made


def http2_client(reactor: Reactor, link: Link, user: ClientConnectionUser) -> ClientConnection:
    made = Http2Client(link, user, reactor.at_round_end, WindowBudget(WINDOWS))
    made.start()
    return made


class Links:
    """Makes links on one reactor, and resets them all in the end."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self._scratch = memoryview(bytearray(WINDOW_OCTETS))
        self._made: list[SocketLink] = []

    def make(self, connection: socket.socket) -> SocketLink:
        """On a connected socket."""
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = SocketLink(self.reactor, connection, self._scratch)
        self._made.append(link)
        return link

    def reset(self) -> None:
        """Nothing is left open."""
        for link in self._made:
            link.reset()


class Upstream(ResponseUser):
    """Hears the answer, and gives it to the client."""

    def __init__(self, exchange: "Exchange") -> None:
        self.exchange = exchange
        self.owed = 0

    def informational(self, head: ResponseHead) -> None:
        self.exchange.client.answer(head)

    def head(self, head: ResponseHead) -> None:
        self.exchange.answered = True
        self.exchange.client.answer(head)

    def body(self, piece: memoryview) -> None:
        exchange = self.exchange
        exchange.client.send(piece)
        if exchange.client.is_full:
            self.owed += len(piece)
        else:
            exchange.upstream.credit(len(piece))

    def finished(self, trailers: Fields) -> None:
        self.exchange.client.finish(trailers)

    def lost(self, loss: Loss, error: MeshError | None) -> None:
        del error
        self.exchange.upstream_lost(loss)

    def writable(self) -> None:
        self.exchange.credit_client()


class Exchange(RequestUser):
    """Hears the request, and gives it to the upstream."""

    def __init__(self, client: ServerStream) -> None:
        self.client = client
        self.hears = Upstream(self)
        self.upstream: ClientStream
        self.answered = False
        self.owed = 0

    def body(self, piece: memoryview) -> None:
        self.upstream.send(piece)
        if self.upstream.is_full:
            self.owed += len(piece)
        else:
            self.client.credit(len(piece))

    def finished(self, trailers: Fields) -> None:
        self.upstream.finish(trailers)

    def lost(self, loss: Loss, error: MeshError | None) -> None:
        del loss, error
        self.upstream.reset()

    def writable(self) -> None:
        owed, self.hears.owed = self.hears.owed, 0
        self.upstream.credit(owed)

    def credit_client(self) -> None:
        owed, self.owed = self.owed, 0
        self.client.credit(owed)

    def upstream_lost(self, loss: Loss) -> None:
        if self.answered:
            self.client.reset()
        else:
            self.client.answer(ResponseHead(502, [(b"x-loss", loss.value.encode())]), end=True)


class Pooled(ClientConnectionUser):
    """A connection to the upstream."""

    def __init__(self, proxy: "Proxy") -> None:
        self.proxy = proxy
        self.connection: ClientConnection

    def changed(self) -> None:
        pool = self.proxy.pool
        if self.connection.room and self not in pool:
            pool.append(self)

    def closed(self, error: MeshError | None) -> None:
        del error
        if self in self.proxy.pool:
            self.proxy.pool.remove(self)


@dataclass(eq=False)
class Proxy(ServerConnectionUser):
    """All connections share one user."""

    links: Links
    make_client: MakeClient
    upstream_port: int
    pool: list[Pooled] = field(default_factory=list)
    seen: list[RequestHead] = field(default_factory=list)

    def request(self, stream: ServerStream, head: RequestHead, *, end: bool) -> RequestUser:
        if len(self.seen) < 1000:
            self.seen.append(head)
        exchange = Exchange(stream)
        while self.pool and not self.pool[-1].connection.room:
            self.pool.pop()
        pooled = self.pool[-1] if self.pool else self.dial()
        exchange.upstream = pooled.connection.open(head, exchange.hears, end=end)
        if not pooled.connection.room and pooled in self.pool:
            self.pool.remove(pooled)
        return exchange

    def dial(self) -> Pooled:
        connection = socket.create_connection(("127.0.0.1", self.upstream_port))
        pooled = Pooled(self)
        links = self.links
        pooled.connection = self.make_client(links.reactor, links.make(connection), pooled)
        pooled.changed()
        return pooled

    def closed(self, error: MeshError | None) -> None:
        pass


class Nobody(ServerConnectionUser):
    """Stands where the thread puts the real user."""

    def request(self, stream: ServerStream, head: RequestHead, *, end: bool) -> RequestUser:
        raise NotImplementedError

    def closed(self, error: MeshError | None) -> None:
        raise NotImplementedError


MakeUser = Callable[[Links], ServerConnectionUser]


@dataclass
class Running:
    """A listener, and who serves what comes."""

    listener: socket.socket
    make_user: MakeUser
    make_server: MakeServer
    user: ServerConnectionUser = field(default_factory=Nobody)
    bugs: list[BaseException] = field(default_factory=list)
    began: threading.Event = field(default_factory=threading.Event)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    token: trio.lowlevel.TrioToken | None = None
    links: Links | None = None

    def stop(self) -> None:
        """In the thread: close everything while the reactor still runs."""
        if self.links is not None:
            self.links.reset()
        self.scope.cancel()

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port

    def run(self) -> None:
        """The thread."""
        trio.run(self._serve)

    async def _serve(self) -> None:
        reactor = Reactor(self.bugs.append)
        links = self.links = Links(reactor)
        self.user = self.make_user(links)

        def accept(_events: int) -> None:
            while True:
                try:
                    connection, _ = self.listener.accept()
                except BlockingIOError:
                    return
                self.make_server(reactor, links.make(connection), self.user)

        reactor.register(self.listener.fileno(), accept)
        self.token = trio.lowlevel.current_trio_token()
        with self.scope:
            self.began.set()
            await reactor.run()


@contextmanager
def running_server(
    make_user: MakeUser, make_server: MakeServer = http1_server
) -> Iterator[Running]:
    """Serve on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        listener.setblocking(False)
        running = Running(listener, make_user, make_server)
        thread = threading.Thread(target=running.run)
        thread.start()
        running.began.wait()
        try:
            yield running
        finally:
            if running.token is not None:
                running.token.run_sync_soon(running.stop)
            thread.join()
    assert running.bugs == []


@contextmanager
def running_proxy(
    upstream_port: int,
    make_server: MakeServer = http1_server,
    make_client: MakeClient = http1_client,
) -> Iterator[Running]:
    """A proxy to a port of loopback."""

    def make_user(links: Links) -> ServerConnectionUser:
        return Proxy(links, make_client, upstream_port)

    with running_server(make_user, make_server) as running:
        yield running
