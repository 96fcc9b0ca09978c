"""15001: what a pod's application sends. Decide, tunnel (or pass through), relay, log."""

import random
import socket
from typing import Final

import trio

from mesh.errors import DeniedError, MeshError, UnavailableError
from mesh.model.address import SocketAddress
from mesh.model.names import OWN_PORTS
from mesh.model.workload import Workload
from mesh.runtime.http2_transport import Tunnel, TunnelBrokenError
from mesh.runtime.pool import Pool, PoolKey
from mesh.runtime.relay.plain import SocketRelay
from mesh.runtime.relay.stream import StreamRelay, WaitingStream
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
from mesh.wire.http2.events import Headers
from mesh.wire.http2.frames import Role
from mesh.wire.http2.streams import Stream
from ztunnel.worker import hbone, sockets
from ztunnel.worker.context import Context
from ztunnel.worker.flow import Flow
from ztunnel.worker.local import LocalWorkload
from ztunnel.worker.secure import secure

ANSWER_SECONDS: Final = 15.0
"""How long CONNECT may take: the peer itself gives the application 10 s."""


class SelfCallError(DeniedError):
    """A connection to one of the proxy's own ports."""

    code = "self_call"


class DestinationRefusedError(UnavailableError):
    """The routing has no way to the destination."""

    code = "destination_refused"


class Outbound:
    """The outbound side of one pod."""

    def __init__(self, context: Context, local: LocalWorkload, netns: int) -> None:
        """Serve connections of the pod in `netns`, which stays its owner's."""
        self._context = context
        self._local = local
        self._netns = netns
        self.pool = Pool(self._dial_tunnel)

    def close(self) -> None:
        """End every tunnel."""
        self.pool.close()

    async def serve(self, accepted: socket.socket) -> None:
        """One accepted connection, from decision to log line."""
        flow = Flow(self._context, "outbound", sockets.address_of(accepted.getpeername()), accepted)
        with flow:
            sockets.tune(accepted, keepalive=True)
            destination = sockets.original_destination(accepted)
            flow.destination = destination
            if destination.port in OWN_PORTS and destination.ip[0] in (0, 127):
                raise SelfCallError("attempted recursive call to ourselves")
            source = await self._local.wait()
            flow.comes_from(source)
            decision = choose(
                self._context.world,
                source,
                destination,
                network=self._context.network,
                chance=random.randrange,
            )
            await self._carry(flow, accepted, source, decision)

    async def _carry(
        self, flow: Flow, accepted: socket.socket, source: Workload, decision: Decision
    ) -> None:
        match decision:
            case Passthrough(destination=destination):
                await self._plain(flow, accepted, destination)
            case PlainTcp():
                flow.goes_to(decision.destination, decision.workload, decision.service)
                await self._plain(flow, accepted, decision.destination)
            case Hbone():
                flow.goes_to(decision.connect_to, decision.workload, decision.service)
                await self._tunnelled(flow, accepted, source, decision)
            case DoubleHbone():
                await self._double(flow, accepted, source, decision)
            case NeedsResolution():
                raise DestinationRefusedError(f"{decision} needs a resolver")
            case Refused(code=code, reason=reason):
                flow.flag = decision.flag
                raise DestinationRefusedError(f"{reason} ({code})")

    async def _plain(
        self, flow: Flow, accepted: socket.socket, destination: SocketAddress
    ) -> None:
        far = await sockets.dial(self._netns, destination)
        await flow.relay(
            lambda on_end: SocketRelay(
                self._context.reactor, self._context.scratch, accepted, far, on_end
            )
        )

    async def _tunnelled(
        self, flow: Flow, accepted: socket.socket, source: Workload, decision: Hbone
    ) -> None:
        uid = decision.workload.uid if decision.workload else ""
        tunnel = await self.pool.tunnel(
            PoolKey(decision.connect_to, uid, frozenset(decision.expected))
        )
        service = decision.service.hostname if decision.service else ""
        head = hbone.request(decision.authority, flow.source, source, service=service)
        stream, waiting = await self._connect(tunnel, head)
        flow.secured_by(source.identity, tunnel.peer)
        await flow.relay(
            lambda on_end: StreamRelay(
                self._context.reactor, accepted, tunnel, stream, waiting, on_end
            )
        )

    async def _double(
        self, flow: Flow, accepted: socket.socket, source: Workload, decision: DoubleHbone
    ) -> None:
        """A tunnel of its own inside a stream to the gateway, which cannot read it."""
        outer = await self.pool.tunnel(
            PoolKey(decision.connect_to, decision.gateway, frozenset(decision.expected))
        )
        service = decision.service.hostname
        head = hbone.request(decision.authority, flow.source, source, service=service)
        stream, waiting = await self._connect(outer, head)
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        carrier = StreamRelay(
            self._context.reactor, far, outer, stream, waiting, lambda _ending: None
        )
        try:
            credential = await self._context.credentials.of(source.identity)
            inner = await secure(
                self._context,
                Role.CLIENT,
                credential,
                near,
                expected=decision.inner_expected,
                on_close=lambda _tunnel, _reason: None,
            )
        except BaseException:
            near.close()
            carrier.stop()
            raise
        try:
            head = hbone.request(
                decision.authority,
                flow.source,
                source,
                service=service,
                network=self._context.network,
            )
            inner_stream, inner_waiting = await self._connect(inner, head)
            flow.secured_by(source.identity, inner.peer)
            await flow.relay(
                lambda on_end: StreamRelay(
                    self._context.reactor, accepted, inner, inner_stream, inner_waiting, on_end
                )
            )
        finally:
            inner.close()

    async def _connect(self, tunnel: Tunnel, head: Headers) -> tuple[Stream, WaitingStream]:
        """Open a stream and wait for the 200.

        Raises:
            ConnectRefusedError, TunnelBrokenError: no 200 came.
        """
        waiting = WaitingStream()
        stream = tunnel.open(head, waiting)
        try:
            with trio.move_on_after(ANSWER_SECONDS):
                await waiting.answered.wait()
            if waiting.gone:
                raise TunnelBrokenError("the tunnel broke before the peer answered CONNECT")
            if not waiting.response:
                raise hbone.ConnectUnansweredError(ANSWER_SECONDS, waiting.code)
            hbone.check_accepted(waiting.response)
        except BaseException:
            tunnel.abandon(stream, waiting)
            raise
        return stream, waiting

    async def _dial_tunnel(self, key: PoolKey) -> Tunnel:
        identity = self._local.identity
        credential = await self._context.credentials.of(identity)
        connection = await sockets.dial(self._netns, key.connect_to)
        try:
            return await secure(
                self._context,
                Role.CLIENT,
                credential,
                connection,
                expected=key.expected,
                on_close=self._tunnel_closed,
            )
        except BaseException:
            connection.close()
            raise

    def _tunnel_closed(self, tunnel: Tunnel, reason: MeshError | None) -> None:
        del reason  # each stream's own line names its ending
        self.pool.forget(tunnel)
