"""The engine of a worker: connections come in with who calls what, and everything else follows.

1. A port's protocol is what its routes are for; else what the service says; else what the client's
   first octets say, and when it says nothing for a while, TCP.
2. HTTP is spoken in the version that the client begins with, whatever the port says.
3. A bug in one connection ends that connection.
"""

import logging
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.model.address import SocketAddress
from mesh.model.identity import Identity
from mesh.model.routes import Waypoint
from mesh.model.workload import AppProtocol, Workload
from mesh.observe.request_metrics import RequestMetrics
from mesh.routing.http.routes import ConnectionRoutes, RequestRoutes, Routes
from mesh.routing.waypoint import Called
from mesh.runtime.http.http1_client import Http1Client
from mesh.runtime.http.http1_server import Http1Server
from mesh.runtime.http.http2_client import Http2Client
from mesh.runtime.http.http2_server import Http2Server
from mesh.runtime.http.link import Link
from mesh.runtime.http.stream import (
    ClientConnection,
    ClientConnectionUser,
    ServerConnection,
    ServerConnectionUser,
)
from mesh.state.changes import Changes
from mesh.wire.client_hello import ClientHelloInvalidError, server_name
from mesh.wire.feed_answers import MetricRow
from waypoint.filters.process import FilterProcess
from waypoint.filters.processes import FilterProcesses
from waypoint.worker.context import Context as WorkerContext
from waypoint.worker.engine.configuring import configure
from waypoint.worker.engine.context import Caller, Context, Peer
from waypoint.worker.engine.destinations import Destinations
from waypoint.worker.engine.exchange import Exchange
from waypoint.worker.engine.judging import PolicyJudge
from waypoint.worker.engine.keys import KeyRing
from waypoint.worker.engine.plain import PlainConnections
from waypoint.worker.engine.pool import Means
from waypoint.worker.engine.programs import Programs
from waypoint.worker.engine.serving import Requests
from waypoint.worker.engine.sniff import Peek, Peeked, Spoken, spoken
from waypoint.worker.engine.timers import Timers
from waypoint.worker.engine.tracing import Tracer
from waypoint.worker.upstream import Spawn, Upstreams

TICK_SECONDS: Final = 1.0
HTTP: Final = frozenset((AppProtocol.HTTP11, AppProtocol.HTTP2, AppProtocol.GRPC))
PLAIN: Final = frozenset((AppProtocol.TCP, AppProtocol.TLS))

POLICIES: Final = "RequestPolicy/"
Look = Callable[[Peek], bool]

NO_VARIABLES: Final[Mapping[str, str]] = {}
FILTER_VARIABLES: Final = ("PATH", "PYTHONPATH", "LANG", "TZ", "SLUICE_LAB")
"""What the process of users' filters inherits: nothing that could be a secret."""

log = logging.getLogger(__name__)


