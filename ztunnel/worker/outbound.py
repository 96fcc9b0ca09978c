"""15001: what a pod's application sends. Decide, tunnel (or pass through), relay, log.

1. Most connections need no task: the state says where to, the pool has a tunnel, and the answer to
   CONNECT is called back. Only what has to wait gets one.
2. A tunnel that turns out to be dead, or that the peer closes, before CONNECT was answered has
   served nobody: the connection is decided anew, once. After a 200 nothing is ever repeated.
"""

import random
import socket
from functools import partial
from typing import Final

from mesh.errors import MeshError
from mesh.model.address import SocketAddress
from mesh.model.names import OWN_PORTS
from mesh.model.workload import Service, Workload
from mesh.observe.access_log import ConnectionSecurity, Direction
from mesh.routing.outbound import (
    Decision,
    DoubleHbone,
    Hbone,
    NeedsResolution,
    Passthrough,
    PlainTcp,
    Refused,
    choose,
)
from mesh.runtime.http2_transport import Tunnel
from mesh.runtime.pool import Limits, PoolKey
from mesh.runtime.relay.stream import StreamRelay, WaitingStream
from mesh.runtime.worker import sockets
from mesh.runtime.worker.dial import Dial, Way
from mesh.runtime.worker.failures import RouteRefusedError, SelfCallError
from mesh.runtime.worker.pending import UNSERVED, Pending
from mesh.runtime.worker.tunnels import NOTHING_SENT, Tunnels
from mesh.wire import hbone
from mesh.wire.http2.events import Headers
from ztunnel.worker.call import Call, Spawn, begin, join_plain
from ztunnel.worker.context import Context
from ztunnel.worker.double import DoubleTunnel
from ztunnel.worker.flow import Flows
from ztunnel.worker.local import LocalWorkload

MOST_ATTEMPTS: Final = 2


class Outbound:
    """The outbound side of one pod."""

    def __init__(
        self, context: Context, local: LocalWorkload, way: Way, flows: Flows, spawn: Spawn
    ) -> None:
        """Serve what the pod's applications open."""
        self._context = context
        self._local = local
        self._way = way
        self._flows = flows
        self._spawn = spawn
        limits = Limits(context.config.pool_max_streams, context.config.pool_unused_release_s)
        self._tunnels = Tunnels(
            context, context.world, way, limits, lambda: local.known().identity, spawn
        )

    def close(self) -> None:
        """End every tunnel."""
        self._tunnels.close()

    def tick(self) -> None:
        """Keep-alive, and no tunnel for nobody."""
        self._tunnels.tick()

    def evict(self, workloads: set[str]) -> None:
        """These have changed: no new stream on a tunnel to somebody else's address or identity."""
        self._tunnels.evict(workloads)

    def serve(self, accepted: socket.socket, peer: sockets.SocketName) -> None:
        """One accepted connection, until it is relayed, ended, or has a task."""
        call = begin(self._context, self._flows, accepted, peer, Direction.OUTBOUND)
        if call is None:
            return
        with call.flow:
            if (workload := self._local.now()) is not None:
                self._route(call, workload)
            else:
                self._spawn(self._route_later, call)

    async def _route_later(self, call: Call) -> None:
        with call.flow:
            workload = await self._local.wait()
            call.flow.check()
            self._route(call, workload)

    def _route(self, call: Call, source: Workload) -> None:
        destination = call.destination
        if destination.port in OWN_PORTS and destination.ip in source.addresses:
            raise SelfCallError
        decision = choose(
            self._context.world,
            source,
            destination,
            network=self._context.config.network,
            chance=random.randrange,
        )
        call.flow.record.source = source
        self._obey(call, source, decision)

    def _obey(self, call: Call, source: Workload, decision: Decision) -> None:
        match decision:
            case Hbone():
                _know(call, decision.connect_to, decision.workload, decision.service)
                call.flow.record.hbone_address = decision.authority
                self._tunnel(call, source, decision)
            case PlainTcp():
                _know(call, decision.destination, decision.workload, decision.service)
                self._plain(call, decision.destination)
            case Passthrough():
                _know(call, decision.destination, None, None)
                self._plain(call, decision.destination)
            case DoubleHbone():
                _know(call, decision.connect_to, None, decision.service)
                call.flow.record.hbone_address = decision.authority
                double = DoubleTunnel(self._context, self._tunnels.pool, source, decision)
                self._spawn(double.carry, call)
            case NeedsResolution():
                self._spawn(self._resolve, call, source, decision)
            case Refused():
                raise RouteRefusedError(decision)

    async def _resolve(self, call: Call, source: Workload, question: NeedsResolution) -> None:
        with call.flow:
            self._context.metrics.observe_resolution(source, question.hostname)
            addresses = await self._context.resolver.addresses(question.hostname)
            call.flow.check()
            self._obey(call, source, question.fitting(addresses, random.randrange))

    def _plain(self, call: Call, destination: SocketAddress) -> None:
        join_plain(self._context, self._spawn, call, Dial(self._way, destination))

    # By the tunnel.

    def _tunnel(self, call: Call, source: Workload, decision: Hbone) -> None:
        key = PoolKey(decision.connect_to, decision.workload.uid, decision.expected)
        tunnel = self._tunnels.pool.ready(key)
        if tunnel is not None:
            self._connect(call, source, decision, tunnel)
        else:
            self._spawn(self._tunnel_later, call, source, decision, key)

    async def _tunnel_later(
        self, call: Call, source: Workload, decision: Hbone, key: PoolKey
    ) -> None:
        with call.flow:
            try:
                tunnel = await self._tunnels.pool.tunnel(key)
                call.flow.check()
                self._connect(call, source, decision, tunnel)
            except NOTHING_SENT as error:
                self._once_more(call, source, error)

    def _connect(self, call: Call, source: Workload, decision: Hbone, tunnel: Tunnel) -> None:
        service = decision.service.hostname if decision.service else ""
        request = hbone.request(
            decision.authority,
            call.flow.record.source_address,
            source,
            trace=call.trace,
            service=service,
        )
        Pending(
            self._context.deadlines,
            tunnel,
            request,
            partial(self._answered, call, source),
            partial(self._unanswered, call, source),
        )

    def _answered(self, call: Call, source: Workload, pending: Pending, _head: Headers) -> None:
        with call.flow:
            tunnel, record = pending.tunnel, call.flow.record
            record.source_identity, record.destination_identity = source.identity, tunnel.peer
            record.security = ConnectionSecurity.MUTUAL_TLS
            early: WaitingStream | None = None
            if pending.ended:
                early = WaitingStream()
                early.ended = True
            call.flow.carry(
                lambda on_end: StreamRelay(
                    self._context.reactor, call.accepted, tunnel, pending.stream, early, on_end
                )
            )

    def _unanswered(
        self, call: Call, source: Workload, _pending: Pending, error: MeshError
    ) -> None:
        with call.flow:
            if not isinstance(error, UNSERVED):
                raise error
            self._once_more(call, source, error)

    def _once_more(self, call: Call, source: Workload, error: MeshError) -> None:
        call.attempts += 1
        if call.attempts >= MOST_ATTEMPTS:
            raise error
        call.flow.check()
        self._route(call, self._local.now() or source)


def _know(
    call: Call, address: SocketAddress, workload: Workload | None, service: Service | None
) -> None:
    record = call.flow.record
    record.destination_address = address
    record.destination = workload
    record.service = service
    call.flow.is_known = True
