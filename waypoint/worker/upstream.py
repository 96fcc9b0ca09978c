"""Octet links to endpoints: streams of tunnels with our own identity, or plain TCP.

1. Who asks is called back once, with a link or with an error, unless it has cancelled; always in
   the reactor's turn, and never before the call that asked has returned.
2. Tunnels are pooled by endpoint and expected identity, whoever they are for.
3. A tunnel that breaks, or that the peer leaves, before it has answered is replaced once.
"""

import logging
import random
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from mesh.errors import MeshError
from mesh.model.address import SocketAddress
from mesh.routing.balance import Endpoint
from mesh.routing.decisions import (
    Decision,
    DoubleHbone,
    Hbone,
    NeedsResolution,
    Passthrough,
    PlainTcp,
    Refused,
)
from mesh.routing.waypoint import bounded, way_to
from mesh.runtime.http.link import Link
from mesh.runtime.http.socket_link import SocketLink
from mesh.runtime.http.stream_link import StreamLink
from mesh.runtime.http2_transport import Tunnel
from mesh.runtime.pool import Limits, PoolKey
from mesh.runtime.relay.plain import close
from mesh.runtime.relay.stream import WaitingStream
from mesh.runtime.worker import tunnels
from mesh.runtime.worker.dial import Dial, Way
from mesh.runtime.worker.failures import BugError, RouteRefusedError
from mesh.runtime.worker.pending import UNSERVED, Pending
from mesh.wire import hbone
from mesh.wire.http2.events import Headers
from waypoint.worker.context import Context
from waypoint.worker.engine.pool import OnFailure, OnLink, Opening

MOST_ATTEMPTS: Final = 2

Spawn = tunnels.Spawn

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """What an endpoint's proxy is told of a connection."""

    forwarded: str = ""
    """Of `hbone.forwarded`; nothing of a connection that many clients share."""
    traceparent: str = ""
    """Empty: one of our own."""


NOTHING: Final = Told()


class LinkOpening(Opening):
    """One link that is being made."""

    __slots__ = ("_is_over", "_on_failure", "_on_link", "_reactor_turn", "attempts", "pending")

    def __init__(
        self, later: Callable[[Callable[[], None]], None], on_link: OnLink, on_failure: OnFailure
    ) -> None:
        """`later` runs something in the reactor's turn."""
        self._reactor_turn = later
        self._on_link = on_link
        self._on_failure = on_failure
        self._is_over = False
        self.attempts = 0
        """How many tunnels have let it down."""
        self.pending: Pending | None = None

    @property
    def is_over(self) -> bool:
        """Whether nobody waits any more."""
        return self._is_over

    def cancel(self) -> None:
        """Nobody wants it any more: neither callback is called. Late is fine."""
        self._is_over = True
        pending, self.pending = self.pending, None
        if pending is not None:
            pending.cancel()

    def succeed(self, link: Link) -> None:
        """Here it is."""
        self.pending = None
        self._reactor_turn(partial(self._give, link))

    def fail(self, error: MeshError) -> None:
        """There is none."""
        self.pending = None
        self._reactor_turn(partial(self._give_up, error))

    def _give(self, link: Link) -> None:
        if self._is_over:
            link.reset()
            return
        self._is_over = True
        self._on_link(link)

    def _give_up(self, error: MeshError) -> None:
        if not self._is_over:
            self._is_over = True
            self._on_failure(error)