class HttpEngine:
    """One per worker; `waypoint.worker.seam` says what it is asked."""

    def __init__(
        self,
        worker: WorkerContext,
        upstreams: Upstreams,
        spawn: Spawn,
        environ: Mapping[str, str] = NO_VARIABLES,
    ) -> None:
        """Serve.

        Args:
            worker: whose state it serves by.
            upstreams: its links to endpoints.
            spawn: starts the engine's one task.
            environ: of this process; users' filters get the harmless part of it.
        """
        self._worker = worker
        clock = trio.current_time
        timers = Timers(self._bug, clock)
        means = Means(upstreams.open_link, self._ask, timers)
        config = worker.config
        self._context = Context(
            identity=config.identity,
            waypoint=Waypoint(namespace=config.pod_namespace, name=config.gateway),
            routes=Routes(),
            destinations=Destinations(worker.world, worker.own.now, means),
            means=means,
            timers=timers,
            random=random.Random(),  # noqa: S311 - for draws and waits, not for secrets
            clock=clock,
            epoch=time.time,
            metrics=RequestMetrics(),
            answer=self._answer,
            on_bug=self._bug,
            tracer=_tracer_of(worker, clock),
        )
        inherited = {name: environ[name] for name in FILTER_VARIABLES if name in environ}
        make = partial(FilterProcess, worker.reactor, timers, inherited)
        self._filters = FilterProcesses(make, self._tell_of_filters)
        self._context.programs = Programs(self._filters, self._context.metrics.note_filter)
        own = f"{config.pod_namespace}/{config.gateway}"
        judge = PolicyJudge(own, KeyRing(self._context, worker.world), time.time)
        self._judge = self._context.judge = judge
        self._plain = PlainConnections(worker, self._context, judge)
        self._connections: dict[Requests, ServerConnection] = {}
        self._peeks: dict[Peek, None] = {}
        self._empty = trio.lowlevel.ParkingLot()
        self._drains = False
        spawn(timers.run)

    # Connections.

    def takes(self, destination: Called, peer: Identity) -> bool:
        """Whether a port speaks HTTP, or may, or has routes for this client, or policies."""
        if destination.app_protocol not in PLAIN or self._judge.concerns(destination):
            return True
        service = destination.service
        if service is None or destination.workload is not None:
            return False
        routes = self._context.routes
        return routes.choose(service.key, destination.port, peer.namespace) is not None

    def serve(self, destination: Called, link: Link, peer: Identity, far: SocketAddress) -> None:
        """Serve a client's calls of a destination, on a link that nobody uses yet."""
        try:
            self._serve(destination, link, peer, far)
        except Exception as bug:  # noqa: BLE001 - rule 3
            self._bug(bug)
            link.reset()

    def _serve(
        self, destination: Called, link: Link, identity: Identity, far: SocketAddress
    ) -> None:
        caller = Caller(address=far, identity=identity, workload=self._workload(far, identity))
        peer = Peer(self._context, caller, destination)
        speaks = destination.app_protocol
        settings = self._context.settings
        match peer.routes:
            case ConnectionRoutes(is_tls=False):
                self._plain.carry(peer, link, "")
            case ConnectionRoutes():
                self._peek(link, partial(self._look_for_name, peer), settings.head_stall_s)
            case RequestRoutes():
                look = partial(self._look, peer, True)
                self._peek(link, look, settings.head_stall_s)
            case None if speaks in PLAIN and self._judge.wants_name(peer.called):
                self._peek(link, partial(self._look_for_any_name, peer), settings.sniff_s)
            case None if speaks in PLAIN:
                self._plain.carry(peer, link, "")
            case None:
                is_http = speaks in HTTP
                look = partial(self._look, peer, is_http)
                self._peek(link, look, settings.head_stall_s if is_http else settings.sniff_s)

    def _workload(self, far: SocketAddress, identity: Identity) -> Workload | None:
        worker = self._worker
        found = worker.world.workload_at(worker.config.network, far.ip)
        return found if found is not None and found.identity == identity else None

    def _peek(self, link: Link, look: Look, seconds: float) -> None:
        def lost(_error: MeshError | None) -> None:
            self._forget_peek(peek)

        peek = Peek(link, partial(self._looked, look), lost)
        self._peeks[peek] = None
        peek.start(self._context.timers, seconds)

    def _looked(self, look: Look, peek: Peek) -> bool:
        try:
            is_enough = look(peek)
        except MeshError as error:
            log.debug("a connection that is reset: %s", error, extra={"code": error.code})
            peek.link.reset()
            is_enough = True
        except Exception as bug:  # noqa: BLE001 - rule 3
            self._bug(bug)
            peek.link.reset()
            is_enough = True
        if is_enough:
            self._forget_peek(peek)
        return is_enough

    def _forget_peek(self, peek: Peek) -> None:
        self._peeks.pop(peek, None)
        self._tell_when_empty()

    def _look(self, peer: Peer, is_http: bool, peek: Peek) -> bool:  # noqa: FBT001 - bound once
        found = spoken(bytes(peek.octets), is_http=is_http) if peek.octets else None
        if found is None:
            if not peek.is_late:
                return False
            found = Spoken.HTTP1 if is_http else Spoken.OTHER
        link = Peeked(peek)
        if found is Spoken.HTTP1 or found is Spoken.HTTP2:
            self._requests(peer, link, is_http2=found is Spoken.HTTP2)
        elif self._judge.wants_name(peer.called):
            return self._look_for_any_name(peer, peek)
        else:
            self._plain.carry(peer, link, "")
        return True

    def _look_for_any_name(self, peer: Peer, peek: Peek) -> bool:
        """Pass a connection, of which a policy wants to know the server's name if it has one."""
        try:
            name = server_name(peek.octets) if peek.octets else None
        except ClientHelloInvalidError:
            name = ""
        if name is None and not peek.is_late:
            return False
        self._plain.carry(peer, Peeked(peek), name or "")
        return True

    def _look_for_name(self, peer: Peer, peek: Peek) -> bool:
        name = server_name(peek.octets) if peek.octets else None
        if name is None:
            if peek.is_late:
                raise ClientHelloInvalidError("it does not come")
            return False
        self._plain.carry(peer, Peeked(peek), name)
        return True

    # HTTP.

    def _requests(self, peer: Peer, link: Link, *, is_http2: bool) -> None:
        requests = Requests(peer, self._closed)
        connection = self._context.answer(link, requests, is_http2)
        self._connections[requests] = connection
        connection.start()
        if self._drains:
            connection.drain()

    def _closed(self, requests: Requests) -> None:
        self._connections.pop(requests, None)
        self._tell_when_empty()

    def _answer(self, link: Link, user: ServerConnectionUser, is_http2: bool) -> ServerConnection:  # noqa: FBT001 - the context's signature
        at_round_end = self._worker.reactor.at_round_end
        if is_http2:
            return Http2Server(link, user, at_round_end, self._worker.windows)
        return Http1Server(link, user, at_round_end)

    def _ask(self, link: Link, user: ClientConnectionUser, is_http2: bool) -> ClientConnection:  # noqa: FBT001 - the pool's signature
        at_round_end = self._worker.reactor.at_round_end
        if is_http2:
            return Http2Client(link, user, at_round_end, self._worker.windows)
        return Http1Client(link, user, at_round_end)

    def judging(
        self, destination: Called, peer: Identity, far: SocketAddress
    ) -> Callable[[], None]:
        """What judges a connection again; it raises when the connection may not go on."""
        caller = Caller(address=far, identity=peer, workload=None)
        return partial(self._plain.judge, caller, destination, "")

    # Keeping up.

    def changed(self, changes: Changes) -> None:
        """A part of a state version is in force."""
        self._context.destinations.changed(changes)

    def configured(self, names: frozenset[str]) -> None:
        """These configuration resources came, changed or went."""
        configure(self._context, self._worker.configurations, names)
        if any(name.startswith(POLICIES) for name in names):
            self._plain.judge_again()
            for live in list(self._context.live):
                if isinstance(live, Exchange):
                    live.judge_again()

    def rows(self) -> list[MetricRow]:
        """What was counted."""
        return self._context.metrics.rows()

    def tick(self) -> None:
        """Another second."""
        context = self._context
        now = context.clock()
        context.destinations.sweep(TICK_SECONDS, now)
        for live in list(context.live):
            live.sweep(TICK_SECONDS)
        for connection in list(self._connections.values()):
            connection.tick(now)

    def drain(self) -> None:
        """No new requests on connections that could do without; what is under way goes on."""
        if self._drains:
            return
        self._drains = True
        for peek in list(self._peeks):
            peek.give_up()
            self._forget_peek(peek)
        for connection in list(self._connections.values()):
            connection.drain()

    def close(self) -> None:
        """End everything now."""
        for live in list(self._context.live):
            live.stop()
        for connection in list(self._connections.values()):
            connection.close()
        self._judge.close()
        self._context.destinations.close()
        self._filters.close()

    async def wait_empty(self) -> None:
        """Until nothing is under way.

        Cancellation: changes nothing.
        """
        while self._connections or self._peeks:
            await self._empty.park()

    def _tell_when_empty(self) -> None:
        if not (self._connections or self._peeks):
            self._empty.unpark_all()

    def _tell_of_filters(self, code: str, name: str, words: str) -> None:
        self._context.metrics.note_filter(name, code)
        log.warning("users' filters: %s", words, extra={"code": code, "filter": name})

    def _bug(self, bug: BaseException) -> None:
        log.error("a bug; its request is dropped", exc_info=bug)


def _tracer_of(worker: WorkerContext, clock: Callable[[], float]) -> Tracer | None:
    tracing, spans = worker.config.tracing, worker.spans
    if tracing is None or spans is None:
        return None
    chance = random.Random()  # noqa: S311 - ids of traces are no secrets
    return Tracer(tracing.sampler, chance, clock, time.time, spans.put)
