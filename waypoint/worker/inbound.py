"""15008: clients' tunnels. Each CONNECT is admitted or refused, and served by what is spoken."""

from mesh.observe.access_log import ConnectionRecord, ConnectionSecurity, Direction
from mesh.routing.inbound import Refusal
from mesh.routing.waypoint import admit
from mesh.runtime.http.stream_link import StreamLink
from mesh.runtime.http2_transport import Tunnel
from mesh.runtime.worker.credentials import Credential
from mesh.runtime.worker.failures import ConnectInvalidError
from mesh.runtime.worker.tunnel_server import Ends, TunnelServer
from mesh.wire.http2.events import Headers
from mesh.wire.http2.streams import Stream
from waypoint.worker.context import Context
from waypoint.worker.flow import Flow
from waypoint.worker.request import Request
from waypoint.worker.seam import Engine
from waypoint.worker.tcp import Tcp
from waypoint.worker.upstream import Spawn


class Inbound(TunnelServer):
    """The HBONE server side of a worker."""

    def __init__(self, context: Context, spawn: Spawn, tcp: Tcp, engine: Engine | None) -> None:
        """Serve tunnels; without an engine everything is TCP."""
        super().__init__(context, Direction.WAYPOINT, spawn)
        self._context = context
        self._tcp = tcp
        self._engine = engine

    async def _credential(self) -> Credential:
        return await self._context.credentials.of(self._context.config.identity)

    def _connect(
        self, ends: Ends, tunnel: Tunnel, stream: Stream, headers: Headers, *, end: bool
    ) -> None:
        self._admit(Request(ends, tunnel, stream, headers, end=end))

    def _admit(self, request: Request) -> None:
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