class Upstreams:
    """The waypoint's client side."""

    def __init__(self, context: Context, spawn: Spawn) -> None:
        """Nothing is open yet."""
        self._context = context
        self._spawn = spawn
        config = context.config
        self._way = Way(None, config.keepalive, None)
        limits = Limits(config.pool_max_streams, config.pool_unused_release_s)
        self._tunnels = tunnels.Tunnels(
            context, context.world, self._way, limits, lambda: config.identity, spawn
        )

    # For who needs links.

    def open_link(
        self, endpoint: Endpoint, on_link: OnLink, on_failure: OnFailure, told: Told = NOTHING
    ) -> LinkOpening:
        """A link to an endpoint, as it wants to be reached.

        Args:
            endpoint: The workload and its port (with the service, its other identities).
            on_link: Called with the link, which is the callee's.
            on_failure: Called with what went wrong.
            told: What the endpoint's proxy is told.
        """
        return self.open_way(way_to(endpoint, self._context.own.now()), on_link, on_failure, told)

    def open_way(
        self, way: Decision, on_link: OnLink, on_failure: OnFailure, told: Told = NOTHING
    ) -> LinkOpening:
        """The same by a way that is decided."""
        opening = LinkOpening(self._context.reactor.schedule, on_link, on_failure)
        self._obey(opening, way, told)
        return opening

    def evict(self, workloads: set[str]) -> None:
        """These have changed: no new stream on a tunnel to somebody else's address or identity."""
        self._tunnels.evict(workloads)

    def tick(self) -> None:
        """Keep-alive, and no tunnel for nobody."""
        self._tunnels.tick()

    def close(self) -> None:
        """End every tunnel."""
        self._tunnels.close()

    # By what is decided.

    def _obey(self, opening: LinkOpening, way: Decision, told: Told) -> None:
        way = bounded(way, self._context.own.now())
        match way:
            case Hbone():
                self._tunnel(opening, way, told)
            case PlainTcp(destination=destination) | Passthrough(destination=destination):
                self._dial(opening, destination)
            case NeedsResolution():
                self._later(opening, self._resolve(opening, way, told))
            case Refused():
                opening.fail(RouteRefusedError(way))
            case DoubleHbone():
                refused = Refused("route_no_gateway", "in another network")
                opening.fail(RouteRefusedError(refused))

    def _later(self, opening: LinkOpening, work: Awaitable[None]) -> None:
        self._spawn(_guarded, opening, work)

    async def _resolve(self, opening: LinkOpening, question: NeedsResolution, told: Told) -> None:
        addresses = await self._context.resolver.addresses(question.hostname)
        if not opening.is_over:
            self._obey(opening, question.fitting(addresses, random.randrange), told)

    # Plain.

    def _dial(self, opening: LinkOpening, destination: SocketAddress) -> None:
        try:
            dialling = Dial(self._way, destination)
        except MeshError as error:
            opening.fail(error)
            return
        if dialling.connected:
            self._plain(opening, dialling.connection)
        else:
            self._later(opening, self._dial_on(opening, dialling))

    async def _dial_on(self, opening: LinkOpening, dialling: Dial) -> None:
        self._plain(opening, await dialling.wait())

    def _plain(self, opening: LinkOpening, connection: socket.socket) -> None:
        if opening.is_over:
            close(connection, reset=True)
            return
        context = self._context
        opening.succeed(SocketLink(context.reactor, connection, context.scratch))

    # By the tunnel.

    def _tunnel(self, opening: LinkOpening, way: Hbone, told: Told) -> None:
        key = PoolKey(way.connect_to, way.workload.uid, way.expected)
        tunnel = self._tunnels.pool.ready(key)
        if tunnel is not None:
            self._connect(opening, way, told, tunnel)
        else:
            self._later(opening, self._tunnel_on(opening, way, told, key))

    async def _tunnel_on(self, opening: LinkOpening, way: Hbone, told: Told, key: PoolKey) -> None:
        try:
            tunnel = await self._tunnels.pool.tunnel(key)
        except tunnels.NOTHING_SENT as error:
            self._once_more(opening, way, told, error)
            return
        if not opening.is_over:
            self._connect(opening, way, told, tunnel)

    def _connect(self, opening: LinkOpening, way: Hbone, told: Told, tunnel: Tunnel) -> None:
        parent = told.traceparent or hbone.traceparent(random.getrandbits(hbone.TRACE_BITS))
        request = hbone.carry_on(
            way.authority, self._context.own.now(), told=told.forwarded, parent=parent
        )
        try:
            opening.pending = Pending(
                self._context.deadlines,
                tunnel,
                request,
                partial(self._answered, opening),
                partial(self._unanswered, opening, way, told),
            )
        except tunnels.NOTHING_SENT as error:
            self._once_more(opening, way, told, error)

    def _answered(self, opening: LinkOpening, pending: Pending, _head: Headers) -> None:
        early = WaitingStream()
        early.ended = pending.ended
        opening.succeed(StreamLink(pending.tunnel, pending.stream, early))

    def _unanswered(
        self, opening: LinkOpening, way: Hbone, told: Told, _pending: Pending, error: MeshError
    ) -> None:
        if isinstance(error, UNSERVED):
            self._once_more(opening, way, told, error)
        else:
            opening.fail(error)

    def _once_more(self, opening: LinkOpening, way: Hbone, told: Told, error: MeshError) -> None:
        opening.attempts += 1
        now = self._context.world.workload(way.workload.uid)
        if opening.attempts >= MOST_ATTEMPTS or opening.is_over or now != way.workload:
            opening.fail(error)
        else:
            self._tunnel(opening, way, told)


async def _guarded(opening: LinkOpening, work: Awaitable[None]) -> None:
    """The firewall of one opening that has to wait."""
    try:
        await work
    except MeshError as error:
        opening.fail(error)
    except Exception:
        log.exception("a bug; its connection is dropped")
        opening.fail(BugError())
