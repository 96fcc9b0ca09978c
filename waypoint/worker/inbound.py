"""15008: the tunnels of clients. Each CONNECT is admitted or refused, and served by what is spoken.

The handshake needs a task; what comes by a tunnel does not.
"""

import logging
import socket

import trio

from mesh.errors import MeshError
from mesh.model.address import SocketAddress
from mesh.observe.access_log import (
    REFUSED,
    ConnectionRecord,
    ConnectionSecurity,
    Direction,
    refusal_fields,
)
from mesh.routing.inbound import Refusal
from mesh.routing.waypoint import admit
from mesh.runtime.http.stream_link import StreamLink
from mesh.runtime.http2_transport import Tunnel
from mesh.runtime.worker.failures import ConnectInvalidError, code_of, describe
from mesh.runtime.worker.secure import secure
from mesh.runtime.worker.sockets import SocketName, address_of, tune
from mesh.wire.http2.events import Headers
from mesh.wire.http2.frames import Role
from mesh.wire.http2.streams import Stream
from waypoint.worker.context import Context
from waypoint.worker.flow import Flow
from waypoint.worker.request import Request
from waypoint.worker.seam import Engine
from waypoint.worker.tcp import Tcp
from waypoint.worker.upstream import Spawn

access_log = logging.getLogger("access")


class Inbound:
    """The HBONE server side of a worker."""

    def __init__(self, context: Context, spawn: Spawn, tcp: Tcp, engine: Engine | None) -> None:
        """Serve tunnels; without an engine everything is TCP."""
        self._context = context
        self._spawn = spawn
        self._tcp = tcp
        self._engine = engine
        self._tunnels: dict[Tunnel, None] = {}
        self._drains = False

    def tick(self) -> None:
        """Keep-alive."""
        for tunnel in list(self._tunnels):
            tunnel.tick(trio.current_time())

    def drain(self) -> None:
        """Tell the peers to open new connections elsewhere."""
        self._drains = True
        for tunnel in list(self._tunnels):
            tunnel.drain()

    def close(self) -> None:
        """End every tunnel."""
        for tunnel in list(self._tunnels):
            tunnel.close()

    def serve(self, accepted: socket.socket, peer: SocketName) -> None:
        """One accepted connection."""
        self._spawn(self._shake_hands, accepted, address_of(peer))

    async def _shake_hands(self, accepted: socket.socket, far: SocketAddress) -> None:
        near = far
        try:
            tune(accepted, None)
            near = address_of(accepted.getsockname())
            tunnel = await self._tunnel(accepted, (near, far))
        except (MeshError, OSError) as error:
            accepted.close()
            self._tell(near, far, error)
        except BaseException:
            accepted.close()
            raise
        else:
            self._tunnels[tunnel] = None
            if self._drains:
                tunnel.drain()

    async def _tunnel(
        self, accepted: socket.socket, ends: tuple[SocketAddress, SocketAddress]
    ) -> Tunnel:
        def on_stream(tunnel: Tunnel, stream: Stream, headers: Headers, end: bool) -> None:  # noqa: FBT001 - the tunnel's own signature
            self._connect(Request(ends, tunnel, stream, headers, end=end))

        return await secure(
            self._context,
            Role.SERVER,
            await self._context.credentials.of(self._context.config.identity),
            accepted,
            on_stream=on_stream,
            on_close=lambda tunnel, _reason: self._forget(tunnel),
        )

    def _forget(self, tunnel: Tunnel) -> None:
        self._tunnels.pop(tunnel, None)

    def _tell(self, near: SocketAddress, far: SocketAddress, error: BaseException) -> None:
        """Of a tunnel that was not made."""
        record = ConnectionRecord(
            direction=Direction.WAYPOINT,
            source_address=far,
            destination_address=near,
            error=describe(error),
        )
        code = code_of(error)
        self._context.metrics.observe_refusal(Direction.WAYPOINT, code)
        access_log.warning(REFUSED, extra={**dict(refusal_fields(record)), "code": code})

    # One CONNECT.

    def _connect(self, request: Request) -> None:
        context = self._context
        record = ConnectionRecord(
            direction=Direction.WAYPOINT,
            source_address=request.far,
            destination_address=request.near,
            hbone_address=request.text(b":authority"),
        )
        flow = Flow(context.metrics, context.flows, record, request.refuse)
        with flow:
            destination = admit(
                context.world,
                context.configurations.waypoint,
                request.headers,
                network=context.config.network,
                namespace=request.peer.namespace,
            )
            if isinstance(destination, Refusal):
                raise ConnectInvalidError(destination)
            engine = self._engine
            if engine is None or not engine.takes(destination, request.peer):
                record.source = request.caller(context.world, context.config.network)
                record.source_identity = request.peer
                record.service = destination.service
                record.security = ConnectionSecurity.MUTUAL_TLS
                if engine is not None:
                    flow.judge_again = engine.judging(destination, request.peer, request.far)
                self._tcp.serve(flow, request, destination)
                return
            request.accept()
            flow.pass_on()
            link = StreamLink(request.tunnel, request.stream, request.waiting)
            engine.serve(destination, link, request.peer, request.far)
